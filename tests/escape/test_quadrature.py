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


def process(function, T):
    return sg.Langevin(sg.potential(dim=1)(function), T=T)


@pytest.mark.parametrize(
    ("given", "x0", "target", "wall", "expected"),
    [
        (process(lambda x: x[0] ** -12.0 - 2 * x[0] ** -6.0, 0.5), 0.9, 2.0, None, 2.874040259262),
        (process(lambda x: x[0] ** -12.0 - 2 * x[0] ** -6.0, 0.5), 0.9, 2.0, 0.5, 2.874040259262),
        (process(lambda x: np.exp(-200 * x[0]), 1.0), 0.1, 1.0, None, 0.492402509529),
        (sg.Langevin(sg.quadratic([1.0]), T=0.1), -50, 1, None, 139.985602927678),
        (sg.Langevin(sg.quadratic([1.0]), T=1e-3), -1000, 0, None, 10.99681434170),
        (process(lambda x: x[0] ** 2 / 2 + 0.2 * np.cos(2000 * x[0]), 0.2), -1, 1, None, 28.0928539785),
        (process(lambda x: x[0] ** 2 / 2 - 30 * np.exp(-(((x[0] + 2) / 1e-3) ** 2)), 1.0), 0, 1, None, 566592496.2427),
        (process(lambda x: np.abs(x[0] - 0.3), 1.0), -1, 1.1, None, 2.951081856985),
        (
            process(lambda x: x[0] ** 2 / 2 + 0.2 * np.abs(np.sin(200 * x[0])), 0.2),
            -1,
            1,
            None,
            19.285088266614,
        ),
        (process(lambda x: 3 * np.log(1 + x[0] ** 2), 1.0), 0, 2, None, 55.134312437),
        (process(lambda x: 2 * np.log(1 + x[0] ** 2), 1.0), 0, 2, None, 20.3072975845),
    ],
    ids=["steep", "walled", "steeper", "far", "further", "ripples", "hole", "kink", "kinks", "power 6", "power 4"],
)
def test_hard_tails_and_rough_ways(given, x0, target, wall, expected):
    """Against composite Gauss quadrature with panels at the kinks, mpmath and SciPy."""
    found = sg.mean_first_passage_1d(given, x0, target, wall=wall)
    assert abs(float(found) - expected) <= 10 * found.error + 1e-6 * expected
    assert found.error < 1e-8 * expected


@pytest.mark.parametrize("factor", [0.55, 0.75, 1.0, 1.5])
def test_slow_tails_are_followed_to_their_end_or_the_error_says_how_far(factor):
    """U = a log(1 + x²), T = 1 by substitution of x = tan(angle): the inner integral is one of cosines."""
    from scipy import integrate

    inner = lambda y: integrate.quad(
        lambda s: np.sin(s) ** (2 * factor - 2) if s else 0.0, 0, np.pi / 2 + np.arctan(y), limit=400
    )[0]
    exact = integrate.quad(lambda y: (1 + y**2) ** factor * inner(y), 0, 2)[0]
    found = sg.mean_first_passage_1d(process(lambda x, a=factor: a * np.log(1 + x[0] ** 2), 1.0), 0, 2)
    assert abs(float(found) - exact) <= found.error + 2e-3 * exact
    assert found.error < (1e-4 if factor < 0.6 else 1e-11) * exact


def test_a_hidden_well_behind_the_start_counts():
    given = process(lambda x: 2 * (x[0] ** 2 - 1) ** 2 - 0.2 * x[0], 0.05)
    assert float(sg.mean_first_passage_1d(given, -1, -1.5)) == pytest.approx(2.8861599599947655e29, rel=1e-10)


@pytest.mark.parametrize(
    ("given", "x0", "target", "kind", "message"),
    [
        (WELL.problem(3e-4), -1, 1, sg.NotConvergedError, "above 1e308.*larger T"),
        (sg.Langevin(sg.quadratic([1.0]), T=1e-3), 0, 1000, sg.NotConvergedError, "above 1e308"),
        (process(lambda x: 0.501 * np.log(1 + x[0] ** 2), 1.0), 0, 2, sg.NotConvergedError, "wall="),
        (process(lambda x: 0.45 * np.log(1 + x[0] ** 2), 1.0), 0, 2, ValueError, "does not confine"),
        (sg.Langevin(sg.quadratic([-1.0])), 0, 1, ValueError, "does not confine"),
        (process(lambda x: np.sqrt(x[0]) + x[0] ** 2, 1.0), 1, -1, ValueError, "drift nan at x = .*target before it"),
        (sg.Langevin(WELL.U, D=lambda x: x[0]), 1.0, 1.5, ValueError, "D > 0 on the way; type wall="),
    ],
)
def test_what_cannot_be_integrated_is_refused(given, x0, target, kind, message):
    with pytest.raises(kind, match=message):
        sg.mean_first_passage_1d(given, x0, target)


def test_a_table_ends_where_it_ends():
    grid = sg.Grid([(-4, 4, 400)])
    table = sg.Langevin(sg.tabulated(grid, 2 * grid.centers[..., 0] ** 2), T=0.1)
    exact = sg.mean_first_passage_1d(sg.Langevin(sg.quadratic([4.0]), T=0.1), -0.5, 0.5)
    assert float(sg.mean_first_passage_1d(table, -0.5, 0.5)) == pytest.approx(float(exact), rel=1e-6)
    with pytest.raises((ValueError, sg.NotConvergedError), match="wall="):
        sg.mean_first_passage_1d(sg.Langevin(table.U, T=10.0), -0.5, 0.5)
