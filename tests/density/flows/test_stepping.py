"""`jko`: what it chooses and refuses, checkpoints, Ctrl-C, curls in turns, energies, results."""

from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.density.flows.stirring import Stirring

START = stats.norm(-0.5, 0.4)
PLANE = sg.Grid([(-3, 3, 40)] * 2)


@sg.potential(dim=1)
def well(x):
    return (x[0] ** 2 - 1) ** 2


def line(T=1 / 3):
    return sg.Langevin(well, T)


def swirl(turn=2.0):
    return sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), curl=lambda x: np.array([-turn * x[1], turn * x[0]]))


@dataclass(frozen=True)
class Stopping(sg.Quantile):
    """Presses Ctrl-C in the third step."""

    def step(self, state, tau):
        if state.steps == 2:
            raise KeyboardInterrupt
        return super().step(state, tau)


@dataclass(frozen=True)
class Still:
    """A method on a grid that leaves everything where it is."""

    def start(self, problem, rho0, energy, seed):
        return Rest(rho0)

    def step(self, state, tau):
        return state

    def moved(self, state, density):
        return replace(state, density=density)

    def restore(self, state, arrays):
        return Rest(sg.Density(state.density.grid, arrays["values"]))


@dataclass(frozen=True, eq=False)
class Rest:
    density: sg.Density
    energy: float = 0.0
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0

    def arrays(self):
        return {"values": self.density.values}


def test_the_method_is_chosen_by_process_and_start():
    linear, normal = sg.Langevin(sg.quadratic([[1.0]])), sg.GaussianState([0.0], [[1.0]])
    assert sg.jko(linear, normal, tau=0.1, n=1).method == sg.Gaussian()
    assert sg.jko(line(), normal, tau=0.1, n=1).method == sg.Quantile()
    assert sg.jko(linear, START, tau=0.1, n=1).method == sg.Quantile()
    assert sg.jko(linear, normal, tau=0.1, n=1, energy=sg.PorousMedium(2)).method == sg.Quantile()


def test_a_flow_is_a_sequence_of_densities_with_evidence():
    flow = sg.jko(line(), START, tau=0.1, n=4)
    assert len(flow) == 5 and flow[1:3] == flow.densities[1:3]
    np.testing.assert_allclose(flow.times, 0.1 * np.arange(5))
    assert flow.energies.shape == (5,) and flow.w2.shape == flow.dissipation.shape == (4,) == (len(flow.evidence),)
    assert all(step.iterations > 0 and step.residual < 1e-9 for step in flow.evidence)
    assert flow.complete and not flow.warnings and flow.split is None


def test_a_flow_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    settings = {"tau": 0.05, "method": sg.Quantile(200, order=2)}
    whole = sg.jko(line(), START, n=6, **settings)
    sg.jko(line(), START, n=2, checkpoint=tmp_path / "run", **settings)
    for _ in range(2):
        flow = sg.jko(line(), START, n=6, checkpoint=str(tmp_path / "run"), **settings)
        np.testing.assert_array_equal(flow.energies, whole.energies)
        np.testing.assert_array_equal(flow.w2, whole.w2)
        np.testing.assert_array_equal(flow[-1].values, whole[-1].values)
        assert flow.evidence == whole.evidence and len(flow) == 7
    assert len(sg.jko(line(), START, n=3, checkpoint=tmp_path / "run", **settings)) == 4
    with pytest.raises(ValueError, match="another flow"):
        sg.jko(line(0.4), START, n=6, checkpoint=tmp_path / "run", **settings)
    with pytest.raises(ValueError, match="tau"):
        sg.jko(line(), START, n=6, checkpoint=tmp_path / "run", **settings | {"tau": 0.1})
    (tmp_path / "run" / "step-2.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"damaged.*step-2"):
        sg.jko(line(), START, n=6, checkpoint=tmp_path / "run", **settings)
    (tmp_path / "run" / "flow.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        sg.jko(line(), START, n=6, checkpoint=tmp_path / "run", **settings)


def test_closed_forms_go_on_too(tmp_path):
    process, start = sg.Langevin(sg.quadratic([2.0, 1.0]), D=[1.0, 0.5]), sg.GaussianState([1, 2], np.eye(2))
    whole = sg.jko(process, start, tau=0.1, n=4)
    sg.jko(process, start, tau=0.1, n=2, checkpoint=tmp_path)
    flow = sg.jko(process, start, tau=0.1, n=4, checkpoint=tmp_path)
    np.testing.assert_array_equal(flow[-1].covariance, whole[-1].covariance)
    np.testing.assert_array_equal(flow.energies, whole.energies)


def test_ctrl_c_returns_what_is_done_and_keeps_it(tmp_path):
    with pytest.warns(UserWarning, match="interrupted: 2 of 6"):
        flow = sg.jko(line(), START, tau=0.1, n=6, method=Stopping(100), checkpoint=tmp_path)
    assert not flow.complete and len(flow) == 3 and "interrupted" in flow.warnings[0]
    assert (tmp_path / "step-2.npz").exists() and not (tmp_path / "step-3.npz").exists()
    plain = sg.jko(line(), START, tau=0.1, n=2, method=sg.Quantile(100))
    np.testing.assert_array_equal(flow.energies, plain.energies)


@pytest.mark.parametrize(("problem", "message"), [
    (swirl(), 'split="curl"'),
    (sg.Langevin.linear([[1.0, 2.0], [-2.0, 1.0]]), r"sg\.fokker_planck.*sg\.simulate"),
    (sg.Langevin(sg.quadratic([1.0, 3.0]), D=[[1.0, 0.4], [0.4, 1.0]]), r"sg\.fokker_planck.*gibbs"),
    (sg.Langevin.gibbs(sg.quadratic([1.0, 3.0]), D=[1.0, 0.0]), "positive definite"),
    (sg.Momentum(sg.quadratic([[1.0]])), r"Momentum.*sg\.fokker_planck"),
    (sg.Langevin(sg.potential(dim=1)(lambda x, t=0.0: t * x[0] ** 2)), "time"),
])  # fmt: skip
def test_what_descends_nothing_is_refused_with_the_solver_that_takes_it(problem, message):
    with pytest.raises(ValueError, match=message):
        sg.jko(problem, sg.GaussianState(np.zeros(problem.dim), np.eye(problem.dim)), tau=0.1, n=1)


def test_bad_input_says_what_to_type():
    with pytest.raises(TypeError, match=r"sg\.Langevin\.gibbs"):
        sg.jko(well, START, tau=0.1, n=1)
    with pytest.raises(ValueError, match="tau"):
        sg.jko(line(), START, tau=0.0, n=1)
    with pytest.raises(TypeError, match="GaussianState"):
        sg.jko(line(), "somewhere", tau=0.1, n=1)
    with pytest.raises(ValueError, match="dimension 2"):
        sg.jko(line(), sg.GaussianState([0, 0], np.eye(2)), tau=0.1, n=1)
    with pytest.raises(TypeError, match=r"sg\.Quantile\(\)"):
        sg.jko(line(), START, tau=0.1, n=1, method=sg.Quantile)
    with pytest.raises(ValueError, match="split"):
        sg.jko(line(), START, tau=0.1, n=1, split="yes")
    with pytest.raises(TypeError, match="PotentialEnergy"):
        sg.jko(line(), START, tau=0.1, n=1, energy=3)
    with pytest.raises(TypeError, match="checkpoint"):
        sg.jko(line(), START, tau=0.1, n=1, checkpoint=3)
    with pytest.raises(ValueError, match="m > 1"):
        sg.PorousMedium(1.0)
    with pytest.raises(ValueError, match="Graph"):
        sg.jko(swirl(), sg.GaussianState([0, 0], np.eye(2)), tau=0.1, n=1, method=sg.Gaussian(), split="curl")


def test_in_one_dimension_every_drift_descends_something():
    drift = sg.Langevin.from_drift(lambda x: np.array([x[0] - x[0] ** 3 + 0.3]), T=0.5, dim=1)
    same = sg.Langevin(sg.potential(dim=1)(lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 - 0.3 * x[0]), T=0.5)
    pushed = sg.Langevin(
        sg.potential(dim=1)(lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2), 0.5, curl=lambda x: np.array([0.3 + 0 * x[0]])
    )
    flows = [sg.jko(p, START, tau=0.1, n=3, method=sg.Quantile(200)) for p in (same, drift, pushed)]
    for flow in flows[1:]:
        np.testing.assert_allclose(flow[-1].grid.edges[0], flows[0][-1].grid.edges[0], atol=1e-8)
        np.testing.assert_allclose(np.diff(flow.energies), np.diff(flows[0].energies), atol=1e-10)
    with pytest.raises(ValueError, match="curl"):
        sg.jko(pushed, START, tau=0.1, n=1, energy=sg.Entropy(1.0))


def test_the_curl_alone_turns_densities_and_keeps_gibbs():
    start = sg.gaussian(PLANE, [1.0, 0.0], [0.3, 0.3])
    flow = sg.jko(swirl(), start, tau=np.pi / 40, n=10, method=Still(), split="curl")
    assert flow.split == "curl" and "split" in flow.warnings[0]
    np.testing.assert_allclose(flow[-1].mean(), [0, 1], atol=0.02)
    for rho in flow:
        assert rho.values.min() >= 0 and rho.masses.sum() == pytest.approx(1, abs=1e-12)
    gibbs = sg.fokker_planck(swirl(), PLANE).stationary()
    np.testing.assert_allclose(Stirring.of(swirl(), PLANE)(gibbs, 1.0).masses, gibbs.masses, atol=1e-13)
    outward = sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), curl=lambda x: np.array([0.5 + 0 * x[0], x[0]]))
    shifted = Stirring.of(outward, PLANE)(start, 0.5)
    np.testing.assert_allclose(shifted.mean(), [1.25, 0.5625], atol=0.01)
    assert shifted.values.min() >= 0 and shifted.masses.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("grid", "curl"), [
    (sg.Grid([(-2, 2, 10), (-2, 2, 9)], ["periodic", "reflecting"]), lambda x: np.array([1 + 0 * x[0], np.cos(np.pi * x[0] / 2)])),
    (sg.Grid([(-2, 2, 6)] * 3), lambda x: np.array([-3 * x[1], x[0], x[0]])),
    (sg.Grid([np.r_[-2, -1.5, np.linspace(-1, 2, 9)], (-2, 2, 9)]), lambda x: np.array([-x[1], 5 * x[0]])),
])  # fmt: skip
def test_curls_that_keep_nothing_keep_mass_and_sign(grid, curl):
    """From a single cell, around a ring, in three dimensions, between unequal cells."""
    U = sg.potential(dim=grid.dim)(lambda x: -np.cos(np.pi * x[0] / 2) + x[1] ** 2)
    values = np.zeros(grid.shape)
    values[(3,) * grid.dim] = 1
    rho = sg.Density(grid, values).normalised
    after = Stirring.of(sg.Langevin.gibbs(U, 0.5, np.eye(grid.dim), curl=curl), grid)(rho, 0.7)
    assert after.values.min() >= 0 and after.masses.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(after.masses - rho.masses).sum() > 0.5


def test_steep_walls_need_no_substeps():
    """exp(-U/T) falls by e^15 from cell to cell in the corners: upwind rates, the generator's own."""
    steep = sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), 0.03, np.eye(2), curl=lambda x: np.array([-x[1], x[0]]))
    stirring = Stirring.of(steep, PLANE)
    assert stirring.fastest > 1e5
    gibbs, start = sg.fokker_planck(steep, PLANE).stationary(), sg.gaussian(PLANE, [1.0, 0.0], [0.3, 0.3])
    np.testing.assert_allclose(stirring(gibbs, 1.0).masses, gibbs.masses, atol=1e-12)
    after = stirring(start, 0.25 * np.pi)
    assert after.values.min() >= 0 and after.masses.sum() == pytest.approx(1, abs=1e-12)
    assert 0.2 < after.mean()[1] < 0.8  # carried on, though not far enough: nothing resolves e^15


def test_curls_are_carried_to_second_order():
    """A quarter of a turn of a normal density, against the one that has turned."""
    errors = []
    for cells in (16, 32, 64):
        grid = sg.Grid([(-4, 4, cells)] * 2)
        problem = sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), curl=lambda x: np.array([-x[1], x[0]]))
        turned = Stirring.of(problem, grid)(sg.gaussian(grid, [1.0, 0.0], [0.5, 0.5]), 0.5 * np.pi)
        errors.append(np.abs(turned.masses - sg.gaussian(grid, [0.0, 1.0], [0.5, 0.5]).masses).sum())
    assert errors[2] < 0.02 and np.log2(errors[1] / errors[2]) > 1.6, errors


def test_energies_add_up():
    U, W = sg.quadratic([[1.0]]), sg.quadratic([[2.0]])
    energy = sg.PotentialEnergy(U) + sg.Entropy(0.5) + sg.PorousMedium(2, 0.3) + sg.Interaction(W)
    assert isinstance(energy, sg.Energy) and energy.temperature is None
    assert (sg.Entropy(0.5) + sg.PotentialEnergy(U)).is_free_energy
    box = sg.Grid(((-8, 8, 1600),))
    rho = sg.gaussian(box, [1.0], [0.25])
    entropy = -0.25 * (np.log(2 * np.pi * 0.25) + 1)
    square = 0.3 / (2 * np.sqrt(np.pi) * 0.5)
    assert energy.value(rho) == pytest.approx(0.5 * 1.25 + entropy + square + 0.25, rel=1e-5)
    density = np.array([0.3, 2.0])
    for f in (energy, sg.Entropy(0.7), sg.PorousMedium(3.0)):
        h = 1e-6
        np.testing.assert_allclose(
            (f.per_volume(density + h) - f.per_volume(density - h)) / (2 * h), f.slope(density), rtol=1e-8
        )
        np.testing.assert_allclose(
            (f.slope(density + h) - f.slope(density - h)) / (2 * h), f.curvature(density), rtol=1e-8
        )


@dataclass(frozen=True)
class Squares:
    """One's own internal energy: the integral of rho²."""

    def per_volume(self, rho):
        return rho**2

    def slope(self, rho):
        return 2 * rho

    def curvature(self, rho):
        return np.full_like(rho, 2.0)


def test_ones_own_energy_serves():
    flows = [sg.jko(line(), START, tau=0.1, n=2, energy=e) for e in (Squares(), sg.PorousMedium(2.0))]
    np.testing.assert_allclose(flows[0].energies, flows[1].energies, rtol=1e-12)


def test_pictures():
    normal = sg.jko(sg.Langevin(sg.quadratic([[1.0]])), sg.GaussianState([1.0], [[0.2]]), tau=0.1, n=3)
    solid = sg.jko(sg.Langevin(sg.quadratic([1.0, 2.0, 3.0])), sg.GaussianState(np.ones(3), np.eye(3)), tau=0.1, n=3)
    still = sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]))
    plane = sg.jko(still, sg.gaussian(PLANE, [1, 0], [0.3, 0.3]), tau=0.1, n=3, method=Still())
    for flow in (sg.jko(line(), START, tau=0.1, n=3), normal, solid, plane):
        ax = flow.plot()
        ax.figure.canvas.draw()
        assert ax.has_data() and ax.get_xlabel()
        plt.close(ax.figure)
    assert solid.continuous[0] == pytest.approx(solid.energies[0], rel=1e-12)
    assert np.all(np.diff(plane.continuous) < 0)
