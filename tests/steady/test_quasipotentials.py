"""Quasipotentials against closed forms, published values, invariances, and the stationary density at low temperature."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import sgdyn as sg
from sgdyn.steady import fronts, quasipotentials

F, D = np.array([[1.0, 0.7], [-3.0, 1.5]]), np.array([[1, 0.5], [0.5, 0.6]])
HALF_ACTIONS = {1.0: 0.5, 5.0: 0.48306970919361058877, 6.67: 0.43074312907611, 10.0: 0.34004140333019}
"""Maier-Stein, mu = 1: least int |x' - b|²/2 from (-1, 0) to (0, 0); hp Ritz method, two orders, all digits shown."""


def linear(n, F=F, D=D, center=0.0):
    return sg.quasipotential(
        sg.Langevin.linear(F, T=0.3, D=D, center=center), np.full(2, center), sg.Grid([(center - 1, center + 1, n)] * 2)
    )


def difference(found, exact):
    """The largest error below the level of the box, relative to that level, and its mean square."""
    below = exact < found.level
    error = (found.values - exact)[below] / found.level
    return np.abs(error).max(), np.sqrt(np.mean(error**2))


@pytest.mark.parametrize(("F", "D", "bound"), [(F, D, 2e-5), ([[1.0, 5.0], [-5.0, 1.0]], np.eye(2), 1e-12)])
def test_linear_processes_have_the_closed_form(F, D, bound):
    """V = T x' S^-1 x/2, whatever T; the midpoint rule is exact for it where no segment had to be refused."""
    found, state = linear(64, np.array(F), D), sg.linear_stationary(sg.Langevin.linear(F, T=0.3, D=D))
    assert difference(found, state.potential(found.grid.centers))[0] < bound
    x = np.array([[0.2, 0.1], [-0.3, 0.2]])
    estimate = found.at(x)
    np.testing.assert_allclose(estimate.value, state.potential(x), rtol=3e-4)
    assert np.all(np.abs(estimate.value - state.potential(x)) <= estimate.error + 1e-5)


@pytest.mark.parametrize("alpha", HALF_ACTIONS)
def test_maier_stein(alpha):
    """Half of the least action with |x' - b|²/2; the box ends beyond the saddle. At alpha > 4 the path leaves the axis."""
    process = sg.landscapes.maier_stein(alpha).problem(T=0.1)
    found = sg.quasipotential(process, [-0.99, 0.01], sg.Grid([(-1.6, 0.4, 160), (-0.8, 0.8, 160)]))
    height = found.at([0.0, 0.0])
    assert abs(height.pull(HALF_ACTIONS[alpha] / 2)) < 3 and height.error < 3e-3 * height.value
    assert height.value == pytest.approx(HALF_ACTIONS[alpha] / 2, rel=3e-4) and not height.warnings
    np.testing.assert_allclose(found.attractor, [-1, 0], atol=1e-12)
    path = found.path([0.0, 0.0])
    assert path.action == pytest.approx(height.value, rel=2e-3) and np.all(np.diff(path.V) > -1e-9)
    assert (np.abs(path.x[:, 1]).max() > 0.1) == (alpha > 4)


def test_gradient_systems_give_back_their_potential():
    """D -grad U with full D: U - U_min up to the saddle, in the units of U, and the same with a curl that keeps exp(-U/T)."""
    U = sg.landscapes.double_well_2d().U
    grid, x = sg.Grid([(-1.8, 0.5, 120), (-1.1, 1.1, 120)]), np.array([[0.0, 0.0], [-1.2, 0.4], [-0.5, -0.3]])
    turn = lambda x: np.array([[0, 1], [-1, 0]]) @ np.array([4 * x[0] * (x[0] ** 2 - 1), 4 * x[1]])
    for process in (
        sg.Langevin.gibbs(U, T=0.2, D=D),
        sg.Langevin(U, T=0.2, curl=turn),
        sg.Langevin.gibbs(U, T=0.2, D=lambda x: 1 + 0.5 * x[0] ** 2),
    ):
        found = sg.quasipotential(process, [-1, 0], grid)
        height = found.at(x)
        assert np.all(np.abs(height.value - U(x)) < height.error + 2e-4)
        np.testing.assert_allclose(height.value, U(x), rtol=5e-3)


def test_errors_fall_with_the_square_of_the_cell_width():
    process = sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, D=D)
    errors = []
    for n in (40, 80, 160):
        found = sg.quasipotential(process, [-1, 0], sg.Grid([(-1.8, -0.1, n), (-0.9, 0.9, n)]))
        errors.append(difference(found, process.U(found.grid.centers))[1])
    assert np.log2(errors[0] / errors[2]) / 2 > 1.4 and errors[2] < 1e-3


def test_units_and_coordinates():
    """x -> A x, D -> A D A' keeps V; time runs s times as fast: V the same for D -> s D; D -> s D alone: V/s."""
    found, A = linear(96), np.array([[1.3, 0.4], [-0.2, 0.8]])
    turned = linear(96, A @ F @ np.linalg.inv(A), A @ D @ A.T)
    x = np.array([[0.2, 0.1], [-0.1, 0.25]])
    np.testing.assert_allclose(turned.at(x @ A.T).value, found.at(x).value, rtol=1e-3)
    np.testing.assert_allclose(linear(96, 3 * F, 3 * D).values, found.values, rtol=1e-9)
    np.testing.assert_allclose(linear(96, F, 4 * D).values, found.values / 4, rtol=1e-9)
    np.testing.assert_allclose(linear(96, F, D, center=2.0).values, found.values, rtol=1e-6)


def test_the_stationary_density_at_low_temperature_follows_it():
    """-T log rho on the grid solver's density of Maier-Stein's drift in one well, relative to a point of the same prefactor (y -> -y would be exact)."""
    scene = sg.landscapes.maier_stein(5.0)
    points = np.array([[-0.6, 0.15], [-0.6, 0.0], [-1.25, 0.1]])
    found = sg.quasipotential(scene.problem(), [-1, 0], sg.Grid([(-1.8, 0.4, 128), (-0.8, 0.8, 128)])).at(points).value
    slopes = []
    for T in (0.02, 0.01):
        rho = sg.fokker_planck(scene.problem(T=T), sg.Grid([(-1.8, 1.8, 180), (-0.8, 0.8, 120)])).stationary()
        logs = rho.log_values if rho.log_values is not None else np.log(rho.values)
        slopes.append([logs[rho.grid.index(p)] - logs[rho.grid.index([-1.0, 0.0])] for p in points])
    measured = (np.array(slopes[0]) - slopes[1]) / (1 / 0.01 - 1 / 0.02)  # the prefactor drops out
    np.testing.assert_allclose(measured, found, rtol=0.06)


def test_paths_of_linear_processes_are_the_time_reversed_dual():
    """x' = (F - 2 T D S^-1) x forwards means going back by exp(-t (2 D V'' - F)) from the end."""
    from scipy.linalg import expm

    found, state = linear(128), sg.linear_stationary(sg.Langevin.linear(F, T=0.3, D=D))
    back = 2 * 0.3 * D @ state.precision - F
    path = found.path([0.25, 0.3])
    exact = np.array([expm(-t * back) @ [0.25, 0.3] for t in np.linspace(0, 6, 4000)])
    gaps = np.linalg.norm(path.x[:, None] - exact, axis=-1).min(axis=1)
    assert gaps.max() < 0.02 and path.action == pytest.approx(state.potential([0.25, 0.3]), rel=0.01)
    assert path.length[-1] > np.hypot(0.25, 0.3)


def test_paths_go_through_saddles_into_other_wells():
    found = sg.quasipotential(
        sg.landscapes.maier_stein(10.0).problem(), [-1, 0], sg.Grid([(-1.6, 1.6, 160), (-0.8, 0.8, 160)])
    )
    over = found.path([0.9, 0.1])
    assert np.linalg.norm(over.x, axis=1).min() < 0.06 and over.V[-1] > HALF_ACTIONS[10.0] / 2
    assert found.at([0.6, 0.0]).value == pytest.approx(HALF_ACTIONS[10.0] / 2, rel=3e-3)


def test_points_above_the_level_of_the_box_are_noted():
    found = linear(40)
    assert found.at([0.1, 0.1]).warnings == ()
    assert "above" in found.at([0.95, -0.95]).warnings[0]


def test_ctrl_c_returns_what_the_front_has_passed(monkeypatch):
    """V rises along the front: what lies below is what the whole computation finds, to the bit; above, the height is shown and a note made."""
    whole, advance, calls = linear(80), fronts.advance, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(quasipotentials, "SLICE", 500)
        patch.setattr(fronts, "advance", interrupted)
        found = linear(80)
        calls[:] = [0] * 3
        with pytest.raises(KeyboardInterrupt):  # nothing is done yet
            linear(80)
        calls[:] = [0] * 2
        with pytest.raises(KeyboardInterrupt):  # a coarser grid that was interrupted makes no error bar
            found.at([0.1, 0.1])
    assert "interrupted" in found.warnings[0] and 0 < found.reached < whole.values.max()
    below = whole.values < found.reached
    np.testing.assert_array_equal(found.values[below], whole.values[below])
    assert 0 < below.mean() < 1 and np.all(found.values[~below] == found.reached)
    near, far = np.argwhere(whole.values < 0.3 * found.reached)[0], np.argwhere(~below)[0]
    assert found.at(found.grid.centers[tuple(near)]).warnings == ()
    assert "interrupted" in found.at(found.grid.centers[tuple(far)]).warnings[0]


BOX = sg.Grid([(-1, 1, 40)] * 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sg.quasipotential(sg.Langevin(sg.quadratic([1.0]), D=1.0), [0.0, 0.0], BOX), ValueError, "dimension 1"),
        (lambda: sg.quasipotential(sg.Langevin(sg.quadratic([1.0] * 3)), np.zeros(3), sg.Grid([(-1, 1, 20)] * 3)), ValueError, "dimension 3.*kramers_time"),
        (lambda: sg.quasipotential(sg.Langevin.linear(F, D=[1.0, 0.0]), [0, 0], BOX), ValueError, r"singular D.*floor"),
        (lambda: sg.quasipotential(sg.Momentum(sg.quadratic([1.0])), [0, 0], BOX), TypeError, r"v²/2"),
        (lambda: sg.quasipotential("b", [0, 0], BOX), TypeError, "from_drift"),
        (lambda: sg.quasipotential(sg.Langevin.linear(-F), [0, 0], BOX), ValueError, "expected a stable point"),
        (lambda: sg.quasipotential(sg.Langevin.linear(F), [np.nan, 0], BOX), ValueError, "finite"),
        (lambda: sg.quasipotential(sg.Langevin.linear(F, center=3.0), [3, 3], BOX), ValueError, "larger Grid"),
        (lambda: sg.quasipotential(sg.Langevin.linear(F), [0, 0], sg.Grid([(-1, 1, 8)] * 2)), ValueError, "at least 12"),
        (lambda: sg.quasipotential(sg.Langevin.linear(F), [0, 0], sg.Grid([(-1, 1, 40)] * 2, "periodic")), ValueError, "periodic"),
        (lambda: sg.quasipotential(sg.Langevin.from_drift(lambda x: np.array([1 + x[0] ** 2, -x[1]]), dim=2), [0, 0], BOX), ValueError, "zero of the drift"),
        (lambda: linear(40).at([2.0, 0.0]), ValueError, "beyond the box"),
        (lambda: linear(40).path([2.0, 0.0]), ValueError, "beyond the box"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_pictures():
    found = linear(40)
    assert str(found).startswith("quasipotential of [0. 0.], 40x40 cells") and "\n" not in str(found)
    for result in (found, found.path([0.3, 0.3])):
        ax = result.plot()
        assert ax.has_data() and ("path" in ax.get_title() or "quasipotential" in ax.get_title())
        plt.close(ax.figure)
