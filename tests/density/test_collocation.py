"""Chebyshev collocation against values of high precision and against the quadrature, with errors that cover the truth."""

import numpy as np
import pytest

import sgdyn as sg


@sg.potential(dim=1)
def well(x):
    return (x[0] ** 2 - 1) ** 2


@pytest.fixture(scope="module")
def box():
    return sg.chebyshev(sg.Langevin(well, T=1 / 3), (-2, 2))


def covers(estimate, exact, digits):
    assert np.all(np.abs(np.asarray(estimate.value) / exact - 1) < 10.0**-digits)
    assert np.all(np.abs(estimate.value - exact) <= estimate.error) and np.all(estimate.error < 1e-11 * exact)


def test_the_double_well_in_a_box(box):
    """beta = 3, box [-2, 2]: values computed with 30 digits (mpmath)."""
    rates = box.rates(3)
    assert rates.value[0] == 0
    np.testing.assert_allclose(rates.value[1:], [0.080619860857438902, 3.49490550456048279], rtol=1e-13)
    covers(box.mean_first_passage(1, -1), 26.64008779811409394, 12)
    covers(box.mean_first_passage(0, -1), 12.69835005806127497, 12)
    covers(box.committor(-1, 1, -0.25), 0.21807492695638999328, 12)
    covers(box.density([1.0, -1.0]), np.full(2, 1 / 1.12075893560432518), 12)


def test_the_double_well_on_the_line():
    """beta = 5: first rate and passage time on the whole line (mpmath); the box holds all but 1e-100 of the mass."""
    box = sg.chebyshev(sg.Langevin(well, T=0.2), (-3.2, 3.2))
    assert box.rates(2).value[1] == pytest.approx(0.011104562546290902097, rel=1e-12)
    assert float(box.mean_first_passage(1, -1)) == pytest.approx(182.4176729855806997, rel=1e-12)


def test_symmetry_and_means(box):
    assert float(box.mean_first_passage(-1, 1)) == pytest.approx(float(box.mean_first_passage(1, -1)), rel=1e-12)
    assert float(box.committor(1, -1, -0.25)) == pytest.approx(1 - 0.21807492695638999328, rel=1e-12)
    assert [float(box.committor(-1, 1, x)) for x in (-2, -1, 1, 1.5)] == [0, 0, 1, 1]
    assert float(box.mean_first_passage(0.5, 0.5)) == 0
    assert box.mean(lambda x: x).value == pytest.approx(np.zeros(1), abs=1e-12)


@pytest.mark.parametrize("T", [0.5, 0.1])
def test_multiplicative_noise_agrees_with_the_quadrature(T):
    problem = sg.Langevin(well, T=T, D=lambda x: 1 + 0.5 * np.tanh(x[0]))
    for x0, target, wall in ((-1.0, 0.7, -2.0), (1.2, -0.3, 2.0)):
        exact = sg.mean_first_passage_1d(problem, x0, target, wall=wall)
        assert float(sg.chebyshev(problem, (-2, 2)).mean_first_passage(target, x0)) == pytest.approx(
            float(exact), rel=1e-11
        )


def test_the_stationary_density_of_multiplicative_noise_is_itos():
    """Gibbs processes keep exp(-U/T) whatever D."""
    problem = sg.Langevin.gibbs(well, T=0.4, D=lambda x: 1 + 0.5 * x[0] ** 2)
    x = np.linspace(-2, 2, 9)
    density = sg.chebyshev(problem, (-2, 2)).density(x)
    ratio = density.value / np.exp(-well(x[:, None]) / 0.4)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-11)


def test_absorbing_walls():
    """Brownian motion on [0, pi]: rates k², time x (pi - x)/2; with one reflecting wall (k - 1/2)²."""
    free = sg.Langevin.from_drift(lambda x: 0 * x, T=1.0, dim=1)
    both = sg.chebyshev(free, (0, np.pi), "absorbing")
    np.testing.assert_allclose(both.rates(4).value, [1, 4, 9, 16], rtol=1e-12)
    assert float(both.mean_first_passage(None, 1.0)) == pytest.approx((np.pi - 1) / 2, rel=1e-12)
    one = sg.chebyshev(free, (0, np.pi), ("reflecting", "absorbing"))
    np.testing.assert_allclose(one.rates(3).value, [0.25, 2.25, 6.25], rtol=1e-12)
    with pytest.raises(ValueError, match="nothing is stationary"):
        both.density(1.0)


def test_invariance_under_trades_between_temperature_and_noise():
    one = sg.chebyshev(sg.Langevin(well, T=0.3, D=2.0), (-2, 2)).rates(3).value
    np.testing.assert_allclose(one, sg.chebyshev(sg.Langevin(well, T=0.6), (-2, 2)).rates(3).value, rtol=1e-13)


def test_high_barriers_carry_honest_errors_or_are_refused():
    exact = sg.mean_first_passage_1d(sg.Langevin(well, T=1 / 25), -1, 1, wall=-2)
    found = sg.chebyshev(sg.Langevin(well, T=1 / 25), (-2, 2)).mean_first_passage(1, -1)
    assert abs(found.value / float(exact) - 1) < 1e-4 and abs(found.value - float(exact)) < 10 * found.error
    with pytest.raises(sg.NotConvergedError, match=r"polynomials of degree 768.*type a smaller interval"):
        sg.chebyshev(sg.Langevin(well, T=1 / 60), (-2, 2)).rates(2)


def test_input_that_makes_no_sense(box):
    with pytest.raises(ValueError, match="Langevin process in dimension 1"):
        sg.chebyshev(sg.Langevin(sg.quadratic(np.eye(2))), (-1, 1))
    with pytest.raises(ValueError, match="expected low < high"):
        sg.chebyshev(sg.Langevin(well), (1, -1))
    with pytest.raises(ValueError, match="boundary='open', expected one or two of"):
        sg.chebyshev(sg.Langevin(well), (-1, 1), "open")
    with pytest.raises(ValueError, match="x0=3, expected a point of"):
        box.mean_first_passage(1, 3)
    with pytest.raises(ValueError, match="no target and two reflecting walls"):
        box.mean_first_passage(None, 0)
    with pytest.raises(ValueError, match="expected two points"):
        box.committor(1, 1, 0)
    with pytest.raises(ValueError, match=r"D = .*expected D > 0"):
        sg.chebyshev(sg.Langevin(well, D=lambda x: x[0]), (-1, 1)).rates(2)
    with pytest.raises(ValueError, match="expected points inside"):
        box.density(5.0)


@pytest.mark.parametrize("T", [0.02, 0.0125])
def test_the_error_of_long_times_knows_the_rounding_of_the_system(T):
    """Barriers of 12.5 and 20 T: digits are lost as the time grows against the fast rates; the quadrature loses none."""
    problem = sg.landscapes.double_well().problem(T)
    found, exact = sg.chebyshev(problem, (-2, 2)).mean_first_passage(0.9, -1), sg.mean_first_passage_1d(problem, -1, 0.9, wall=-2)  # fmt: skip
    assert abs(found.pull(exact)) < 1 and found.error < 1e-5 * float(found)
    assert abs(float(found) - float(exact)) > 1e-12 * float(exact)
