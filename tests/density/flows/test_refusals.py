"""Starts, energies and noise that are no numbers, and drifts that would be dropped."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.density.flows.starts import checked_energy
from sgdyn.errors import NotConvergedError

TABLE = sg.Grid([(-1.5, 1.5, 200)])
TABULATED = sg.Langevin(sg.tabulated(TABLE, (TABLE.midpoints[0] ** 2 - 1) ** 2), T=1 / 3)
LINE = sg.Langevin(sg.quadratic([[1.0]]))
WIDE = sg.gaussian(sg.Grid([(-2.5, 2.5, 100)]), [-0.5], [0.16])
CLOUD = stats.norm(-0.5, 0.4).rvs((300, 1), random_state=1)


@pytest.mark.parametrize(("start", "method"), [
    (stats.norm(-0.5, 0.4), None), (sg.GaussianState([-0.5], [[0.16]]), None), (WIDE, sg.Graph()), (WIDE, sg.Entropic()),
    (CLOUD, sg.Particles(300)),
])  # fmt: skip
def test_tables_that_end_before_the_start_does(start, method):
    with pytest.raises(ValueError, match="table"):
        sg.jko(TABULATED, start, tau=0.1, n=2, method=method)


def test_tables_that_end_on_the_way():
    """A start inside the table that is driven out of it: no hang, no NaN."""
    grid = sg.Grid([(0.5, 1.5, 200)])
    pushed = sg.Langevin(sg.tabulated(grid, -30 * grid.midpoints[0]), T=0.3)
    for start in (stats.uniform(0.8, 0.4), sg.GaussianState([1.0], [[1e-3]])):
        with pytest.raises((ValueError, NotConvergedError), match="nan"):
            sg.jko(pushed, start, tau=0.1, n=2)
    with pytest.raises((ValueError, NotConvergedError), match=r"finite there|smaller tau"):
        sg.jko(pushed, sg.GaussianState([1.0], [[1e-3]]), tau=0.1, n=2, method=sg.Particles(100, map="affine"))


def test_energies_are_numbers_after_every_step():
    checked_energy(0.5, 3)
    checked_energy(np.inf, 0)
    for value, k in ((np.nan, 0), (np.nan, 2), (np.inf, 1), (-np.inf, 0)):
        with pytest.raises(ValueError, match="start" if k == 0 else f"after step {k}"):
            checked_energy(value, k)


@pytest.mark.parametrize(("T", "error"), [(np.nan, ValueError), (-1.0, ValueError), (0.0, ValueError), ("a", TypeError), (np.inf, ValueError)])  # fmt: skip
def test_temperatures_of_entropies(T, error):
    with pytest.raises(error, match="T"):
        sg.Entropy(T)


def test_noise_below_zero():
    backward = sg.Langevin.gibbs(sg.quadratic([[1.0]]), D=lambda x: np.array([[x[0]]]))
    with pytest.raises(ValueError, match="eigenvalue"):
        sg.jko(backward, stats.norm(-0.5, 0.4), tau=0.1, n=1)
    nowhere = sg.Langevin.gibbs(sg.quadratic([[1.0]]), D=lambda x: np.array([[np.sqrt(x[0])]]))
    with pytest.raises(ValueError, match="D of nan"):
        sg.jko(nowhere, stats.norm(-0.5, 0.4), tau=0.1, n=1)


def test_starts_and_terms_that_are_none():
    for start in (sg.Cloud(np.full((50, 1), np.nan)), np.full((50, 1), np.nan), sg.Cloud(np.zeros(50))):
        with pytest.raises(ValueError, match="rho0"):
            sg.jko(LINE, start, tau=0.1, n=1)
    with pytest.raises(ValueError, match=r"sg\.Gaussian\(\)"):
        sg.jko(LINE, sg.GaussianState([0.0], [[0.0]]), tau=0.1, n=1, method=sg.Particles(100))
    for term in (sg.PotentialEnergy, sg.Interaction):
        with pytest.raises(TypeError, match=r"sg\.potential"):
            term(lambda x: x)


def test_drifts_that_descend_nothing_are_not_left_out():
    """Langevin(U, D) with a full D that is no number: -grad U descends nothing in the metric of D^-1, and no energy takes it along."""
    bowl, energy = (
        sg.quadratic([[2.0, 0.3], [0.3, 1.0]]),
        sg.PotentialEnergy(sg.quadratic([1.0, 1.0])) + sg.Entropy(0.3),
    )
    start = sg.gaussian(sg.Grid([(-2, 2, 8)] * 2), [0, 0], 0.2 * np.eye(2))
    tilted, none = [[1.0, 0.8], [0.8, 1.0]], sg.potential(dim=2)(lambda x: 0 * x[0])
    with pytest.raises(ValueError, match=r"has no part.*sg\.Langevin\.gibbs"):
        sg.jko(sg.Langevin(bowl, 0.3, tilted), start, tau=0.1, n=1, energy=energy)
    for metric in (sg.Langevin.gibbs(bowl, 0.3, tilted), sg.Langevin(none, 0.3, tilted)):
        assert len(sg.jko(metric, start, tau=0.1, n=1, energy=energy)) == 2


def test_derivatives_of_ones_own_energies_are_theirs():
    class Cubic:
        def __init__(self, level=0.0, factor=3.0, bend=6.0):
            self.level, self.factor, self.bend = level, factor, bend

        def per_volume(self, rho):
            return self.level + rho**3

        def slope(self, rho):
            return self.factor * rho**2

        def curvature(self, rho):
            return self.bend * rho

    for wrong, what in (
        (Cubic(1.0), "no mass"),
        (Cubic(factor=2.0, bend=4.0), r"slope.*expected"),
        (Cubic(bend=2.0), "curvature"),
    ):
        with pytest.raises(ValueError, match=what):
            sg.jko(LINE, WIDE, tau=0.1, n=1, energy=wrong)
    assert len(sg.jko(LINE, WIDE, tau=0.1, n=1, energy=Cubic())) == 2


def test_interactions_that_are_none():
    def flow(W, start=WIDE, method=None):
        return sg.jko(LINE, start, tau=0.1, n=1, energy=sg.Entropy(0.3) + sg.Interaction(W), method=method)

    uneven, spring = sg.potential(dim=1)(lambda x: x[0] ** 2 / 2 + x[0]), sg.quadratic([[1.0]])
    for method in (sg.Graph(), sg.Quantile(50), sg.Particles(100, map="affine")):
        with pytest.raises(ValueError, match="even"):
            flow(uneven, method=method)
    with pytest.raises(ValueError, match="even"):
        flow(sg.quadratic([[1.0]], [1.0]), sg.GaussianState([0.0], [[1.0]]), sg.Gaussian())
    with pytest.raises(ValueError, match="finite, also at 0"):
        flow(sg.potential(dim=1)(lambda x: -np.log(np.abs(x[0]))))
    with pytest.raises(ValueError, match=r"dimension 2.*dim=1"):
        flow(sg.quadratic([1.0, 1.0]))
    ring = sg.Density(sg.Grid([(-2.5, 2.5, 100)], "periodic"), WIDE.values)
    with pytest.raises(ValueError, match="periodic axis 0"):
        flow(spring, ring)
    around = sg.potential(dim=1)(lambda x: -np.cos(2 * np.pi * x[0] / 5))
    assert len(flow(around, ring, sg.Graph())) == len(flow(spring)) == 2
