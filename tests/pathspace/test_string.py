"""Minimum energy paths against known barriers, other metrics, and paths of least action."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

import sgdyn as sg
from sgdyn.pathspace import strings
from tests.interruption import interruptible

# dossier rates_and_paths, C07 (high-precision evaluation at the critical points)
FROM_A, FROM_B = 106.034673701296609, 35.9177840045271435


def test_the_barriers_of_muller_and_brown():
    landscape = sg.landscapes.muller_brown()
    A, B, C = landscape.minima
    found = sg.string(landscape.U, A, B)
    assert abs(float(found.barrier) - FROM_A) < 1e-10 and found.barrier.error < 1e-9
    assert np.allclose(found.saddles, landscape.saddles, atol=1e-8)
    assert abs(float(sg.string(landscape, B, C, n=16).barrier) - FROM_B) < 1e-10
    assert np.isclose(found.barrier_back, landscape.U(landscape.saddles[0]) - landscape.U(B), atol=1e-8)


def test_grad_U_is_parallel_to_the_string():
    landscape = sg.landscapes.muller_brown()
    found = sg.string(landscape.U, landscape.minima[0], landscape.minima[1], n=64, tolerance=1e-5)
    slope, t = landscape.U.grad(found.x[1:-1]), CubicSpline(np.arange(65), found.x)(np.arange(1, 64), 1)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    across = slope - t * np.sum(slope * t, axis=1)[:, None]
    away = [np.linalg.norm(found.x[1:-1] - p, axis=1) > 0.1 for p in [*found.saddles, *landscape.minima]]
    assert np.linalg.norm(across, axis=1)[np.all(away, axis=0)].max() < 2e-3 * np.linalg.norm(slope, axis=1).max()


@pytest.mark.parametrize("D", [np.array([[1, 0.8], [0.8, 1]]), lambda x: np.array([[1 + x[0] ** 2, 0.2], [0.2, 1.0]])])
def test_the_metric_is_that_of_D_and_the_path_that_of_least_action(D):
    landscape = sg.landscapes.muller_brown()
    problem = sg.Langevin.gibbs(landscape.U, 10.0, D)
    A, _, C = landscape.minima
    found = sg.string(problem, A, C, n=64, tolerance=1e-5)
    least = sg.minimum_action(problem, A, C, n=128, start=found.x)
    assert abs(float(found.barrier) - FROM_A) < 1e-10
    assert abs(float(least.cost) - FROM_A) < 2e-3
    euclidean = sg.string(landscape.U, A, C, n=64, tolerance=1e-5)
    apart = lambda x, y: np.linalg.norm(x[:, None] - y, axis=-1).min(1).max()
    dense = least.path.at(np.linspace(0, 1, 4001))
    assert apart(found.x, dense) < 0.003 < 0.04 < apart(euclidean.x, dense)


def test_images_are_at_equal_distances_between_the_saddles():
    landscape = sg.landscapes.double_well_2d(0.1)
    found = sg.string(landscape.U, *landscape.minima, n=20)
    steps = np.linalg.norm(np.diff(found.x, axis=0), axis=1)
    at = int(np.argmin(np.linalg.norm(found.x - found.saddles[0], axis=1)))
    assert np.ptp(steps[:at]) < 1e-6 and np.ptp(steps[at:]) < 1e-6


def test_units_and_rotations(rng):
    landscape, turn = sg.landscapes.muller_brown(), np.linalg.qr(rng.normal(size=(2, 2)))[0]
    U = sg.Potential.from_functions(
        lambda y: 3 * landscape.U(y @ turn / 2), lambda y: 1.5 * landscape.U.grad(y @ turn / 2) @ turn.T, dim=2
    )
    A, _, C = landscape.minima
    plain, moved = sg.string(landscape.U, A, C, n=24), sg.string(U, 2 * turn @ A, 2 * turn @ C, n=24)
    assert np.isclose(float(moved.barrier), 3 * float(plain.barrier), rtol=1e-9)
    assert np.allclose(moved.x, 2 * plain.x @ turn.T, atol=2e-3)


def valley(dim):
    """(x0² - 1)²/4 along a curved valley, stiff across it: the barrier is 1/4."""
    i = np.arange(1, dim)
    stiffness, bend = 1 + 3 * np.sin(i) ** 2, np.cos(3 * i) / np.sqrt(dim)

    def value(x):
        return (x[..., 0] ** 2 - 1) ** 2 / 4 + 0.5 * (stiffness * (x[..., 1:] - bend * x[..., :1] ** 2) ** 2).sum(-1)

    def grad(x):
        pull = stiffness * (x[..., 1:] - bend * x[..., :1] ** 2)
        first = x[..., 0] ** 3 - x[..., 0] - 2 * x[..., 0] * (pull @ bend)
        return np.concatenate([first[..., None], pull], -1)

    ends = np.concatenate([[-1.0], bend]), np.concatenate([[1.0], bend])
    return sg.Potential.from_functions(value, grad, dim=dim), *ends


def test_a_thousand_dimensions():
    U, a, b = valley(1000)
    found = sg.string(U, a, b, n=16)
    assert abs(float(found.barrier) - 0.25) < 1e-12 and len(found.saddles) == 1
    least = sg.minimum_action(sg.Langevin(U, 0.5), a, b, n=48, starts=0)
    assert abs(float(least.cost) - 0.25) < 4 * least.cost.error < 2e-3


def chain(dim, stiffness):
    """Sites in double wells (x² - 1)²/4 with springs between neighbours."""

    def grad(x):
        pull = stiffness * np.diff(x, axis=-1)
        none = np.zeros_like(x[..., :1])
        return x**3 - x + np.concatenate([none, pull], -1) - np.concatenate([pull, none], -1)

    return sg.Potential.from_functions(
        lambda x: ((x**2 - 1) ** 2).sum(-1) / 4 + stiffness / 2 * (np.diff(x, axis=-1) ** 2).sum(-1), grad, dim=dim
    )


@pytest.mark.parametrize("start", ["front", "straight"])
def test_a_chain_of_double_wells(start):
    """The kink of a stiff chain costs ∫ sqrt(2 k W) dx = sqrt(k/2) 4/3, W = (x² - 1)²/4, up to what the sites' distance does to it.

    The straight line, all sites at once, is a ridge of height dim/4, from which the string is pushed off.
    """
    dim, stiffness = 100, 10.0
    front = np.tanh((120 * np.linspace(0, 1, 60)[:, None] - 10 - np.arange(dim)) / np.sqrt(2 * stiffness))
    given = front if start == "front" else None
    found = sg.string(chain(dim, stiffness), -np.ones(dim), np.ones(dim), n=32, start=given, tolerance=1e-3)
    assert np.isclose(float(found.barrier), 4 / 3 * np.sqrt(stiffness / 2), rtol=2e-3)


def test_strings_are_pushed_off_ridges(monkeypatch):
    """A hill between two minima: the straight line leads over its top, the saddles lie beside it; unpushed it says what it found."""
    U = sg.potential(dim=2)(lambda x: (x[0] ** 2 + x[1] ** 2 - 1) ** 2 + 0.2 * x[1] ** 2)
    found = sg.string(U, [-1, 0], [1, 0], n=32)
    height = 0.2 - 0.01  # y² = 1 - 0.1 on the axis
    assert abs(float(found.barrier) - height) < 1e-10 and found.barrier.warnings == ()
    assert np.allclose(np.abs(found.saddles), [[0, np.sqrt(0.9)]], atol=1e-8)
    monkeypatch.setattr(strings, "PUSHES", 0)
    stuck = sg.string(U, [-1, 0], [1, 0], n=32)
    assert np.isclose(float(stuck.barrier), 1.0) and "ridge" in stuck.barrier.warnings[0]


def test_strings_that_swing_out_begin_anew_without_a_word():
    """A rough start in a chain: accelerated steps leave the finite numbers."""
    dim, s = 20, np.linspace(0, 1, 33)[:, None]
    start = (2 * s - 1) + 0.3 * np.sin(np.pi * s) * np.random.default_rng(0).normal(size=dim)
    found = sg.string(chain(dim, 1.0), -np.ones(dim), np.ones(dim), n=32, start=start, most=600)
    assert np.all(np.isfinite(found.x)) and 0.9 < float(found.barrier) < 3


def test_torch_potentials():
    """A sum of tanh units in torch, its gradient by autograd: two minima of a small network's loss, a mirror image apart."""
    inputs = torch.linspace(-2, 2, 21, dtype=torch.float64)

    def loss(w):
        made = w[..., 0:1] * torch.tanh(w[..., 1:2] * inputs)
        return ((made - torch.tanh(inputs)) ** 2).mean(-1) + 0.02 * (w**2).sum(-1)

    def value(x):
        return loss(torch.as_tensor(x)).numpy()

    def grad(x):
        w = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(loss(w).sum(), w)[0].numpy()

    U = sg.Potential.from_functions(value, grad, dim=2)
    points = sg.critical_points(U, [(-2, 2)] * 2, method="newton")
    a, b = sorted(points.minima[:2].tolist())
    found = sg.string(U, a, b, n=24, start=[a, [-0.5, 0.5], b])
    assert np.isclose(float(found.barrier), float(U(points.saddles)[0] - U(np.array(a))), atol=1e-9)


def test_without_climbing_the_highest_image_is_a_lower_bound():
    landscape = sg.landscapes.muller_brown()
    found = sg.string(landscape.U, landscape.minima[0], landscape.minima[1], n=15, climbing=False)
    assert 0 < FROM_A - float(found.barrier) < found.barrier.error
    assert "lower bound" in found.barrier.warnings[0] and len(found.saddles) == 0


def test_ctrl_c_returns_what_is_done(monkeypatch):
    landscape, steps = sg.landscapes.muller_brown(), []

    def interrupted(chain, state, step=strings._Chain.step, **keywords):
        steps.append(1)
        if len(steps) == 30:
            raise KeyboardInterrupt
        return step(chain, state, **keywords)

    monkeypatch.setattr(strings._Chain, "step", interrupted)
    with interruptible():
        found = sg.string(landscape.U, landscape.minima[0], landscape.minima[1])
    assert not found.complete and "Ctrl-C" in found.barrier.warnings[0]
    assert 80 < float(found.barrier) < 200


def test_strings_draw_themselves():
    landscape = sg.landscapes.double_well_2d()
    ax = sg.string(landscape.U, *landscape.minima, n=8).plot()
    assert ax.get_ylabel() == "$U - U_a$" and len(ax.lines) == 2


def test_bad_input():
    landscape = sg.landscapes.double_well_2d()
    a, b = landscape.minima
    with pytest.raises(ValueError, match="two different points"):
        sg.string(landscape.U, a, a)
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        sg.string(landscape.U, a, [1.0])
    with pytest.raises(ValueError, match="at least 4"):
        sg.string(landscape.U, a, b, n=2)
    with pytest.raises(ValueError, match="tolerance"):
        sg.string(landscape.U, a, b, tolerance=0)
    with pytest.raises(ValueError, match="type minimum_action"):
        sg.string(sg.landscapes.maier_stein().problem(), a, b)
    with pytest.raises(ValueError, match="type minimum_action"):
        sg.string(sg.Langevin(landscape.U, 1.0, [1.0, 2.0]), a, b)
    with pytest.raises(ValueError, match="full rank"):
        sg.string(sg.Langevin.gibbs(landscape.U, 1.0, [1.0, 0.0]), a, b)
    with pytest.raises(ValueError, match="type string"):
        sg.string(sg.Momentum(landscape.U), a, b)
    with pytest.raises(TypeError, match="expected a Potential"):
        sg.string(lambda x: x, a, b)


def test_strongly_bent_strings_are_accelerated(monkeypatch):
    """A kink wider than the images are apart turns the string by a right angle at each: 915 steps where only plain ones are taken."""
    taken, step = [], strings._Chain.step
    monkeypatch.setattr(strings._Chain, "step", lambda *a, **k: taken.append(0) or step(*a, **k))
    dim, stiffness = 250, 60.0

    def grad(x):
        pull = stiffness * np.diff(x, axis=-1)
        none = np.zeros_like(x[..., :1])
        return x**3 - x + np.concatenate([none, pull], -1) - np.concatenate([pull, none], -1)

    U = sg.Potential.from_functions(
        lambda x: ((x**2 - 1) ** 2).sum(-1) / 4 + stiffness / 2 * (np.diff(x, axis=-1) ** 2).sum(-1), grad, dim=dim
    )
    width = np.sqrt(2 * stiffness)
    front = np.tanh(((dim + 4 * width) * np.linspace(0, 1, 60)[:, None] - 2 * width - np.arange(dim)) / width)
    found = sg.string(U, -np.ones(dim), np.ones(dim), n=32, start=front, tolerance=1e-3)
    assert np.isclose(float(found.barrier), 4 / 3 * np.sqrt(stiffness / 2), rtol=1e-3) and len(taken) < 450
