"""Steps that divide themselves: against a recursion in Python, convergence, its cost, reproducibility."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.sde.methods.brownian_tree import KEYS, normals_at, tree_increments
from sgdyn.sde.methods.choice import check_variates

QUARTIC = sg.Langevin(sg.potential(dim=1)(lambda x: x[0] ** 4 / 4), T=0.5)
FAR, DT = [20.0], 0.25


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def rms(x):
    return np.sqrt(np.mean(x**2))


# The recursion.


@pytest.mark.parametrize("tolerance", [1.0, 1e-2, 1e-4])
def test_every_tolerance_sees_the_same_brownian_path(tolerance):
    """The second component is W itself: the sum of whatever increments were used is that of the roots."""
    problem = sg.Langevin.from_drift(
        lambda x: np.array([-(x[0] ** 3), 0 * x[1]]), T=0.5, D=sg.factor(lambda x: np.array([1.0, 1.0]), dim=2), dim=2
    )
    x = sg.simulate(problem, [3.0, 0.0], t=2, dt=DT, n_paths=50, save=9, seed=4, method=sg.Adaptive(tolerance)).x
    roots = np.sqrt(DT) * sg.normals(4, paths=50, steps=8, components=1)[..., 0]
    np.testing.assert_allclose(x[:, 1:, 1], np.cumsum(roots, axis=1), atol=1e-13)


class Recursion:
    """The method in plain Python: one path, one interval after the other. b: the drift of the Stratonovich equation."""

    def __init__(self, b, sigma, method, seed, rank):
        self.b, self.sigma, self.method, self.seed, self.rank, self.drifts, self.steps = (
            b,
            sigma,
            method,
            seed,
            rank,
            0,
            0,
        )

    def path(self, x, path, steps, dt):
        drawn = sg.normals(self.seed, paths=[path], steps=steps, components=self.rank + KEYS)[0]
        out, x = [], np.asarray(x, dtype=float)
        for z in drawn:
            keys = np.ascontiguousarray(z[None, self.rank :])
            self.table = [normals_at(keys, level, self.rank)[0] for level in range(min(self.method.levels, 11))]
            x = self.interval(x, None, z[: self.rank], 0, 0, dt)
            out.append(x)
        return np.array(out)

    def interval(self, x, force, w, level, place, dt):
        if force is None:
            force, self.drifts = self.b(x), self.drifts + 1
        h, kick = dt / 2**level, self.sigma(x) @ w * np.sqrt(dt)
        y = x + h * force + kick
        self.drifts += 1
        change = (self.b(y) - force) * h / 2 + (self.sigma(y) @ w * np.sqrt(dt) - kick) / 2
        if level == self.method.levels or np.all(np.abs(change) <= self.method.tolerance * (1 + np.abs(x))):
            self.steps += 1
            return y + change
        left = w / 2 + 2.0 ** (-level / 2) / 2 * self.table[level][place]
        middle = self.interval(x, force, left, level + 1, 2 * place, dt)
        return self.interval(middle, None, w - left, level + 1, 2 * place + 1, dt)


def quartic_recursion(tolerance, seed=1):
    return Recursion(lambda x: -(x**3), lambda x: np.eye(1), sg.Adaptive(tolerance, levels=11), seed, 1)


@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-3])
def test_steps_are_those_of_the_recursion(tolerance):
    n, own = 37, quartic_recursion(tolerance)
    expected = [own.path(FAR, path, 6, DT)[:, 0] for path in range(n)]
    found = sg.simulate(QUARTIC, FAR, t=6 * DT, dt=DT, save=7, n_paths=n, seed=1, method=own.method).x[:, 1:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
    assert own.steps > 6 * n
    assert own.drifts == 3 * own.steps - 6 * n  # two for each that is taken, one for each that is not


def two_sources(x):
    """Two Wiener processes that commute: x_0 and x_1 are geometric Brownian motions."""
    return np.array([[0.5 * x[0], x[0]], [0.5 * x[1], -0.5 * x[1]]])


GEOMETRIC = sg.Langevin.from_drift(
    lambda x: np.array([-0.375 * x[0], -0.75 * x[1]]), T=0.5, D=sg.factor(two_sources, dim=2), dim=2
)
"""Its drift in Stratonovich's form is -x."""


def test_steps_with_multiplicative_noise_are_those_of_the_recursion():
    n, own = 37, Recursion(lambda x: -x, two_sources, sg.Adaptive(1e-2, levels=9), 1, 2)
    expected = [own.path([1.0, 2.0], path, 4, DT) for path in range(n)]
    found = sg.simulate(GEOMETRIC, [1.0, 2.0], t=4 * DT, dt=DT, save=5, n_paths=n, seed=1, method=own.method).x[:, 1:]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert own.steps > 8 * n


def test_without_levels_it_is_heuns_method():
    for problem, start in ((QUARTIC, [1.0]), (GEOMETRIC, [1.0, 2.0])):
        a, b = (
            sg.simulate(problem, start, t=1, dt=0.05, n_paths=100, seed=1, method=m).x
            for m in (sg.Adaptive(levels=0), sg.Heun())
        )
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# Convergence.

FINEST, PATHS, STEPS, FARTHER = 14, 48, 8, [100.0]


def euler(w, level):
    """Euler-Maruyama's points after every whole step, with steps of DT/2^level on the tree's path."""
    w = np.sqrt(DT) * w.reshape(PATHS, STEPS, 2**level, -1).sum(axis=3)
    x, h, out = np.full(PATHS, FARTHER[0]), DT / 2**level, []
    with np.errstate(all="ignore"):
        for step in range(STEPS):
            for i in range(2**level):
                x = x - h * x**3 + w[:, step, i]
            out.append(x)
    return np.array(out).T


@pytest.mark.slow
def test_the_error_falls_with_the_tolerance_at_a_fraction_of_the_cost_of_fixed_steps(record_property):
    """From x = 100, where Euler's steps explode beyond 1/5000; the limit is Euler-Maruyama's on the same path.

    Measured: errors 0.0142, 0.00680, 0.00352, 0.00150 at the tolerances 1e-3, ..., 1e-4.5, their slope near 2/3.
    """
    w = tree_increments(1, paths=PATHS, steps=STEPS, components=1, levels=FINEST)
    assert not np.all(np.isfinite(euler(w, 0)))
    with pytest.raises(sg.BlowUpError):
        sg.simulate(QUARTIC, FARTHER, t=2.0, dt=DT, n_paths=PATHS, seed=1)
    limit = euler(w, FINEST)
    tolerances = 10.0 ** -np.arange(2.5, 5, 0.5)
    errors = []
    for tolerance in tolerances:
        method = sg.Adaptive(tolerance, levels=FINEST)
        x = sg.simulate(QUARTIC, FARTHER, t=STEPS * DT, dt=DT, save=STEPS + 1, n_paths=PATHS, seed=1, method=method).x
        errors.append(rms(x[:, 1:, 0] - limit))
    assert abs(slope(tolerances, errors) - 2 / 3) < 0.15
    own = quartic_recursion(1e-3)
    for path in range(PATHS):
        own.path(FARTHER, path, STEPS, DT)
    per_step, fixed = own.drifts / (PATHS * STEPS), {level: rms(euler(w, level) - limit) for level in (9, 10, 11, 12)}
    needed = min(2**level for level, error in fixed.items() if error <= errors[1])
    record_property("drifts", repr((per_step, needed, errors, fixed)))
    print(
        f"errors {errors}; drifts a step at tolerance 1e-3: {per_step:.1f}, fixed steps with that error: {needed}, {fixed}"
    )
    assert 15 * per_step < needed


def test_paths_converge_with_multiplicative_noise():
    """To the known solution of the Itô equation, in proportion to the tolerance."""
    n, tolerances = 500, 10.0 ** -np.arange(1.5, 3.5, 0.5)
    w = np.sqrt(DT) * sg.normals(5, paths=n, steps=4, components=2).sum(axis=1)
    exact = np.exp(-1.0 + w @ np.array([[0.5, 0.5], [1.0, -0.5]]))
    runs = [
        sg.simulate(GEOMETRIC, [1.0, 1.0], t=4 * DT, dt=DT, n_paths=n, seed=5, method=sg.Adaptive(tol)).x[:, 0]
        for tol in tolerances
    ]
    assert abs(slope(tolerances, [rms(x - exact) for x in runs]) - 1) < 0.15


# Reproducibility.

PYTHON = sg.Langevin(sg.Potential.from_functions(lambda x: x[..., 0] ** 4 / 4, lambda x: x**3, dim=1), T=0.5)


@pytest.mark.parametrize("problem", [QUARTIC, PYTHON], ids=["compiled", "Python"])
def test_paths_do_not_depend_on_each_other_nor_on_threads(problem):
    method, run = sg.Adaptive(1e-2), {"t": 1.0, "dt": DT, "seed": 6}
    start = np.linspace(-20, 20, 100)[:, None]
    whole = sg.simulate(problem, start, **run, method=method, threads=1).x
    np.testing.assert_array_equal(sg.simulate(problem, start, **run, method=method, threads=2).x, whole)
    for path in (0, 37, 99):
        np.testing.assert_array_equal(
            sg.simulate(problem, start[path : path + 1], **run, method=method, first_path=path).x,
            whole[path : path + 1],
        )
    np.testing.assert_array_equal(
        sg.simulate(problem, start[30:70], **run, method=method, first_path=30).x, whole[30:70]
    )


def test_python_functions_take_the_same_steps():
    x, y = (
        sg.simulate(p, FAR, t=1.0, dt=DT, n_paths=50, seed=6, method=sg.Adaptive(1e-2)).x for p in (QUARTIC, PYTHON)
    )
    np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


# With the rest of the engine.


def test_first_passage():
    process = sg.Langevin(sg.landscapes.double_well().U, T=0.25)
    exact = sg.mean_first_passage_1d(process, -1.0, 0.5).value
    found = sg.first_passage(
        process, [-1.0], lambda x: x[0] > 0.5, dt=0.02, n_paths=4000, seed=2, method=sg.Adaptive(1e-3)
    )
    assert abs(found.value - exact) < 4 * found.error + 0.01 * exact


def test_arrivals_where_only_the_parts_of_a_step_are_stable():
    """dt times the curvature is 7 at the goal: no blow-up, as parts of a step are stable."""
    hot = sg.Langevin(QUARTIC.U, T=20.0)
    found = sg.first_passage(hot, [0.0], lambda x: x[0] > 3.0, dt=DT, n_paths=200, seed=2, method=sg.Adaptive(1e-2))
    assert np.all(found.samples > 0)


def test_too_few_levels_are_a_blow_up_with_a_step_that_would_do():
    with pytest.raises(sg.BlowUpError) as caught:
        sg.simulate(QUARTIC, FAR, t=2.0, dt=DT, n_paths=10, seed=1, method=sg.Adaptive(levels=1))
    assert np.isfinite(
        sg.simulate(QUARTIC, FAR, t=2.0, dt=caught.value.dt, n_paths=10, seed=1, method=sg.Adaptive(levels=1)).x
    ).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="tolerance"):
        sg.Adaptive(0.0)
    with pytest.raises(ValueError, match="expected at most 30"):
        sg.Adaptive(levels=31)
    with pytest.raises(TypeError, match="general noise"):
        sg.Adaptive().steps_of(
            sg.Langevin.from_drift(
                lambda x: -x, T=0.5, D=sg.factor(lambda x: np.array([[1.0, 0.0], [0.0, x[0]]]), dim=2), dim=2
            ),
            0.1,
        )
    with pytest.raises(ValueError, match="needs normals"):
        check_variates(sg.Adaptive(), "weak")
