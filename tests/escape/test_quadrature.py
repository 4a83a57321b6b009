"""The exact passage times against values in high precision."""

import numpy as np
import pytest

import sgdyn as sg

WELL = sg.landscapes.double_well()


@pytest.mark.parametrize("T", [0.025, 0.05, 0.1, 0.25, 1.0])
def test_passage_times_of_the_double_well_have_twelve_digits(T):
    exact = WELL.answer("mean passage time -1 -> 1", T)
    for a, b in ((-1, 1), (1, -1)):
        found = sg.mean_first_passage_1d(WELL.problem(T), a, b)
        assert float(found) == pytest.approx(exact, rel=1e-12)
        assert abs(float(found) - exact) <= 10 * found.error + 1e-12 * exact


def test_varying_noise_is_itos():
    """D = 0.1 (1 + x²/2), drift of the double well: 42.0355... in the sense of Itô (double integral in 40 digits)."""
    assert float(
        sg.mean_first_passage_1d(sg.Langevin(WELL.U, T=1, D=lambda x: 0.1 * (1 + x[0] ** 2 / 2)), -1, 1)
    ) == pytest.approx(42.03553982563952475, rel=1e-12)


def test_a_steeper_well_of_another_source():
    """U = (x² - 1)², 1/T = 3 on [-2, 2]: 26.64008779811409394 (p-version finite elements); whole line, 1/T = 5: 182.4176729855806997."""
    U = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2)
    assert float(sg.mean_first_passage_1d(sg.Langevin(U, T=1 / 3), -1, 1, wall=-2)) == pytest.approx(
        26.64008779811409394, rel=1e-12
    )
    assert float(sg.mean_first_passage_1d(sg.Langevin(U, T=1 / 3), -1, 0, wall=-2)) == pytest.approx(
        12.69835005806127497, rel=1e-12
    )
    assert float(sg.mean_first_passage_1d(sg.Langevin(U, T=0.2), -1, 1)) == pytest.approx(
        182.4176729855806997, rel=1e-12
    )


def test_free_diffusion_and_constant_drift_have_closed_forms():
    free = sg.Langevin.from_drift(lambda x: 0 * x, T=0.7, dim=1)
    assert float(sg.mean_first_passage_1d(free, 0.3, 2.0, wall=0.0)) == pytest.approx(
        (2.0**2 - 0.3**2) / 1.4, rel=1e-13
    )
    drift = sg.Langevin.from_drift(lambda x: 2.0 + 0 * x, T=0.7, dim=1)
    assert float(sg.mean_first_passage_1d(drift, 0.0, 3.0)) == pytest.approx(1.5, rel=1e-12)


def test_barriers_of_hundreds_of_T_do_not_overflow():
    exact = float(sg.mean_first_passage_1d(WELL.problem(1 / 2400), -1, 1))
    assert np.isfinite(exact) and exact == pytest.approx(np.pi * np.sqrt(2) * np.exp(600) * (1 + 1.5 / 2400), rel=1e-3)


def test_the_error_is_a_bound_on_the_difference_of_resolutions_and_refusals_say_why():
    with pytest.raises(ValueError, match="wall"):
        sg.mean_first_passage_1d(sg.Langevin.from_drift(lambda x: 0 * x, dim=1), 0, 1)
    with pytest.raises(ValueError, match="dimension 1"):
        sg.mean_first_passage_1d(sg.Langevin(sg.quadratic([1.0, 1.0])), 0, 1)
    with pytest.raises(ValueError, match="D > 0"):
        sg.mean_first_passage_1d(sg.Langevin(WELL.U, D=lambda x: x[0] ** 2 * (1 + np.sign(x[0])) / 2), -1, 1)
