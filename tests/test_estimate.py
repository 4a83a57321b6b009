"""Numbers that know their error."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.estimate import of_samples, rounded


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (49.87, 1.04, "49.9 ± 1.0"), (49.8712, 0.0123, "49.871 ± 0.012"), (1234.0, 55.0, "1234 ± 55"), (123456789.0, 1.2e6, "(1.235 ± 0.012)e+08"),
        (1.23456e-7, 2e-9, "(1.235 ± 0.020)e-07"), (66.2686263649, 6.6e-12, "66.2686263649000 ± 6.6e-12"), (0.0, 0.5, "0.00 ± 0.50"), (1.0, 0.0, "1 ± 0"),
        (float("nan"), 1.0, "nan ± 1"),
    ],
)  # fmt: skip
def test_numbers_print_with_two_digits_of_their_error(value, error, text):
    assert rounded(value, error) == text or rounded(value, error) == text.replace("000 ±", " ±")


def test_estimates_behave_as_numbers_with_errors():
    a, b = sg.Estimate(1.0, 0.3, "one way"), sg.Estimate(2.0, 0.4, "another", warnings=("only so",))
    assert float(a) == 1.0 and a.pull(b) == pytest.approx(-2.0) and a.agrees(b) and not a.agrees(b, errors=1.9)
    assert str(b) == "2.00 ± 0.40  (another)\n  note: only so"
    assert np.asarray(sg.Estimate(np.ones(3), np.ones(3), "")).shape == (3,)


def test_one_sample_has_no_error():
    with pytest.raises(ValueError, match="at least 2"):
        of_samples([1.0], "")
    found = of_samples(np.arange(10.0), "ten")
    assert found.value == 4.5 and found.error == pytest.approx(np.std(np.arange(10), ddof=1) / np.sqrt(10))


def test_results_print_in_a_few_words():
    """However many numbers they hold; and no part hides: arrays say their shape, estimates their error."""
    process = sg.landscapes.double_well_2d(0.1).problem(0.3)
    ensemble = sg.simulate(process, [-1, 0], t=1, dt=0.01, n_paths=50, save=21, seed=0)
    path = sg.minimum_action(process, [-1.0, 0.0], [0.0, 0.0], n=40)
    for result, part in ((ensemble, "x=array(50, 21, 2)"), (path, "x=array(41, 2)"), (path, "complete=True"), (ensemble.histogram(sg.Grid([(-2, 2, 20)] * 2)), "Density(")):  # fmt: skip
        assert part in repr(result) and len(repr(result)) < 600
    assert "±" in repr(path)
