"""Stationary densities: known, solved for, refused."""

from dataclasses import replace

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.stationary import _null_vector

PLANE = sg.landscapes.double_well_2d()
TILTED = np.array([[1.0, 0.8], [0.8, 1.0]])


def eliminated(Q):
    """The stationary vector by the elimination of Grassmann, Taksar and Heyman (1985), which never subtracts."""
    A = Q.toarray()
    for k in range(len(A) - 1, 0, -1):
        A[:k, k] /= A[k, :k].sum()
        A[:k, :k] += np.outer(A[:k, k], A[k, :k])
    m = np.ones(len(A))
    for k in range(1, len(A)):
        m[k] = m[:k] @ A[:k, k]
    return m / m.sum()


def l1(rho, other):
    return float(np.abs(rho.masses - other).sum())


def gibbs(grid, U, T):
    masses = np.exp(-U(grid.centers) / T) * grid.volumes
    return masses / masses.sum()


@pytest.mark.parametrize("D", [1.0, TILTED, [[1, 0.4], [0.4, 0.25]]])
def test_gibbs_densities_are_exact(D):
    grid = sg.Grid([(-2, 2, 60), (-2, 2, 50)])
    rho = sg.fokker_planck(sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=D), grid).stationary()
    assert l1(rho, gibbs(grid, PLANE.U, 1 / 3)) < 1e-12 and rho.solver_error < 1e-13
    assert rho.masses.sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_a_curl_keeps_the_density_to_rounding(strength):
    example, grid = sg.landscapes.chaudhari_soatto(strength), sg.Grid([(-3.5, 3.5, 100), (-4, 4, 100)])
    generator = sg.fokker_planck(example.problem(), grid)
    rho = generator.stationary()
    exact = gibbs(grid, lambda x: (x[..., 0] ** 2 - 1) ** 2 / 4 + x[..., 1] ** 2 / 2, 1.0)
    assert l1(rho, exact) < 1e-12
    assert l1(rho, _null_vector(generator.rates).reshape(grid.shape)) < 1e-12


AROUND = sg.Langevin.from_drift(
    lambda x: np.stack([0.5 + np.sin(0.4 * np.pi * x[0]), np.cos(2 * np.pi / 3 * x[1] + 0.4 * np.pi * x[0])]),
    T=0.05,
    dim=2,
)


@pytest.mark.parametrize("boundary", ["reflecting", "periodic"])
def test_null_vectors_agree_with_elimination_cell_by_cell(boundary):
    """Also far out, where there is next to no mass."""
    grid = sg.Grid([(-2.5, 2.5, 40), (-1.5, 1.5, 30)], boundary)
    process = sg.landscapes.maier_stein().problem(T=0.05) if boundary == "reflecting" else AROUND
    generator = sg.fokker_planck(process, grid)
    rho = generator.stationary()
    assert rho.values.min() > 0 and rho.solver_error < 1e-12
    np.testing.assert_allclose(rho.masses.ravel(), eliminated(generator.rates), rtol=1e-7)


def test_any_density_is_found_from_any_cell():
    """A chain of rates over many orders of magnitude, whose mass lies far from where jumps gather first."""
    rng = np.random.default_rng(0)
    from scipy import sparse

    n = 300
    Q = sparse.random_array((n, n), density=0.03, rng=rng).tocsr()
    Q.data = 10 ** rng.uniform(-6, 2, len(Q.data))
    Q = Q + sparse.diags_array(np.ones(n - 1), offsets=1) + sparse.diags_array([1.0], offsets=1 - n, shape=(n, n))
    Q = sparse.csr_array(Q - sparse.diags_array(Q.diagonal()))
    Q = sparse.csr_array(Q - sparse.diags_array(np.asarray(Q.sum(axis=1)).ravel()))
    np.testing.assert_allclose(_null_vector(Q), eliminated(Q), rtol=1e-9)


def test_wells_that_hardly_meet_are_weighed():
    """Exchange at 1e-17 of the rates: no pinned cell but one in the deeper well gives a solvable system."""

    def b(x):
        u, v = x[0], x[1]
        return 1.5 * np.array([-1 + 0 * u, u + 2 * v + u * u + u * v + 2 * u * v * v]) - 2 * np.array([u**3, v**3])

    process = sg.Langevin.from_drift(b, T=0.5, D=lambda x: np.array([[0.05, 0], [0, 0.05]]) + 0 * x[0], dim=2)
    generator = sg.fokker_planck(process, sg.Grid([(-2, 2, 16)] * 2))
    np.testing.assert_allclose(
        generator.stationary().masses.ravel(), eliminated(generator.rates), rtol=1e-9, atol=1e-16
    )


def test_covariances_of_linear_processes_are_of_second_order():
    process = sg.Langevin.linear([[1.0, 0.7], [-0.9, 1.5]], T=0.5, D=[[1, 0.5], [0.5, 0.6]], center=[0.2, -0.1])
    exact = sg.linear_stationary(process).covariance
    errors = [
        np.abs(sg.fokker_planck(process, sg.Grid([(-4.8, 5.2, n), (-4.1, 3.9, n)])).stationary().cov() - exact).max()
        for n in (40, 80)
    ]
    assert errors[1] < 2e-3 and 1.8 < np.log2(errors[0] / errors[1]) < 2.2


def test_noise_along_one_line_is_of_first_order():
    """What D = vv' does not reach is carried upwind, which adds diffusion of the size of a cell: extrapolation removes it."""
    v = np.array([[1.0, 1.0]])
    process = sg.Langevin.linear([[1.0, 0.0], [0.0, 2.0]], D=v.T @ v)
    exact = sg.linear_stationary(process).covariance
    found = [sg.fokker_planck(process, sg.Grid([(-4, 4, n)] * 2)).stationary().cov() for n in (40, 80, 160)]
    errors = [np.abs(c - exact).max() for c in found]
    assert 0.7 < np.log2(errors[1] / errors[2]) < 1.3
    assert np.abs(2 * found[2] - found[1] - exact).max() < 0.25 * errors[2]


def test_axes_and_the_split_of_T_and_D_do_not_matter():
    process = sg.Langevin(PLANE.U, T=0.4, D=TILTED)
    grid = sg.Grid([(-2, 2, 30), (-2, 2, 36)])
    rho = sg.fokker_planck(process, grid).stationary()
    other = sg.fokker_planck(sg.Langevin(PLANE.U, T=1.2, D=TILTED / 3), grid).stationary()
    np.testing.assert_allclose(other.values, rho.values, rtol=1e-9)
    mirrored = sg.potential(dim=2)(lambda x: (x[1] ** 2 - 1) ** 2 + 2 * x[0] ** 2)
    swapped = sg.fokker_planck(sg.Langevin(mirrored, T=0.4, D=TILTED), grid.select([1, 0])).stationary()
    np.testing.assert_allclose(swapped.values.T, rho.values, rtol=1e-9)


def test_absorbing_walls_point_to_the_quasi_stationary_density():
    generator = sg.fokker_planck(PLANE.problem(0.3), sg.Grid([(-2, 2, 10)] * 2, ["absorbing", "reflecting"]))
    with pytest.raises(ValueError, match="quasi_stationary"):
        generator.stationary()


def test_parts_that_never_meet_are_counted():
    process = sg.Langevin.gibbs(sg.quadratic([1.0, 2.0]), D=[1.0, 0.0])
    with pytest.raises(ValueError, match="8 parts"):
        sg.fokker_planck(process, sg.Grid([(-2, 2, 10), (-2, 2, 8)])).stationary()


def test_a_box_that_is_too_small_says_so():
    process = sg.Langevin(sg.landscapes.double_well().U, T=0.25)
    small, large = (sg.fokker_planck(process, sg.Grid([(-r, r, round(40 * r))])) for r in (1.5, 3.0))
    assert "box_error" in small.stationary().warnings[0] and not large.stationary().warnings
    x = np.linspace(-6, 6, 480_001)
    weight = np.exp(-process.U(x[:, None]) / 0.25)
    beyond = weight[np.abs(x) > 1.5].sum() / weight.sum()
    assert small.box_error() == pytest.approx(2 * beyond, rel=0.2)
    assert large.box_error() < 1e-9
    uneven = sg.fokker_planck(process, sg.Grid([np.sinh(np.linspace(-1.5, 1.5, 60))]))
    assert uneven.box_error() == pytest.approx(uneven.box_error(0.4), rel=0.2)


def test_stray_cells_are_dropped_and_reported():
    """Two corners without edges, as strong anisotropy makes them."""
    generator = sg.fokker_planck(sg.landscapes.maier_stein().problem(T=0.1), sg.Grid([(-2, 2, 40)] * 2))
    e, corners = generator.lattice.edges, [0, generator.grid.size - 1]
    kept = ~(np.isin(e.i, corners) | np.isin(e.j, corners))
    fewer = replace(e, i=e.i[kept], j=e.j[kept], dx=e.dx[kept], strength=e.strength[kept])
    lonely = replace(
        generator, lattice=replace(generator.lattice, edges=fewer), climb=generator.climb[kept]
    ).stationary()
    assert lonely.warnings[0].startswith("2 cells") and lonely.masses[0, 0] == 0.0
    np.testing.assert_allclose(lonely.masses, generator.stationary().masses, atol=1e-12)
