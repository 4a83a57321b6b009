"""The decomposition of the stationary state, against closed forms, and the claim Phi = f/c."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.special import erf, erfc

import sgdyn as sg

D = np.array([[1, 0.5], [0.5, 0.6]])
LINEAR = sg.Langevin.linear([[1.0, 0.7], [-0.9, 1.5]], T=0.5, D=D, center=[0.2, -0.1])
PRODUCTION = 0.68138161154618892
"""Of arXiv:1710.11029, example 19, over the squared strength (quadrature)."""


def box(n):
    return sg.Grid([(-4.8, 5.2, n), (-4.1, 3.9, n)])


@sg.potential(dim=2)
def loss(x):
    return (x[0] ** 2 - 1) ** 2 + 1.5 * (x[1] + 0.5 * x[0] ** 2 - 0.5) ** 2


def mean_square(parts, values):
    return np.sqrt(np.nansum(parts.density.masses * values**2))


def test_linear_processes_in_closed_form_and_on_the_grid():
    """Phi = T x' S^-1 x/2, j = J x, Q constant; the grid's converge to them with the square of the cell width."""
    exact, state = sg.decompose(LINEAR, box(100)), sg.linear_stationary(LINEAR)
    away = exact.grid.centers - state.center
    Phi = 0.5 * 0.5 * np.einsum("...i,ij,...j->...", away, state.precision, away)
    np.testing.assert_allclose(exact.Phi, Phi - Phi.min(), atol=1e-9)
    np.testing.assert_allclose(exact.j, away @ state.current.T, atol=1e-9)
    np.testing.assert_allclose(exact.Q[3, 4], state.Q)
    assert exact.residuals["divergence"] < 1e-12 and exact.residuals["identity"] < 1e-12
    assert float(exact.entropy_production) == pytest.approx(state.entropy_production, rel=1e-12)
    errors = []
    for n in (50, 100):
        found = sg.decompose(sg.fokker_planck(LINEAR, box(n)))
        errors.append([mean_square(found, found.Q[..., 0, 1] - state.Q[0, 1]), found.residuals["identity"]])
        assert found.residuals["divergence"] < 1e-10 and found.warnings == ()
        assert abs(found.entropy_production.pull(state.entropy_production)) < 1
    orders = np.log2(np.array(errors[0]) / errors[1])
    assert np.all(orders > 1.7) and errors[1][0] < 0.004


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_the_example_of_chaudhari_and_soatto(strength):
    """Phi does not change with the strength; Q_01 = strength sqrt(pi)/2 erfc(r²/2) e^Phi, from psi' = -strength r e^{-r⁴/4}; div j != 0."""
    process = sg.landscapes.chaudhari_soatto(strength).problem()
    grid = sg.Grid([(-4, 4, 100), (-6, 6, 120)])
    for parts, close in ((sg.decompose(process, grid), 0.003), (sg.decompose(sg.fokker_planck(process, grid)), 0.006)):
        x = grid.centers
        np.testing.assert_allclose(parts.Phi, process.U(x) - process.U(x).min(), atol=1e-6)
        q = strength * np.sqrt(np.pi) / 2 * erfc(np.sum(x**2, -1) / 2) * np.exp(process.U(x))
        assert mean_square(parts, parts.Q[..., 0, 1] - q) < close * mean_square(parts, q)
        assert (
            parts.entropy_production.agrees(
                PRODUCTION * strength**2 / erf(6 / np.sqrt(2)), 1.5
            )  # the density is that in the box
            or "closed" in parts.entropy_production.method
        )
        assert float(parts.entropy_production) == pytest.approx(PRODUCTION * strength**2, rel=1e-3)
        assert parts.residuals["divergence"] < 1e-11 and parts.residuals["identity"] < 0.005
        j, slope = parts.j, process.U.grad(x)
        along, size = np.abs(np.sum(j * slope, -1)), np.linalg.norm(j, axis=-1) * np.linalg.norm(slope, axis=-1)
        masses = parts.density.masses
        assert np.sum(masses * along) > 0.2 * np.sum(masses * size)  # j is far from orthogonal to grad Phi


def test_Q_gives_the_drift_back():
    """b = -(D + Q) grad Phi + T div(D + Q), by differences, where there is density."""
    process = sg.Langevin(loss, T=0.25, D=[[1.0, 0.6], [0.6, 1.0]])
    parts = sg.decompose(sg.fokker_planck(process, sg.Grid([(-2.4, 2.4, 160), (-2.6, 2.2, 160)])))
    x, T = parts.grid.midpoints, 0.25
    slope = np.stack(np.gradient(parts.Phi, *x), -1)
    turn = np.stack([np.gradient(parts.Q[..., 0, 1], x[1], axis=1), -np.gradient(parts.Q[..., 0, 1], x[0], axis=0)], -1)
    back = -np.einsum("...ij,...j->...i", process.D(parts.grid.centers) + parts.Q, slope) + T * turn
    b = process.drift(parts.grid.centers)
    inner = parts.density.values > 1e-3 * parts.density.values.max()
    assert np.sqrt(np.mean((back - b)[inner] ** 2) / np.mean(b[inner] ** 2)) < 0.02


def shape_of(parts, T, c):
    """The largest difference of Phi from loss/c, up to a constant, where there is density."""
    gap = parts.Phi - loss(parts.grid.centers) / c
    inner = parts.Phi < 6 * T
    return np.ptp(gap[inner])


@pytest.mark.parametrize("c", [0.5, 2.0])
def test_isotropic_noise_keeps_the_loss(c):
    """D = c I: rho = exp(-f/(c T)), so that Phi = -T log rho = f/c, at every T, without a current."""
    for T in (0.15, 0.4):
        parts = sg.decompose(sg.fokker_planck(sg.Langevin(loss, T=T, D=c), sg.Grid([(-2.6, 2.6, 90), (-3.4, 2.4, 90)])))
        assert shape_of(parts, T, c) < 1e-9 and float(parts.entropy_production) < 1e-15
        np.testing.assert_allclose(parts.Q, 0.0)


def test_constant_noise_of_another_shape_does_not():
    """Constant D != c I: no c makes Phi = f/c. (Proof: (D/c - I) : grad grad e^{-f/cT} = 0 has no solution that can be normalised on the plane.)"""
    process = sg.Langevin(loss, T=0.25, D=[[1.3, 0.5], [0.5, 0.7]])
    parts = sg.decompose(process, sg.Grid([(-2.6, 2.6, 90), (-3.2, 2.4, 90)]))
    assert min(shape_of(parts, 0.25, c) for c in np.linspace(0.3, 3, 60)) > 0.3
    assert parts.entropy_production.value > 10 * parts.entropy_production.error


def test_on_a_torus_another_constant_noise_may_keep_the_loss():
    """f = -T log(2 + cos(x + y)), D = diag(1.5, 0.5): a : grad grad(2 + cos(x + y)) = 0 for a = diag(1, -1), so that Phi = f all the same."""
    T = 0.4
    torus = sg.potential(dim=2)(lambda x: -0.4 * np.log(2 + np.cos(x[0] + x[1])))
    grid = sg.Grid([(0, 2 * np.pi, 64)] * 2, "periodic")
    parts = sg.decompose(sg.fokker_planck(sg.Langevin(torus, T=T, D=[1.5, 0.5]), grid))
    assert np.ptp(parts.Phi - torus(grid.centers)) < 2e-3 < 0.1 < np.ptp(parts.Phi)
    assert parts.entropy_production.value > 0.01
    with pytest.raises(ValueError, match="periodic"):
        _ = parts.Q


def test_state_dependent_noise_in_one_dimension():
    """Phi = int f'/D + T log D depends on T: D(x) shifts it by T log D."""
    well = sg.landscapes.double_well().U
    for T in (0.1, 0.3):
        process = sg.Langevin(well, T=T, D=lambda x: 1 + 0.5 * x[0] ** 2)
        parts = sg.decompose(process, sg.Grid([(-3, 3, 600)]))
        x = parts.grid.midpoints[0]
        exact = x**2 - 3 * np.log(2 + x**2) + T * np.log(1 + 0.5 * x**2)  # int (x³ - x)/(1 + x²/2)
        inner = parts.Phi < 8 * T
        assert np.ptp((parts.Phi - exact)[inner]) < 1e-3
        assert parts.Q.shape == (600, 1, 1) and not np.any(parts.Q)


def test_pictures_and_bad_input():
    for parts in (
        sg.decompose(LINEAR, box(30)),
        sg.decompose(sg.landscapes.double_well().problem(0.2), sg.Grid([(-2, 2, 50)])),
    ):
        assert "entropy production" in str(parts) and "array" not in str(parts)
        ax = parts.plot()
        assert ax.has_data() and "entropy production" in ax.get_title()
        plt.close(ax.figure)
    with pytest.raises(ValueError, match=r"no grid.*sg\.Grid"):
        sg.decompose(LINEAR)
    with pytest.raises(TypeError, match="Momentum"):
        sg.decompose(sg.Momentum(sg.quadratic([1.0])), sg.Grid([(-3, 3, 20)] * 2))
    with pytest.raises(ValueError, match="does not decay"):
        sg.decompose(sg.Langevin.linear(-np.eye(2)), box(20))


def test_a_box_that_cuts_the_density_off_is_noted():
    process = sg.landscapes.chaudhari_soatto(0.5).problem()
    assert "larger Grid" in sg.decompose(process, sg.Grid([(-2, 2, 40)] * 2)).entropy_production.warnings[0]
