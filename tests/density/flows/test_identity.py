"""Checkpoints of flows: which flow they belong to, and what ends a run."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.density.flows.records import Kept, Record
from sgdyn.errors import NotConvergedError

FAR = stats.norm(20.0, 0.3)
BOX = (-1.5, 1.5, 12)


def tilted(slope):
    return sg.potential(dim=1)(lambda x: (x[0] - 20) ** 2 + slope * x[0])


def plane(boundary="reflecting", high=1.5):
    return sg.gaussian(sg.Grid([BOX, (-1.5, high, 12)], boundary=boundary), [0.2, 0.0], [0.1, 0.1])


class Square:
    """One's own energy, parameters and all: no dataclass."""

    def __init__(self, strength=1.0):
        self.strength = strength

    def per_volume(self, rho):
        return self.strength * rho**2

    def slope(self, rho):
        return 2 * self.strength * rho

    def curvature(self, rho):
        return 2 * self.strength + 0 * rho


@dataclass(frozen=True)
class Hidden(sg.Entropy):
    """A dataclass one of whose parameters is no field."""

    def __post_init__(self):
        object.__setattr__(self, "strength", self.T)
        object.__setattr__(self, "T", 1.0)

    def per_volume(self, rho):
        return self.strength * rho**2

    def slope(self, rho):
        return 2 * self.strength * rho

    def curvature(self, rho):
        return 2 * self.strength + 0 * rho


def bump(height):
    """Differs near x = 20 only."""
    return sg.potential(dim=1)(lambda x: x[0] ** 2 / 50 + height / (1 + np.exp(-10 * (x[0] - 20))))


def swirl(turn):
    return sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), curl=lambda x: np.array([-turn * x[1], turn * x[0]]))


WAVES = sg.potential(dim=2)(lambda x: np.cos(2 * np.pi * x[0] / 3) + np.cos(4 * np.pi * x[1] / 3))
STILL = sg.Langevin.gibbs(WAVES)
GRAPH = {"method": sg.Graph()}
PAIRS = [
    ((STILL, plane()), (STILL, plane("periodic")), GRAPH),
    ((STILL, plane()), (STILL, plane(["periodic", "reflecting"])), GRAPH),
    ((STILL, plane()), (STILL, plane(high=1.6)), GRAPH),
    ((sg.Langevin(bump(0.0)), FAR), (sg.Langevin(bump(0.5)), FAR), {}),
    ((sg.Langevin(tilted(0.0)), FAR), (sg.Langevin(tilted(1e-3)), FAR), {}),
    ((swirl(1.0), plane()), (swirl(1.5), plane()), {"split": "curl"}),
    ((STILL, plane()), (sg.Langevin.gibbs(WAVES, D=[1.0, 1.1]), plane()), GRAPH),
    ((STILL, plane()), (sg.Langevin.gibbs(WAVES, D=lambda x: np.eye(2) * (1 + 0 * x[0])), plane()), GRAPH),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "settings"), PAIRS[:-1])
def test_checkpoints_know_walls_potentials_curl_and_D(one, other, settings, tmp_path):
    more = {"tau": 0.1, "n": 1, "checkpoint": tmp_path, **settings}
    sg.jko(*one, **more)
    sg.jko(*one, **more)
    with pytest.raises(ValueError, match="another flow"):
        sg.jko(*other, **more)


def test_the_same_flow_may_be_written_differently(tmp_path):
    one, other, settings = PAIRS[-1]
    first = sg.jko(*one, tau=0.1, n=1, checkpoint=tmp_path, **settings)
    np.testing.assert_array_equal(
        sg.jko(*other, tau=0.1, n=1, checkpoint=tmp_path, **settings).energies, first.energies
    )


@pytest.mark.parametrize("kind", [Square, Hidden])
def test_ones_own_energies_are_known_by_their_values(kind, tmp_path):
    process, start = sg.Langevin(sg.quadratic([[1.0]])), stats.norm()
    more = {"tau": 0.1, "n": 1, "checkpoint": tmp_path}
    energies = sg.jko(process, start, energy=kind(2.0), **more).energies
    np.testing.assert_array_equal(sg.jko(process, start, energy=kind(2.0), **more).energies, energies)
    with pytest.raises(ValueError, match="another flow"):
        sg.jko(process, start, energy=kind(3.0), **more)


@dataclass(frozen=True)
class Failing(sg.Quantile):
    """Finds no minimum in the third step."""

    def step(self, state, tau):
        if state.steps == 2:
            raise NotConvergedError("got no descent")
        return super().step(state, tau)


def test_steps_before_a_failure_are_kept(tmp_path):
    process = sg.Langevin(sg.quadratic([[1.0]]))
    with pytest.raises(NotConvergedError):
        sg.jko(process, stats.norm(1), tau=0.1, n=5, method=Failing(50), checkpoint=tmp_path)
    assert (tmp_path / "step-2.npz").exists()
    flow = sg.jko(process, stats.norm(1), tau=0.1, n=2, method=Failing(50), checkpoint=tmp_path)
    np.testing.assert_array_equal(
        flow.energies, sg.jko(process, stats.norm(1), tau=0.1, n=2, method=sg.Quantile(50)).energies
    )


class Interrupting(list):
    """A list of what waits; Ctrl-C comes when its first member is about to go."""

    pressed = False

    def __delitem__(self, k):
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        super().__delitem__(k)


def test_ctrl_c_while_writing_has_no_step_twice(tmp_path):
    record = Record(tmp_path, lambda: {"flow": 1})
    record.waiting = Interrupting((k, Kept(None, 0.5, 0.1, 3, 1e-9, 0.0), {"x": np.ones(2) * k}) for k in (1, 2))
    with pytest.raises(KeyboardInterrupt):
        record._write()
    record._write()
    assert [row["file"] for row in record.rows] == ["step-1.npz", "step-2.npz"] and not record.waiting
