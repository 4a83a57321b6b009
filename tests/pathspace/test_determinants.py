"""Fluctuation determinants: closed forms, two independent ways, what is refused."""

import numpy as np
import pytest
from scipy.linalg import expm

import sgdyn as sg

T = 0.1
WELL = sg.landscapes.double_well()


def whirl(x):
    return np.array([-x[1], x[0]]) * 0.5


def matrix(x):
    return np.array([[1 + x[0] ** 2 / 4, 0.2 * x[1]], [0.2 * x[1], 0.7]])


# dossier rates_and_paths, C09 (high precision): J'' = V'' J along the path from -1 to 1
@pytest.mark.parametrize(("t", "expected", "digits"), [(2, 1.85550428055169356, 1e-10), (10, 3.1635056059744496, 1e-6)])
def test_determinant_of_the_double_well(t, expected, digits):
    found = sg.instanton(WELL.problem(T), [-1], [1], t=t)
    assert abs(float(sg.fluctuations(found).determinant) - expected) < digits
    if t == 2:
        assert abs(float(sg.fluctuations(found, method="flow").determinant) - expected) < 1e-9


U = sg.landscapes.double_well_2d(0.1).U
PROCESSES = {
    "gradient": sg.Langevin(U, T), "curl": sg.Langevin(U, T, [[1, 0.4], [0.4, 0.7]], curl=whirl), "varying": sg.Langevin(U, T, matrix, curl=whirl),
    "varying gibbs": sg.Langevin.gibbs(U, T, matrix), "cusp": sg.landscapes.maier_stein(6.67).problem(T),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "gradient",
        "curl",
        "cusp",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("varying", "varying gibbs")),
    ],
)
def test_pivots_and_flow_agree(name):
    found = sg.instanton(PROCESSES[name], [-1, 0], [0.1, 0.4], t=1.5, n=200, starts=0)
    pivots, flow = sg.fluctuations(found), sg.fluctuations(found, method="flow")
    for one, other in ((pivots.log_van_vleck, flow.log_van_vleck), (pivots.log_divergence, flow.log_divergence)):
        assert abs(float(one) - float(other)) < 1e-7
        assert abs(float(one) - float(other)) < 10 * (one.error + other.error)


def test_discrete_determinant_has_slope_two_in_dt():
    from sgdyn.pathspace.determinants import _level, _levels

    for name in ("curl", "varying"):
        found = sg.instanton(PROCESSES[name], [-1, 0], [0.1, 0.4], t=1.5, n=128, starts=0)
        functional = sg.Action(found.problem)
        values = np.array([_level(functional, path) for path in _levels(functional, found.path)])
        orders = np.log2((values[1] - values[0]) / (values[2] - values[1]))
        np.testing.assert_allclose(orders, 2, atol=0.1)


def test_geometric_brownian_motion_in_every_convention():
    """log X is Brownian: the density is known, and Laplace's differs from it by exp(-T t c²/4) of the drift's part of order T, c T."""
    mu, t, a, b = 0.4, 0.8, 1.0, 1.7
    D = lambda x: np.array([[x[0] ** 2]])
    ito = sg.Langevin.from_drift(lambda x: mu * x, T, D, dim=1)
    hill = sg.Langevin.gibbs(sg.potential(dim=1)(lambda x: -mu * np.log(x[0])), T, D)
    for problem, warm in ((ito, -1.0), (hill, 1.0)):  # drift of log X: mu + warm T
        exact = np.exp(-((np.log(b / a) - (mu + warm * T) * t) ** 2) / (4 * T * t)) / (b * np.sqrt(4 * np.pi * T * t))
        for method in ("pivots", "flow"):
            found = sg.fluctuations(sg.instanton(problem, [a], [b], t=t, n=200, starts=0), method=method)
            assert np.isclose(np.exp(float(found.log_density)), exact * np.exp(T * t / 4), rtol=1e-8)


def test_momentum_by_the_flow():
    k, friction, t = 1.3, 0.7, 1.1
    problem = sg.Momentum(sg.quadratic([[k]]), T, friction=friction)
    a, b = np.array([0.2, 0.0]), np.array([0.5, 0.6])
    F, noise = np.array([[0, -1], [k, friction]]), np.diag([0, 2 * friction * T])
    whole = expm(t * np.block([[-F, noise], [np.zeros((2, 2)), F.T]]))  # Van Loan
    S, u = whole[:2, 2:] @ whole[:2, :2].T, b - whole[:2, :2] @ a
    exact = -0.5 * u @ np.linalg.solve(S, u) - 0.5 * np.linalg.slogdet(2 * np.pi * S)[1]
    found = sg.fluctuations(sg.instanton(problem, a, b, t=t, n=400, starts=0))
    assert np.isclose(float(found.log_density), exact, atol=1e-7)
    assert "full rank" in found.determinant.warnings[0]


def test_what_has_no_prefactor_is_refused():
    problem = WELL.problem(0.05)
    found = sg.instanton(problem, [-1], [1], t=5, n=64, starts=0, rule=sg.StaticKernel())
    with pytest.raises(ValueError, match="FreidlinWentzell"):
        sg.fluctuations(found)
    on_axis = sg.instanton(sg.landscapes.maier_stein(10).problem(0.05), [-1, 0], [0, 0], t=8, n=200, starts=0)
    saddles = [
        one for one in on_axis.critical_paths if not one.is_minimum
    ]  # beyond alpha = 4 the way leads beside the axis
    assert saddles
    with pytest.raises(ValueError, match="conjugate point at t="):
        sg.fluctuations(saddles[0])
    with pytest.raises(ValueError, match='"pivots" or "flow"'):
        sg.fluctuations(sg.instanton(problem, [-1], [0], t=1, n=64, starts=0), method="riccati")
