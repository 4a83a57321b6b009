"""The generator on a grid: structure, invariance, exact stationary states, order of the error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, sparse
from scipy.sparse import linalg

import sgdyn as sg
from sgdyn.density.lattice import bernoulli
from sgdyn.density.selling import decomposed
from sgdyn.density.solvers import Solver

WIDE, NARROW = np.array([[1, 0.8], [0.8, 1]]), np.array([[1, 0.4], [0.4, 0.25]])
WELL = sg.landscapes.double_well_2d().U


def turning(x):
    """Eigenvalues 1 and 1/50, axes that turn with x."""
    angle = np.pi / 4 * x[0] + 0.5 * x[1]
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c * c + 0.02 * s * s, 0.98 * c * s], [0.98 * c * s, s * s + 0.02 * c * c]])


def square(n, size=2.0, boundary="reflecting"):
    return sg.Grid(((-size, size, n), (-size, size, n)), boundary)


def stationary(generator):
    """The null vector of Q' with the equation of one cell left out, and nothing that the generator knows of it."""
    A = sparse.csr_array(-generator.rates.T)
    likely = np.ravel_multi_index([n // 2 for n in generator.grid.shape], generator.grid.shape)
    kept = np.delete(np.arange(A.shape[0]), likely)
    masses = np.ones(A.shape[0])
    masses[kept] = Solver(A[kept][:, kept]).solve(-A[kept][:, [likely]].toarray().ravel())
    return masses / masses.sum()


def nearest(generator, value):
    """The eigenvalue of -Q nearest to a value, for symmetric Q."""
    return linalg.eigsh(-generator.rates.tocsc(), k=1, sigma=value * 0.999, return_eigenvectors=False).item()


def check_structure(generator):
    Q = generator.rates.tocoo()
    off = Q.data[Q.row != Q.col]
    assert off.min() >= 0 and np.all(np.isfinite(Q.data))
    size = np.abs(Q.data).max()
    np.testing.assert_allclose(generator.rates.sum(axis=1), -generator.leaks, atol=1e-13 * size)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_decompositions_give_the_matrix_back(dim, rng):
    A = rng.normal(size=(500, dim, dim))
    D = A @ A.transpose(0, 2, 1) + 1e-4 * np.eye(dim)
    found = decomposed(D, 10_000)
    offsets = found.offsets.astype(float)
    back = np.einsum("nm,nmi,nmj->nij", found.weights, offsets, offsets)
    np.testing.assert_allclose(back / np.trace(D, axis1=1, axis2=2)[:, None, None], D / np.trace(D, axis1=1, axis2=2)[:, None, None], atol=1e-8)  # fmt: skip
    assert found.weights.min() >= 0 and found.added.max() == 0


def test_thin_matrices_are_thickened_until_their_offsets_fit():
    v = np.array([1.0, (np.sqrt(5) - 1) / 2])
    added = []
    for reach in (5, 20, 80):
        found = decomposed(np.outer(v, v)[None], reach)
        offsets = found.offsets[0].astype(float)
        back = np.einsum("m,mi,mj->ij", found.weights[0], offsets, offsets)
        np.testing.assert_allclose(back, np.outer(v, v) + found.added[0] * v @ v / 2 * np.eye(2), atol=1e-8)
        assert np.abs(found.offsets[found.weights > 0]).max() <= reach
        added.append(found.added[0])
    assert added[0] > added[1] > added[2] > 0
    rational = decomposed(np.array([[[4.0, 2.0], [2.0, 1.0]]]), 3)
    assert rational.added == 0 and np.count_nonzero(rational.weights) == 1


def test_bernoulli_weights_are_in_detailed_balance():
    w = np.concatenate([np.linspace(-30, 30, 101), [1e-9, 1e-5, 0.99e-5, -1e-5, 0.0]])
    np.testing.assert_allclose(bernoulli(w), bernoulli(-w) * np.exp(-w), rtol=1e-13)
    np.testing.assert_allclose(bernoulli(np.array([1e-4])), 1 - 0.5e-4 + 1e-8 / 12, rtol=1e-14)
    assert bernoulli(np.array([800.0])) == 0 and bernoulli(np.array([-800.0])) == 800


@pytest.mark.parametrize("D", [WIDE, NARROW, turning], ids=["wide", "narrow", "turning"])
@pytest.mark.parametrize("n", [100, 200])
def test_gibbs_states_are_exact(D, n):
    generator = sg.fokker_planck(sg.Langevin.gibbs(WELL, T=1 / 3, D=D), square(n))
    check_structure(generator)
    gibbs = np.exp(-3 * WELL(generator.grid.centers)).ravel()
    np.testing.assert_allclose(np.abs(stationary(generator) - gibbs / gibbs.sum()).sum(), 0, atol=1e-12)
    assert generator.reversible


def test_three_axes_and_unequal_cells_keep_gibbs_states():
    @sg.potential(dim=3)
    def U(x):
        return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2 + 2 * x[2] ** 2 + x[0] * x[1]

    edges = 2 * np.sinh(np.linspace(-1.2, 1.2, 17)) / np.sinh(1.2)
    D = [[1, 0.6, 0.4], [0.6, 1, 0.3], [0.4, 0.3, 1]]
    generator = sg.fokker_planck(sg.Langevin.gibbs(U, T=0.5, D=D), sg.Grid([edges, (-2, 2, 12), edges]))
    check_structure(generator)
    gibbs = (np.exp(-2 * U(generator.grid.centers)) * generator.grid.volumes).ravel()
    np.testing.assert_allclose(generator.rates.T @ (gibbs / gibbs.sum()), 0, atol=1e-13 * np.abs(generator.rates).max())


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_a_curl_that_keeps_the_density_keeps_it_exactly(strength):
    """Central where diffusion allows it, and the drift is the right one: the complex eigenvalues converge."""
    problem = sg.landscapes.chaudhari_soatto(strength).problem(T=1.0)
    generator = sg.fokker_planck(problem, sg.Grid(((-4, 4, 100), (-5, 5, 100))))
    check_structure(generator)
    gibbs = np.exp(-problem.U(generator.grid.centers)).ravel()
    assert np.abs(stationary(generator) - gibbs / gibbs.sum()).sum() < 1e-12
    assert not generator.reversible and generator.faces.upwinded == 0
    if strength == 1.5:
        values = -linalg.eigs(generator.rates.tocsc(), k=4, sigma=1e-3, return_eigenvectors=False)
        distance = np.abs(values - (1.0385951509438 + 0.6699824133011j)).min()  # hp Galerkin method, three orders
        assert 0.5e-3 < distance < 2.5e-3


def test_a_curl_that_does_not_keep_the_density_is_carried_along_the_edges():
    pushed = sg.Langevin(WELL, T=0.5, curl=lambda x: np.array([-x[1], x[0]]))
    generator = sg.fokker_planck(pushed, square(40))
    check_structure(generator)
    assert generator.faces is None and generator.log_masses is None


def test_the_kinetic_process_keeps_its_energy_exactly():
    U = sg.landscapes.double_well().U
    generator = sg.fokker_planck(sg.Momentum(U, T=0.4, friction=0.7, D=1.5), sg.Grid(((-2.5, 2.5, 60), (-4, 4, 50))))
    check_structure(generator)
    x, v = generator.grid.centers[..., :1], generator.grid.centers[..., 1]
    gibbs = np.exp(-(U(x) + v**2 / 2) / 0.6).ravel()
    assert np.abs(stationary(generator) - gibbs / gibbs.sum()).sum() < 1e-12


def test_irreversible_linear_processes_have_the_covariance_of_lyapunov_to_second_order():
    problem = sg.Langevin.linear([[1.0, 0.8], [-0.6, 1.5]], T=0.5, D=[[1, 0.5], [0.5, 0.6]])
    exact, errors = sg.linear_stationary(problem).covariance, []
    for n in (40, 80, 160):
        generator = sg.fokker_planck(problem, square(n, 5.0))
        x, masses = generator.grid.centers.reshape(-1, 2), stationary(generator)
        errors.append(np.abs((x * masses[:, None]).T @ x - exact).max())
        check_structure(generator)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("D", [np.diag([1.0, 0.0]), np.ones((2, 2))], ids=["one axis", "a diagonal"])
def test_what_noise_does_not_reach_is_carried_upwind_to_first_order(D):
    problem = sg.Langevin.linear([[1.0, 0.8], [-0.6, 1.5]], T=0.5, D=D)
    exact, errors = sg.linear_stationary(problem).covariance, []
    for n in (80, 160, 320):
        generator = sg.fokker_planck(problem, square(n, 5.0))
        x, masses = generator.grid.centers.reshape(-1, 2), stationary(generator)
        errors.append(np.abs((x * masses[:, None]).T @ x - exact).max())
        check_structure(generator)
        assert masses.min() > -1e-18
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.15)


def test_unequal_cells_are_of_second_order():
    @sg.potential(dim=1)
    def U(x):
        return (x[0] ** 2 - 1) ** 2

    exact, errors = 0.080619860857438902, []  # beta = 3 on [-2, 2], Chebyshev collocation, two resolutions
    for n in (50, 100, 200):
        edges = 2 * np.sinh(np.linspace(-2, 2, n + 1)) / np.sinh(2)
        generator = sg.fokker_planck(sg.Langevin(U, T=1 / 3), sg.Grid([edges]))
        values = -linalg.eigs(generator.rates.tocsc(), k=2, sigma=1e-3, return_eigenvectors=False).real
        errors.append(values.max() / exact - 1)
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.1)


def test_a_tilted_ring_carries_the_current_of_stratonovich():
    """J = T (1 - e^{-2 pi f/T}) / (int_0^{2 pi} dx int_x^{x + 2 pi} dy e^{(W(y) - W(x))/T}), W = cos x - f x (Risken, 11.50)."""
    T, f = 0.5, 0.3
    W = lambda x: np.cos(x) - f * x
    double = integrate.dblquad(
        lambda y, x: np.exp((W(y) - W(x)) / T), 0, 2 * np.pi, lambda x: x, lambda x: x + 2 * np.pi, epsabs=1e-9
    )[0]
    exact = T * (1 - np.exp(-2 * np.pi * f / T)) / double
    problem = sg.Langevin.from_drift(lambda x: np.array([np.sin(x[0]) + f]), T=T, dim=1)
    errors = []
    for n in (40, 80):
        generator = sg.fokker_planck(problem, sg.Grid([(0, 2 * np.pi, n)], "periodic"))
        check_structure(generator)
        masses, Q = stationary(generator), generator.rates
        errors.append(masses[0] * Q[0, 1] - masses[1] * Q[1, 0] - exact)
    assert not generator.reversible
    assert abs(errors[1]) < 1e-3 * exact and np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


def test_a_constant_push_around_a_torus_keeps_the_uniform_density():
    @sg.potential(dim=2)
    def flat(x):
        return 0 * x[0]

    problem = sg.Langevin.gibbs(flat, T=0.3, D=WIDE, curl=lambda x: np.array([0.4 + 0 * x[0], -0.2 + 0 * x[0]]))
    generator = sg.fokker_planck(problem, sg.Grid(((0, 1, 12), (0, 1, 10)), "periodic"))
    check_structure(generator)
    np.testing.assert_allclose(stationary(generator), 1 / 120, rtol=1e-12)
    x, Q = generator.grid.centers, generator.rates
    wave = np.sin(2 * np.pi * x[..., 0]).ravel()
    drift = 0.4 * 2 * np.pi * np.cos(2 * np.pi * x[..., 0]) - 0.3 * 4 * np.pi**2 * np.sin(2 * np.pi * x[..., 0])
    np.testing.assert_allclose(Q @ wave, drift.ravel(), atol=0.05 * np.abs(drift).max())


@pytest.mark.parametrize("sides", ["absorbing", ("absorbing", "reflecting")])
def test_absorbing_walls_give_the_exit_time_of_brownian_motion(sides):
    """On [0, 1] with T D = 1/2: x (1 - x), or x (2 - x) with a mirror at 1."""

    @sg.potential(dim=2)
    def flat(x):
        return 0 * x[0]

    grid = sg.Grid(((0, 1, 50), (0, 1, 20)), (sides, "reflecting"))
    for D in (1.0, [[1, 0.0], [0.0, 3.0]]):
        generator = sg.fokker_planck(sg.Langevin.gibbs(flat, T=0.5, D=D), grid)
        check_structure(generator)
        x = grid.centers[..., 0].ravel()
        time = Solver(sparse.csr_array(-generator.rates)).solve(np.ones(grid.size))
        exact = x * (1 - x) if sides == "absorbing" else x * (2 - x)
        np.testing.assert_allclose(time, exact, atol=2e-4)


def test_long_edges_are_cut_at_absorbing_walls():
    """With D = [[1, .8], [.8, 1]] the time to leave in x0 is that of one dimension, since every edge is cut where it leaves."""

    @sg.potential(dim=2)
    def flat(x):
        return 0 * x[0]

    errors = []
    for n in (16, 32, 64):
        grid = sg.Grid(((0, 1, n), (0, 1, n)), ("absorbing", "periodic"))
        generator = sg.fokker_planck(sg.Langevin.gibbs(flat, T=0.5, D=[[1, 0.4], [0.4, 0.2]]), grid)
        time = Solver(sparse.csr_array(-generator.rates)).solve(np.ones(grid.size))
        x = grid.centers[..., 0].ravel()
        errors.append(np.abs(time - x * (1 - x)).max())
    assert errors[-1] < 4e-3 and errors[0] / errors[-1] > 8


@pytest.mark.parametrize("D", [WIDE, NARROW, [[0.41, 0.63], [0.63, 1.0]]], ids=["wide", "narrow", "far offsets"])
def test_reflecting_walls_are_of_second_order_where_D_couples_the_axes(D):
    """A channel has the rate (2 pi)² (D11 - D01²/D00): substitute u = e^{ik (y - x D01/D00)} g(x), g' = 0 at the walls."""

    @sg.potential(dim=2)
    def flat(x):
        return 0 * x[0]

    D, errors = np.array(D), []
    exact = (2 * np.pi) ** 2 * (D[1, 1] - D[0, 1] ** 2 / D[0, 0])
    for n in (24, 48, 96):
        grid = sg.Grid(((0, 1, n), (0, 1, n)), ("reflecting", "periodic"))
        generator = sg.fokker_planck(sg.Langevin.gibbs(flat, T=1.0, D=D), grid)
        check_structure(generator)
        errors.append(abs(nearest(generator, exact) / exact - 1))
    assert errors[-1] < 5e-3
    assert np.log2(errors[0] / errors[-1]) / 2 == pytest.approx(2, abs=0.2)


def test_reflecting_walls_of_three_axes_are_of_second_order():
    @sg.potential(dim=3)
    def flat(x):
        return 0 * x[0]

    D, errors = np.array([[1, 0.7, 0.5], [0.7, 1, 0.3], [0.5, 0.3, 0.8]]), []
    along = D[1:, 1:] - np.outer(D[1:, 0], D[1:, 0]) / D[0, 0]
    exact = (2 * np.pi) ** 2 * min(along[0, 0], along[1, 1], along.sum(), along[0, 0] + along[1, 1] - 2 * along[0, 1])
    for n in (5, 10, 20):
        grid = sg.Grid(((0, 1, n),) * 3, ("reflecting", "periodic", "periodic"))
        generator = sg.fokker_planck(sg.Langevin.gibbs(flat, T=1.0, D=D), grid)
        errors.append(abs(nearest(generator, exact) / exact - 1))
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.3)


def drifts(a, b, c):
    return lambda x: np.array([a * x[0] - x[0] ** 3 + b * x[1], c * x[0] * x[1] - x[1] - b * x[0]])


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-1, 1), st.floats(0, 0.9), st.floats(0.05, 2))
def test_rates_are_never_negative_and_conserve_mass(a, b, c, correlation, T):
    def D(x, r=correlation):
        return np.array([[1 + 0.5 * x[1] ** 2, r], [r, 1 + 0.1 * x[0] ** 2]])

    check_structure(sg.fokker_planck(sg.Langevin.from_drift(drifts(a, b, c), T=T, D=D, dim=2), square(14)))


def test_only_T_times_D_matters_and_axes_may_change_places():
    b = drifts(1.0, 0.7, 0.3)
    first = sg.fokker_planck(sg.Langevin.from_drift(b, T=0.4, D=NARROW, dim=2), square(20)).rates
    second = sg.fokker_planck(sg.Langevin.from_drift(b, T=0.8, D=NARROW / 2, dim=2), square(20)).rates
    np.testing.assert_allclose((first - second).toarray(), 0, atol=1e-12 * np.abs(first).max())
    swapped = sg.Langevin.from_drift(lambda x: b(x[::-1])[::-1], T=0.4, D=NARROW[::-1, ::-1], dim=2)
    third = sg.fokker_planck(swapped, square(20)).rates
    turned = np.arange(400).reshape(20, 20).T.ravel()
    np.testing.assert_allclose(third[turned][:, turned].toarray(), first.toarray(), atol=1e-9 * np.abs(first).max())


def test_wrong_grids_and_processes_are_named():
    with pytest.raises(ValueError, match="2 axes for a process in dimension 1"):
        sg.fokker_planck(sg.Langevin(sg.quadratic([1.0])), square(10))
    with pytest.raises(TypeError, match=r"type sg\.Grid"):
        sg.fokker_planck(sg.Langevin(WELL), 100)
    with pytest.raises(TypeError, match=r"type sg\.Langevin"):
        sg.fokker_planck(WELL, square(10))
    with pytest.raises(ValueError, match="at most 3"):
        sg.fokker_planck(sg.Langevin(sg.quadratic(np.eye(4))), sg.Grid([(-1, 1, 4)] * 4))
    with pytest.raises(ValueError, match="grids have at most 3 axes"):
        sg.fokker_planck(sg.Momentum(WELL), sg.Grid([(-1, 1, 4)] * 3))
    for walls in ("open", [("periodic", "absorbing"), "reflecting"], ["reflecting"]):
        with pytest.raises(ValueError, match="bound"):
            square(4, boundary=walls)
    with pytest.raises(ValueError, match="increasing edges"):
        sg.Grid([np.array([0.0, 2.0, 1.0, 3.0])])
