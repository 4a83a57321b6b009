"""Edges of a constant diffusion: the same as those gathered cell by cell."""

import numpy as np
import pytest
from scipy import sparse

import sgdyn as sg
from sgdyn.density import lattice as lattices


def matrices(found, size):
    e = found.edges
    assert np.all(e.i < e.j)
    shown = (e.strength, *(e.dx.T * e.strength), np.ones(len(e.i)))
    return [sparse.csr_array((values, (e.i, e.j)), shape=(size, size)).toarray() for values in shown]


@pytest.mark.parametrize("seed", range(24))
def test_shifted_edges_are_those_of_the_cells(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    dim = 1 + seed % 3
    A = rng.normal(size=(dim, dim))
    D = A @ A.T + 0.6 * np.eye(dim)
    walls = [str(rng.choice(["reflecting", "periodic"])) for _ in range(dim)]
    grid = sg.Grid([(-1.0, 1.0 + k, int(n)) for k, n in enumerate(rng.integers(3, 11, dim))], walls)
    quick = lattices.lattice(grid, D[None])
    monkeypatch.setattr(lattices, "joins", lambda found: False)
    for one, other in zip(
        matrices(quick, grid.size), matrices(lattices.lattice(grid, D[None]), grid.size), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
