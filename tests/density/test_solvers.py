"""Every way to solve a system gives the same answer, with the residual it says, or refuses."""

import numpy as np
import pytest
from scipy import sparse

import sgdyn as sg
from sgdyn.density import solvers
from sgdyn.density.solvers import Solver, factor_count

D3 = np.array([[1, 0.6, 0.4], [0.6, 1, 0.3], [0.4, 0.3, 1.0]])


@sg.potential(dim=3)
def trough(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2 + 2 * x[2] ** 2


@sg.potential(dim=2)
def double_well(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2


def escaping(problem, grid):
    """-Q without the cells beyond x0 = 1, the masses of detailed balance (None if there is none), and the centres."""
    generator = sg.fokker_planck(problem, grid)
    x = grid.centers.reshape(-1, grid.dim)
    kept = np.flatnonzero(x[:, 0] < 1)
    masses = np.exp(generator.log_masses[kept]) if generator.reversible else None
    return (-generator.rates)[kept][:, kept].tocsr(), masses, x[kept]


def solver(monkeypatch, matrix, masses, direct):
    monkeypatch.setattr(solvers, "DIRECT_BELOW", 1e12 if direct else 0.0)
    return Solver(matrix, masses)


def maier_stein(x):
    return np.array([x[0] - x[0] ** 3 - 10 * x[0] * x[1] ** 2, -(1 + x[0] ** 2) * x[1]])


PROCESSES = {
    "reversible, 2-D": (sg.Langevin.gibbs(double_well, T=1 / 3, D=[[1, 0.8], [0.8, 1]]), [(-2, 2, 60)] * 2),
    "reversible, 3-D": (sg.Langevin.gibbs(trough, T=1 / 3, D=D3), [(-2, 2, 24)] * 3),
    "irreversible, 2-D": (sg.Langevin.from_drift(maier_stein, T=0.1, dim=2), [(-1.8, 1.8, 60), (-1.2, 1.2, 60)]),
    "irreversible, 3-D": (sg.Langevin(trough, T=1 / 3, D=D3), [(-2, 2, 16)] * 3),
    "no noise in x": (sg.Momentum(sg.landscapes.double_well().U, T=0.3, friction=1.0), [(-2, 2, 60), (-3, 3, 60)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSES)
def test_multigrid_agrees_with_direct_factors(name, monkeypatch):
    problem, axes = PROCESSES[name]
    matrix, masses, x = escaping(problem, sg.Grid(axes))
    b = np.stack([np.ones(len(x)), 1 + x[:, 0] ** 2], axis=1)
    exact = solver(monkeypatch, matrix, None, True)
    ways = [solver(monkeypatch, matrix, None, False)]
    if masses is not None:
        ways.append(solver(monkeypatch, matrix, masses, False))
    assert [way.method for way in ways] == ["multigrid", "symmetric multigrid"][: len(ways)]
    for way in ways:
        # every cell, those with next to no mass too
        np.testing.assert_allclose(way.solve(b), exact.solve(b), rtol=1e-9)
        assert way.residual < 1e-8 and exact.residual < 1e-9
        start = np.zeros(len(x))
        start[np.argmin(np.abs(x + np.eye(x.shape[1])[0]).sum(axis=1))] = 1.0
        occupied = exact.solve_transposed(start)
        np.testing.assert_allclose(way.solve_transposed(start), occupied, atol=1e-9 * occupied.max())


def test_three_dimensions_with_a_full_tensor(monkeypatch):
    """The mean time from (-1, 0, 0) to x0 > 1 in the box [-2, 2]^3: multigrid and factors at 24^3, and convergence of second order to 48^3."""
    found = {}
    for n, direct in ((12, True), (24, True), (24, False), (48, False)):
        matrix, masses, x = escaping(sg.Langevin.gibbs(trough, T=1 / 3, D=D3), sg.Grid([(-2, 2, n)] * 3))
        way = solver(monkeypatch, matrix, masses, direct)
        time = way.solve(np.ones(len(x)))
        around = np.abs(x - [-1, 0, 0]).max(axis=1) < 4 / n  # the cells whose corner it is
        assert around.sum() == 8
        found[n, direct] = time[around].mean()
    assert found[24, True] == pytest.approx(found[24, False], rel=1e-10)
    ratio = (found[12, True] - found[24, True]) / (found[24, True] - found[48, False])
    assert ratio == pytest.approx(4.0, rel=0.15)


def test_the_size_of_the_factors_is_foreseen():
    for problem, axes in (
        (sg.Langevin.gibbs(double_well, T=0.5), [(-2, 2, 150)] * 2),
        (sg.Langevin.gibbs(double_well, T=0.5, D=[[1, 0.8], [0.8, 1]]), [(-2, 2, 100)] * 2),
        (sg.Langevin.gibbs(trough, T=0.5), [(-2, 2, 20)] * 3),
        (sg.Langevin.gibbs(trough, T=0.5, D=D3), [(-2, 2, 20)] * 3),
    ):
        matrix, _, _ = escaping(problem, sg.Grid(axes))
        assert 0.6 < factor_count(matrix) / Solver(matrix)._factors.nnz < 1.7


def test_large_systems_go_to_multigrid_and_too_large_ones_are_refused(monkeypatch):
    n = 400_000
    lower, upper = -np.ones(n - 1), -np.ones(n - 1)
    chain = sparse.diags_array([lower, np.full(n, 2.0), upper], offsets=[-1, 0, 1]).tocsr()
    assert Solver(chain).method == "direct"
    side = 70
    line = sparse.diags_array([np.ones(side - 1), np.ones(side - 1)], offsets=[-1, 1])
    one = sparse.eye_array(side)
    cube = sum(sparse.kron(sparse.kron(a, b), c) for a, b, c in ((line, one, one), (one, line, one), (one, one, line)))
    cube = sparse.csr_array(6.1 * sparse.eye_array(side**3) - cube)
    assert Solver(cube).method == "multigrid"
    assert Solver(cube, np.ones(side**3)).method == "symmetric multigrid"
    with pytest.raises(
        MemoryError, match=r"343000 cells that needs about 0\.3 GB, expected at most 0\.1 GB; type a coarser Grid"
    ):
        Solver(cube, memory=1e8)
    monkeypatch.setenv("SGDYN_MEMORY", "0.1")
    with pytest.raises(MemoryError, match="SGDYN_MEMORY=1"):
        Solver(cube)
    monkeypatch.setenv("SGDYN_MEMORY", "much")
    with pytest.raises(ValueError, match="SGDYN_MEMORY='much', expected gigabytes"):
        Solver(cube)


def test_iterations_that_stop_short_say_how_far_they_came(monkeypatch):
    problem, axes = PROCESSES["reversible, 2-D"]
    matrix, masses, x = escaping(problem, sg.Grid(axes))
    monkeypatch.setattr(solvers, "MOST_ITERATIONS", 2)
    for given in (None, masses):
        with pytest.raises(
            sg.NotConvergedError, match=r"relative residual .* after 2 multigrid cycles.*type a coarser"
        ):
            solver(monkeypatch, matrix, given, False).solve(np.ones(len(x)))


def test_multigrid_gives_the_same_bits_whatever_the_random_state(monkeypatch):
    matrix, masses, x = escaping(*(PROCESSES["reversible, 2-D"][0], sg.Grid([(-2, 2, 40)] * 2)))
    for given in (None, masses):
        found = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            found.append(solver(monkeypatch, matrix, given, False).solve(np.ones(len(x))))
        assert np.array_equal(*found)
    assert np.array_equal(solver(monkeypatch, matrix, masses, False).solve(np.zeros(len(x))), np.zeros(len(x)))
