"""The probability to have reached a region: closed forms, the methods against each other, refusals."""

import numpy as np
import pytest
from scipy.special import erfc

import sgdyn as sg
from sgdyn.crosschecks.question import DoesNotApply
from sgdyn.pathspace.arrivals import arrivals, laplace_reach
from sgdyn.pathspace.guided_walks import Guide, guided_reach
from sgdyn.region import Region

WELL = sg.landscapes.double_well()


def test_brownian_paths_before_a_plane_are_exact():
    """The density of arrival times is a/(4 pi T s³)^{1/2} exp(-a²/4Ts), what Laplace's method integrates; reflection principle."""
    T, t, n = 0.1, 0.5, np.array([0.6, 0.8])
    problem = sg.Langevin.from_drift(lambda x: 0 * x, T, dim=2)
    region = Region.of(lambda x: 0.6 * x[0] + 0.8 * x[1] > 1, 2)
    found = laplace_reach(problem, np.zeros(2), region, t=t, n=64)
    exact = erfc(1 / np.sqrt(4 * T * t))
    assert abs(float(found.value) - exact) < 3e-5 * exact
    (one,) = found.arrivals
    np.testing.assert_allclose(one.path.x[-1], n, atol=1e-9)
    assert np.isclose(one.energy, one.action / t) and np.isclose(one.speed, 1 / t)
    assert len(one.plot().lines) == 1 and len(repr(one)) < 300
    grid = sg.fokker_planck(sg.Langevin.from_drift(lambda x: 0 * x, T, dim=1), sg.Grid(((-4, 2, 400),)))
    assert grid.reached(lambda x: x[0] > 1, t, [0.0]).agrees(exact, 1.0)


def test_anisotropic_noise_bends_the_way_to_the_plane():
    """In the coordinates in which D = 1 the plane's distance is n.x/sqrt(n'Dn): transversality in the metric of D."""
    T, t, D, n = 0.1, 0.5, np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([1.0, 0.0])
    problem = sg.Langevin.from_drift(lambda x: 0 * x, T, D, dim=2)
    found = laplace_reach(problem, np.zeros(2), Region.of(lambda x: x[0] > 1, 2), t=t, n=64)
    assert np.isclose(float(found.value), erfc(1 / np.sqrt(4 * T * t * (n @ D @ n))), rtol=3e-5)
    np.testing.assert_allclose(found.arrivals[0].path.x[-1], D @ n, atol=1e-9)


@pytest.mark.parametrize("T", [0.05, 0.1])
def test_error_of_laplace_falls_with_T_and_covers_the_grid(T):
    problem = sg.Langevin(sg.quadratic([[1.0]]), T)
    for t in (0.5, 1.5):
        found = sg.reach(
            problem,
            [0.0],
            lambda x: x[0] > 1,
            t=t,
            n=64,
            methods=["Laplace", "Fokker-Planck"],
            grid=sg.Grid(((-2, 1.4, 680),)),
        )
        laplace, grid = found["Laplace"], found["Fokker-Planck"]
        assert abs(float(laplace) - float(grid)) < 1.5 * laplace.error + 2 * grid.error
        assert laplace.error < 1.5 * T * float(laplace)


def disc(x):
    return x[0] ** 2 + x[1] ** 2 < 0.25


def whirl(x):
    return np.array([-x[1], x[0]])


def channel(x):
    return (x[0] ** 2 - 1) ** 2 / 4 + (x[1] - 0.4 * x[0] ** 2) ** 2


def matrix(x):
    return np.array([[1 + x[0] ** 2 / 4, 0.2 * x[1]], [0.2 * x[1], 0.7]])


LANDSCAPES = {
    "two wells": (sg.Langevin(sg.landscapes.double_well_2d(0.1).U, 0.1), [-1, 0.0], disc, 0.5),
    "bent channel": (sg.Langevin(sg.potential(dim=2)(channel), 0.06), [-1, 0.4], lambda x: x[0] > -0.1, 1.0),
    "whirl, full D": (sg.Langevin(sg.landscapes.double_well_2d(0.1).U, 0.1, [[1, 0.4], [0.4, 0.7]], curl=whirl), [-1, 0.0], disc, 0.5),
    "cusp": (sg.landscapes.maier_stein(6.67).problem(0.05), [-1, 0.0], lambda x: x[0] > -0.3, 1.0),
    "varying D": (sg.Langevin.gibbs(sg.landscapes.double_well_2d(0.1).U, 0.1, matrix), [-1, 0.0], lambda x: x[0] > -0.4, 0.6),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "two wells",
        "bent channel",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("whirl, full D", "cusp", "varying D")),
    ],
)
def test_all_methods_agree_in_two_dimensions(name):
    problem, x0, region, t = LANDSCAPES[name]
    grid = sg.Grid(((-1.9, 0.8, 72), (-1.3, 1.3, 68)))
    found = sg.reach(problem, x0, region, t=t, grid=grid, n=64, n_paths=4000, dt=t / 200)
    assert not found.table.excluded
    assert found.table.agrees(3.5)
    assert found["guided walks"].error < 0.15 * float(found)


def test_rare_arrivals_that_no_simulation_sees():
    problem = WELL.problem(0.03)
    found = sg.reach(
        problem, [-1.0], lambda x: x[0] > 0.5, t=1.5, n=64, n_paths=1000, dt=0.015, grid=sg.Grid(((-1.8, 0.7, 1000),))
    )
    assert float(found) < 1e-6 and found.table.agrees(3.5)
    assert "none of 1000 paths arrived" in found.table.excluded["simulation"]


@pytest.mark.slow
def test_splitting_in_space_and_time():
    problem = WELL.problem(0.05)
    grid = sg.Grid(((-2, 0.7, 540),))
    found = sg.reach(
        problem, [-1.0], lambda x: x[0] > 0.5, t=4, dt=0.01, grid=grid, methods=["Fokker-Planck", "splitting"]
    )
    assert found.table.agrees(4) and found["splitting"].error < 0.15 * float(found)
    varying = sg.Langevin(WELL.U, 0.05, lambda x: np.array([[1 + x[0] ** 2]]))
    late = sg.reach(
        varying, [-1.0], lambda x: x[0] > 0.5, t=1, n=64, n_paths=4000, methods=["guided walks", "splitting"]
    )
    assert "constant D" in late.table.excluded["splitting"]


def test_where_laplace_fails_the_table_says_why():
    problem = WELL.problem(0.05)
    late = sg.reach(
        problem,
        [-1.0],
        lambda x: x[0] > 0.5,
        t=6,
        n=64,
        grid=sg.Grid(((-2, 0.7, 400),)),
        methods=["Laplace", "Fokker-Planck"],
    )
    assert "Laplace's method does not hold" in late.table.excluded["Laplace"]
    near = sg.reach(
        problem, [0.2], lambda x: x[0] > 0.5, t=2, n=64, n_paths=2000, dt=0.02, methods=["Laplace", "simulation"]
    )
    assert "no rare event" in near.table.excluded["Laplace"]
    inertia = sg.Momentum(WELL.U, 0.05, friction=1.0)
    moving = sg.reach(
        inertia,
        [-1.0, 0.0],
        lambda x: x[0] > -0.5,
        t=2,
        n_paths=2000,
        methods=["Laplace", "guided walks", "simulation"],
    )
    assert set(moving.table.excluded) == {"Laplace", "guided walks"} and "full rank" in str(moving)


def test_asymmetry_of_two_directions():
    """Against a constant drift v the probability to be a away by t is exp(-v a/T) times that along it (Girsanov, at the moment of arrival)."""
    T, v = 0.1, 0.5
    problem = sg.Langevin.from_drift(lambda x: 0 * x - v, T, dim=1)
    left, right = (lambda x: x[0] < -0.2), (lambda x: x[0] > 0.7)
    for options in ({"methods": ["Laplace"]}, {"methods": ["Fokker-Planck"], "grid": sg.Grid(((-3, 3.5, 900),))}):
        found = sg.reach(problem, [-0.2 + 1e-9], right, back=([0.7 - 1e-9], left), t=0.6, n=64, **options)
        assert abs(found.asymmetry.value + v * 0.9 / T) < found.asymmetry.error + 2e-3
        assert found.asymmetry.error < 0.05
    with pytest.raises(ValueError, match="back="):
        _ = sg.reach(problem, [0.0], right, t=0.6, n=64, methods=["Laplace"]).asymmetry


@pytest.mark.parametrize("start", [0.0, 0.05])
def test_ways_out_of_a_strip_on_both_sides(start):
    """Each component of Gaussian paths ends on its own side alone; |x| of the fast direction does not matter."""
    problem = sg.Langevin(sg.quadratic([[1.0, 0], [0, 2.0]]), 0.05)
    found = sg.reach(problem, [start, 0.0], lambda x: x[0] ** 2 > 1, t=1.0, n=64, methods=["Laplace"])
    grid = sg.fokker_planck(sg.Langevin(sg.quadratic([[1.0]]), 0.05), sg.Grid(((-1.3, 1.3, 1300),)))
    exact = grid.reached(lambda x: x[0] ** 2 > 1, 1.0, [start])
    assert len(found.arrivals) == 2 and found.value.error < 0.05 * float(found)
    assert found.value.agrees(exact, 2.0)


def hill(x):
    return 2 * np.exp(-4 * (x[0] ** 2 + x[1] ** 2)) + (x[0] ** 2 + x[1] ** 2) / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_ways_around_a_hill_are_found_whatever_the_seed(seed):
    """The grid of 90 x 90 cells says 8.9e-9 ± 5.1e-9; over the hill alone it would be e^-14 of that."""
    problem = sg.Langevin(sg.potential(dim=2)(hill), 0.05)
    behind = Region.of(lambda x: (x[0] + 1) ** 2 + x[1] ** 2 < 0.16, 2)
    first, second, over = arrivals(problem, np.array([1.0, 0]), behind, t=1.5, n=64, seed=seed)
    np.testing.assert_allclose(first.path.x, second.path.x * [1, -1], atol=1e-6)
    np.testing.assert_allclose(over.path.x[:, 1], 0, atol=1e-6)
    assert first.action < over.action - 10


@pytest.mark.slow
def test_walks_around_a_hill_agree_with_laplace():
    problem = sg.Langevin(sg.potential(dim=2)(hill), 0.05)
    found = sg.reach(problem, [1.0, 0], lambda x: (x[0] + 1) ** 2 + x[1] ** 2 < 0.16, t=1.5, n=64, n_paths=4000, methods=["Laplace", "guided walks"])  # fmt: skip
    assert found.table.agrees(3.5) and 8e-9 < float(found) < 1.15e-8


@pytest.mark.slow
def test_walks_that_few_carry_are_refused():
    """Guided straight over the hill, where the process does not go, walks miss those around it; a few of large weight betray it."""
    problem = sg.Langevin(sg.potential(dim=2)(hill), 0.05)
    found = sg.reach(problem, [1.0, 0], lambda x: (x[0] + 1) ** 2 + x[1] ** 2 < 0.16, t=1.5, n=64, n_paths=2000, methods=["Laplace"])  # fmt: skip
    over = found.question.arrivals[-1:]
    found.question.__dict__["arrivals"] = over
    with pytest.raises(DoesNotApply, match="carry the weight of all"):
        found.question.guided()


def test_probabilities_that_are_no_numbers_are_refused_with_their_logarithm():
    problem = sg.Langevin(sg.quadratic([[1.0]]), 5e-4)
    with pytest.raises(ValueError, match=r"exp\(-1585.6.*no weight of"):
        sg.reach(problem, [0.0], lambda x: x[0] > 1, t=0.5, n=64, n_paths=500, methods=["Laplace", "guided walks"])


def test_what_a_method_refused_is_said_where_it_is_asked_for():
    grid = sg.Grid(((-1.8, 0.8, 100),))
    found = sg.reach(WELL.problem(0.05), [0.2], lambda x: x[0] > 0.5, t=2, n=64, grid=grid, methods=["Laplace", "Fokker-Planck"])  # fmt: skip
    with pytest.raises(KeyError, match="no rare event"):
        found["Laplace"]
    assert "one theory alone" in str(found)


def test_bad_questions_are_refused():
    problem = WELL.problem(0.05)
    with pytest.raises(ValueError, match="inside the region"):
        sg.reach(problem, [0.7], lambda x: x[0] > 0.5, t=1)
    with pytest.raises(ValueError, match="expected some of Laplace"):
        sg.reach(problem, [-1.0], lambda x: x[0] > 0.5, t=1, methods=["magic"])
    with pytest.raises(ValueError, match="multiple of 4"):
        sg.reach(problem, [-1.0], lambda x: x[0] > 0.5, t=1, n=50)
    with pytest.raises(ValueError, match="t=-1"):
        sg.reach(problem, [-1.0], lambda x: x[0] > 0.5, t=-1)


def test_it_draws_its_paths():
    found = sg.reach(LANDSCAPES["two wells"][0], [-1, 0.0], disc, t=0.5, n=64, methods=["Laplace"])
    assert found.plot() is not None and len(found.arrivals) == 1


def test_guided_walks_overlook_nothing_between_long_steps():
    """For Brownian paths before a plane steps of any length are exact: the bridges between them are counted."""
    problem = sg.Langevin.from_drift(lambda x: 0 * x, 0.1, dim=1)
    region, t = Region.of(lambda x: x[0] > 1, 1), 0.5
    guide = Guide(sg.Path(np.array([[0.0], [1.0]]), np.array([0, t])), np.array([[10.0]]), 1.0)
    found = guided_reach(problem, np.zeros(1), region, [guide], t=t, steps=4, walks=20_000)
    assert found.agrees(erfc(1 / np.sqrt(0.2))) and found.error < 0.03 * float(found)
