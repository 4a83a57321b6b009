"""All pairs at once; naive actions for D(x), which do not converge."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sgdyn as sg

T = 0.05


def three_wells(x):
    return 0.5 * x[0] ** 2 * (x[0] ** 2 - 1) ** 2 + 0.5 * x[1] ** 2 + 0.1 * x[0]


PROBLEM = sg.Langevin(sg.potential(dim=2)(three_wells), T)
POINTS = np.array([[-1.0, 0], [0, 0], [1, 0]])


def test_densities_between_all_pairs_split_as_they_should():
    found = sg.reachability_matrix(PROBLEM, POINTS, t=1.5, n=100, names=["left", "middle", "right"])
    assert not found.failed and np.all(np.isnan(np.diag(found.values.value)))
    U = PROBLEM.U(POINTS)
    np.testing.assert_allclose(found.static, np.where(np.eye(3) > 0, np.nan, np.exp(-(U[None] - U[:, None]) / (2 * T))))
    np.testing.assert_allclose(found.reachability, found.reachability.T, rtol=1e-6)
    np.testing.assert_allclose(found.static * found.reachability, found.values.value)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.asymmetry[off], ((U[:, None] - U[None]) / T)[off], rtol=1e-6)
    assert found.values.value[0, 2] < found.values.value[0, 1]
    assert "middle" in str(found) and found.plot() is not None


def test_probabilities_between_regions_by_grid_and_guided_walks():
    regions = [lambda x, c=c: (x[0] - c) ** 2 + x[1] ** 2 < 0.09 for c in (-1.0, 1.0)]
    grid = sg.Grid(((-1.8, 1.8, 60), (-1.2, 1.2, 40)))
    found = sg.reachability_matrix(
        PROBLEM, POINTS[[0, 2]], t=2.0, n=64, regions=regions, grid=grid, methods=["Fokker-Planck"]
    )
    direct = sg.fokker_planck(PROBLEM, grid).reached(regions[1], 2.0, POINTS[0])
    assert np.isclose(found.values.value[0, 1], float(direct)) and found.static is None
    assert found.asymmetry[0, 1] == -found.asymmetry[1, 0]


def test_equal_points_return():
    found = sg.reachability_matrix(sg.landscapes.double_well().problem(0.05), [[-1], [-1]], t=1.0, n=64)
    assert not found.failed and found.static[0, 1] == 1
    assert np.isclose(np.log(found.values.value[0, 1]), 0.93474, atol=1e-5)  # the linear Hamiltonian flow's


def test_an_executor_changes_no_bit():
    regions = [lambda x: x[0] < -0.8, lambda x: x[0] > 0.8]
    options = {"t": 2.0, "n": 64, "seed": 1}
    problem = sg.landscapes.double_well().problem(0.2)
    with ThreadPoolExecutor(2) as executor:
        pairs = [sg.reachability_matrix(problem, [[-1], [1]], executor=e, **options) for e in (None, executor)]
        ways = [
            sg.reach(problem, [-1], regions[1], methods=["simulation", "splitting"], n_paths=500, executor=e, **options)
            for e in (None, executor)
        ]
        crossed = [
            sg.crosscheck(problem, "mean", x0=[-1], grid=sg.Grid([(-2, 2, 40)]), dt=0.05, n_paths=100, executor=e)
            for e in (None, executor)
        ]
    np.testing.assert_array_equal(pairs[0].values.value, pairs[1].values.value)
    for method in ("simulation", "splitting"):
        assert float(ways[0][method]) == float(ways[1][method])
    for row, other in zip(crossed[0].rows, crossed[1].rows, strict=True):
        np.testing.assert_array_equal(row.estimate.value, other.estimate.value)


def test_failures_are_named():
    with pytest.raises(ValueError, match="no pair"):
        sg.reachability_matrix(PROBLEM, POINTS[:2], t=40.0, n=32)
    with pytest.raises(ValueError, match="2 regions for 3 points"):
        sg.reachability_matrix(PROBLEM, POINTS, t=1, regions=[lambda x: x[0] > 0] * 2)


def stationary_error(log_kernel, x, rho, dt):
    """L1 distance from the stationary density of the chain with this kernel."""
    K = np.exp(log_kernel(x[None, :], x[:, None], dt)) * (x[1] - x[0])  # column: from, row: to
    values, vectors = np.linalg.eig(K / K.sum(0))
    found = np.abs(vectors[:, np.argmax(values.real)].real)
    return float(np.abs(found / found.sum() - rho / rho.sum()).sum())


def test_naive_actions_for_varying_noise_do_not_converge():
    """Lau and Lubensky, Phys. Rev. E 76, 011123 (2007): only the action with D'/2 in the velocity gives the density of the process."""
    hot, x = 0.5, np.linspace(-4, 4, 241)
    problem = sg.Langevin(sg.quadratic([[1.0]]), hot, lambda y: np.array([[1 + y[0] ** 2 / 2]]))
    D, slope = (lambda m: hot * (1 + m * m / 2)), (lambda m: hot * m)
    rho = (1 + x * x / 2) ** (-1 / hot - 1)

    def naive(drift, spread):
        def kernel(a, b, dt):
            m, v = (a + b) / 2, (b - a) / dt
            return -dt * ((v - drift(m)) ** 2 / (4 * D(m)) + spread / 2) - 0.5 * np.log(4 * np.pi * D(m) * dt)

        return kernel

    def right(a, b, dt):
        a, b = np.broadcast_arrays(a, b)
        steps = sg.Midpoint().steps(problem)
        value = steps.value(a.reshape(-1, 1), b.reshape(-1, 1), np.full(a.size, dt)).reshape(a.shape)
        return -value - 0.5 * np.log(4 * np.pi * D((a + b) / 2) * dt)

    ito = naive(lambda m: -m, -1.0)
    stratonovich = naive(lambda m: -m - slope(m) / 2, -1.0 - hot / 2)
    errors = {
        k: [stationary_error(f, x, rho, dt) for dt in (0.08, 0.04, 0.02)]
        for k, f in (("right", right), ("ito", ito), ("strat", stratonovich))
    }
    assert errors["right"][2] < 0.62 * errors["right"][1] < 0.4 * errors["right"][0]
    for wrong in ("ito", "strat"):
        assert errors[wrong][2] > 0.05 and errors[wrong][2] > 0.85 * errors[wrong][1]
