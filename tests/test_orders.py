"""The orders of convergence that the methods state, as slopes with their own errors, on problems whose solutions are known.

Strong errors are distances (root mean square, at t = 1) from the exact path of the same Brownian motion. Weak errors are those of
averages: of a simulation with the exact path as control variate; or, without any sampling, by Gauss quadrature over the variates of
the compiled step.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.linalg import expm

import sgdyn as sg
from sgdyn.problem import Langevin
from sgdyn.sde.engine import sum_increments
from sgdyn.sde.methods import milstein
from sgdyn.sde.methods.additive_runge_kutta import additive_plan
from sgdyn.sde.methods.choice import METHODS
from sgdyn.sde.methods.integrals import TIME_INTEGRAL
from sgdyn.sde.methods.plan import NOTHING, Method, no_field
from sgdyn.sde.opaque import field_block, noise_block

SEED, TOLERANCE = 4, 0.15


def slope(levels, errors):
    """Minus the slope of log2(error) against the level (steps of 2^-level), with the error of the fit."""
    (rate, _), covariance = np.polyfit(list(levels), np.log2(errors), 1, cov=True)
    return -rate, float(np.sqrt(covariance[0, 0]))


def check(order, levels, errors):
    rate, error = slope(levels, errors)
    assert error < TOLERANCE / 2
    assert abs(rate - order) < TOLERANCE, f"order {rate:.3f} +- {error:.3f}, stated {order}"


# Problems with known solutions, 2 T not always 1 so that a wrong T is seen.


@dataclass(frozen=True)
class Logistic:
    """Additive noise: dX = (1 - e^X) dt + s dW has e^X = V/(1 + int V dt), V = exp(x0 + t + s W). A gradient system."""

    s: float = 0.8
    start: ClassVar = [0.3]

    @property
    def problem(self):
        return sg.Langevin(sg.potential(dim=1)(lambda x: np.exp(x[0]) - x[0]), T=self.s**2 / 2)

    def exact(self, n, fine):
        h, z = 2.0**-fine, sg.normals(SEED, paths=n, steps=2**fine, components=2)
        dW, lag = np.sqrt(h) * z[..., 0], h**1.5 * (z[..., 0] / 2 + z[..., 1] / np.sqrt(12))
        W = np.pad(np.cumsum(dW, axis=1), ((0, 0), (1, 0)))
        V = np.exp(self.start[0] + h * np.arange(2**fine + 1) + self.s * W)
        total = np.sum(V[:, :-1] * (h + self.s * lag + (1 + self.s**2 / 2) * h**2 / 2), axis=1)
        return np.log(V[:, -1:] / (1 + total[:, None]))


@dataclass(frozen=True)
class Tanh:
    """Diagonal noise: X = tanh(b W + c) solves dX = -b² X (1 - X²) dt + b (1 - X²) dW."""

    b: float = 0.6
    start: ClassVar = [0.3]

    @property
    def problem(self):
        drift = lambda x, b=self.b: -(b**2) * x * (1 - x[0] ** 2)
        return sg.Langevin.from_drift(drift, T=0.25, D=lambda x, b=self.b: 2 * b**2 * (1 - x[0] ** 2) ** 2, dim=1)

    def exact(self, n, fine):
        W = 2.0 ** (-fine / 2) * sg.normals(SEED, paths=n, steps=2**fine).sum(axis=1)
        return np.tanh(self.b * W + np.arctanh(self.start[0]))


HEISENBERG = sg.factor(lambda x: np.array([[1.0, 0.0], [0.0, 1.0], [-x[1], x[0]]]), dim=3)


@dataclass(frozen=True)
class Area:
    """Noise that does not commute: (W_1, W_2, y exp(c int W_1 dW_2 - W_2 dW_1)), exponential in the area that the path sweeps."""

    c: float = 0.5
    start: ClassVar = [0.0, 0.0, 0.8]

    @property
    def problem(self):
        drift = lambda x, c=self.c: np.array([0.0, 0.0, 0.5 * c**2 * x[2] * (x[0] ** 2 + x[1] ** 2)])
        root2 = np.sqrt(0.5)
        sigma = lambda x, c=self.c, r=root2: np.array([[r, 0.0], [0.0, r], [-r * c * x[2] * x[1], r * c * x[2] * x[0]]])
        return sg.Langevin.from_drift(drift, T=1.0, D=sg.factor(sigma, dim=3), dim=3)

    def exact(self, n, fine):
        """The swept area by a scheme of which it is a part, at the finest steps."""
        still = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=HEISENBERG, dim=3)
        swept = sg.simulate(still, [0.0] * 3, t=1.0, dt=2.0**-fine, n_paths=n, seed=SEED, method=sg.SRI2(terms=5)).x[
            :, 0
        ]
        return np.column_stack([swept[:, :2], self.start[2] * np.exp(self.c * swept[:, 2])])


def final(method, given, problem, level, fine, n):
    return sg.simulate(
        problem, given.start, t=1.0, dt=2.0**-level, refine=2 ** (fine - level), n_paths=n, seed=SEED, method=method
    ).x[:, 0]


@cache
def exact(given, n, fine):
    return given.exact(n, fine)


def strong_errors(method, given, levels, fine, n, problem=None):
    problem, solution = problem or given.problem, exact(given, n, fine)
    return [np.sqrt(np.mean((final(method, given, problem, level, fine, n) - solution) ** 2)) for level in levels]


COARSE, MIDDLE, FINE = (range(3, 8), 10, 2000), (range(4, 9), 11, 1000), (range(7, 12), 14, 200)
STRONG_ADDITIVE = [
    (sg.EulerMaruyama(), COARSE), (sg.TamedEuler(), COARSE), (sg.Theta(), COARSE), (sg.Theta(0.5), COARSE), (sg.Milstein(), COARSE),
    (sg.SRI2(), COARSE), (sg.SRS2(), COARSE), (sg.Heun(), COARSE), (sg.Adaptive(levels=0), COARSE), (sg.RI6(), COARSE), (sg.MALA(), COARSE), (sg.SRA1(), FINE),
    (sg.SRA3(), FINE), (sg.ShARK(), FINE), (sg.SRIW1(), FINE),
]  # fmt: skip
STRONG_DIAGONAL = [
    sg.EulerMaruyama(), sg.TamedEuler(), sg.Theta(), sg.Milstein(), sg.SRI2(), sg.SRS2(), sg.SRIW1(), sg.Adaptive(levels=0),
]  # fmt: skip
STRONG_GENERAL = [
    sg.EulerMaruyama(), sg.TamedEuler(), sg.Theta(), sg.Milstein(terms=5), sg.SRI2(terms=5), sg.SRS2(terms=5), sg.Heun(), sg.RI6(),
]  # fmt: skip


LONG = [sg.Adaptive(levels=0), sg.RI6(), sg.Milstein(), sg.Theta()]
"""Methods whose orders are found with other noise too."""


@pytest.mark.parametrize(
    ("method", "mesh"),
    [
        pytest.param(*pair, marks=pytest.mark.slow) if pair[0] in LONG else pytest.param(*pair)
        for pair in STRONG_ADDITIVE
    ],
    ids=repr,
)
def test_strong_order_with_additive_noise(method, mesh):
    check(method.strong_order_additive, mesh[0], strong_errors(method, Logistic(), *mesh))


@pytest.mark.parametrize("method", STRONG_DIAGONAL, ids=repr)
def test_strong_order_with_diagonal_noise(method):
    check(method.strong_order, MIDDLE[0], strong_errors(method, Tanh(), *MIDDLE))


@pytest.mark.parametrize("method", STRONG_GENERAL, ids=repr)
def test_strong_order_with_noise_that_does_not_commute(method):
    check(method.strong_order, COARSE[0], strong_errors(method, Area(), *COARSE))


@pytest.mark.parametrize("method", [sg.Heun(), sg.RI6()], ids=repr)
def test_strong_order_one_where_the_noise_commutes(method):
    """Better than the order 1/2 that these state for any noise."""
    check(1.0, MIDDLE[0], strong_errors(method, Tanh(), *MIDDLE))


# Weak orders.


@pytest.mark.parametrize(
    "method",
    [
        sg.EulerMaruyama(),
        sg.TamedEuler(),
        sg.Theta(),
        sg.Milstein(),
        sg.SRI2(),
        sg.MALA(),
        sg.SRA1(),
        sg.SRA3(),
        sg.ShARK(),
    ],
    ids=repr,
)
def test_weak_order_with_additive_noise(method):
    """E X², the exact path of the same Brownian motion as control variate; every error is seen to a tenth at least."""
    given, levels, fine, n = Logistic(), range(2, 6), 7, 60_000
    differences = [
        final(method, given, given.problem, level, fine, n) ** 2 - exact(given, n, fine) ** 2 for level in levels
    ]
    errors = [abs(d.mean()) for d in differences]
    assert max(d.std() / np.sqrt(n) / e for d, e in zip(differences, errors, strict=True)) < 0.12
    check(method.weak_order, levels, errors)


def one_step(method, problem, dt, x, z):
    """The compiled step from the points x (n, dim) with the variates z (n, rows) in place of random ones."""
    plan, n = method.plan(problem, dt), len(x)
    padded = lambda a: np.ascontiguousarray(np.pad(a, ((0, -n % 16), (0, 0)), mode="edge").T)
    extra = (no_field.compiled, NOTHING) if plan.extra is None else field_block(plan.extra)[:2]
    constants, y, variates = plan.constants.copy(), padded(x), padded(z)
    constants[1] = np.sqrt(2 * problem.T)
    work = np.empty((plan.room, y.shape[1]))
    fields = (
        *field_block(plan.drift)[:2],
        *noise_block(plan.noise)[:2],
        extra[0],
        np.concatenate([extra[1], plan.psi]),
    )
    plan.step(*fields, y, variates, work, constants)
    return y.T[:n]


def gauss(rows, signs=0, points=8):
    """Nodes (n, rows + signs) and weights (n,) of the law of normals and of signs."""
    axes = [hermegauss(points)] * rows + [(np.array([-1.0, 1.0]), np.ones(2))] * signs
    nodes = np.stack(np.meshgrid(*[node for node, _ in axes], indexing="ij"), axis=-1).reshape(-1, rows + signs)
    weights = np.ones(1)
    for _, weight in axes:
        weights = np.multiply.outer(weights, weight / weight.sum()).ravel()
    return nodes, weights


def gauss_with_area():
    """Two increments and their area: given the increments xi, its mean is 0 and its variance (1 + |xi|²)/12."""
    nodes, weights = gauss(2, 1)
    nodes[:, 2] *= np.sqrt((1 + np.sum(nodes[:, :2] ** 2, axis=1)) / 12)
    return nodes, weights


A = np.array([[-0.5, 0.3], [0.2, -0.8]])
B, C = np.array([[0.3, 0.4], [0.0, 0.2]]), np.array([[0.1, 0.0], [0.5, -0.3]])


def linear_system():
    """dX = A X dt + B X dW_1 + C X dW_2 with matrices that do not commute."""
    sigma = lambda x, B=B, C=C: np.array([[(B @ x)[0], (C @ x)[0]], [(B @ x)[1], (C @ x)[1]]])
    return sg.Langevin.from_drift(lambda x, A=A: A @ x, T=0.5, D=sg.factor(sigma, dim=2), dim=2)


def second_moment_map(method, dt, nodes, weights):
    """The matrix that takes E[X X'] over one step, by polarisation from its effect on points."""

    def after(x):
        y = one_step(method, linear_system(), dt, np.tile(x, (len(nodes), 1)), nodes)
        return np.einsum("n,ni,nj->ij", weights, y, y).ravel()

    first, second, both = after(np.array([1.0, 0.0])), after(np.array([0.0, 1.0])), after(np.array([1.0, 1.0]))
    mixed = (both - first - second) / 2
    return np.stack([first, mixed, mixed, second], axis=1)


@pytest.mark.parametrize(
    ("method", "law"),
    [
        (sg.EulerMaruyama(), gauss(2)), (sg.Theta(), gauss(2)), (sg.Heun(), gauss(2)), (sg.Milstein(), gauss_with_area()),
        (sg.SRI2(), gauss_with_area()), (sg.SRS2(), gauss_with_area()), (sg.RI6(), gauss(2, 1)),
    ],
    ids=lambda value: repr(value) if isinstance(value, Method) else "",
)  # fmt: skip
def test_weak_order_with_noise_that_does_not_commute(method, law):
    """E X X' at t = 1 of a linear system, to rounding: its equation is linear as well."""
    eye, levels, start = np.eye(2), range(3, 8), np.array([1.0, 0.5, 0.5, 0.25])
    generator = np.kron(A, eye) + np.kron(eye, A) + np.kron(B, B) + np.kron(C, C)
    maps = [np.linalg.matrix_power(second_moment_map(method, 2.0**-level, *law), 2**level) for level in levels]
    check(method.weak_order, levels, [np.abs((found - expm(generator)) @ start).max() for found in maps])


@pytest.mark.parametrize(
    ("method", "rows"),
    [(sg.EulerMaruyama(), 1), (sg.Milstein(), 1), (sg.SRI2(), 1), (sg.Heun(), 1), (sg.RI6(), 1), (sg.SRIW1(), 2)],
    ids=repr,
)
def test_weak_order_of_a_single_step_with_diagonal_noise(method, rows):
    """The error of E X, E X², E X³ over one step is one order smaller than over a fixed time; X = sinh(a t + b W + c)."""
    a, b, levels = -0.5, 0.6, range(3, 8)
    problem = sg.Langevin.from_drift(
        lambda x, a=a, b=b: a * np.sqrt(1 + x**2) + 0.5 * b**2 * x,
        T=0.5,
        D=lambda x, b=b: b**2 * (1 + x[0] ** 2),
        dim=1,
    )
    nodes, weights = gauss(rows, points=30)
    many, law = gauss(1, points=60)
    errors = []
    for dt in 2.0 ** -np.array(levels):
        x = one_step(method, problem, dt, np.full((len(nodes), 1), 0.3), nodes)[:, 0]
        y = np.sinh(a * dt + b * np.sqrt(dt) * many[:, 0] + np.arcsinh(0.3))
        errors.append(max(abs(weights @ x**k - law @ y**k) for k in (1, 2, 3)))
    check(method.weak_order + 1, levels, errors)


# All methods have one limit.


def test_every_method_is_in_the_table():
    """Those for `Momentum` are in tests/sde/test_underdamped.py; steps that are exact have no order."""
    tabled = {type(m) for m in [*STRONG_DIAGONAL, *STRONG_GENERAL, *[m for m, _ in STRONG_ADDITIVE]]}
    assert tabled == {m for m in METHODS if Langevin in m.problems} - {sg.ExactLinear}


@pytest.mark.parametrize(
    ("given", "method"),
    [
        *[(Logistic(), method) for method, _ in STRONG_ADDITIVE[1:]], *[(Tanh(), method) for method in [*STRONG_DIAGONAL[1:], sg.Heun(), sg.RI6()]],
        *[(Area(), method) for method in STRONG_GENERAL[1:]],
    ],
    ids=repr,
)  # fmt: skip
def test_the_limit_is_that_of_euler_maruyama(given, method):
    """Path by path: the distance is small at fine steps, and a quarter of what it is at steps sixteen times larger."""
    problem, fine, n = given.problem, 12, 200
    distance = [
        np.sqrt(
            np.mean(
                (final(method, given, problem, k, fine, n) - final(sg.EulerMaruyama(), given, problem, k, fine, n)) ** 2
            )
        )
        for k in (8, 12)
    ]
    assert distance[1] <= 0.4 * distance[0]
    assert distance[1] < 0.03


def test_the_exact_law_is_that_of_euler_maruyama_at_fine_steps():
    problem = sg.Langevin.linear([[1.0, 2.0], [-2.0, 1.5]], T=0.3, D=[[1.0, 0.3], [0.3, 0.5]], center=[0.2, 0.1])
    ours, theirs = (
        sg.simulate(problem, [1.0, -1.0], t=1.0, dt=dt, n_paths=40_000, seed=seed, method=method)
        for dt, seed, method in ((1.0, 1, sg.ExactLinear()), (2.0**-10, 2, sg.EulerMaruyama()))
    )
    for found, expected in ((ours.mean(), theirs.mean()), (ours.cov(), theirs.cov())):
        assert np.all(np.abs(found.value - expected.value) < 4 * np.hypot(found.error, expected.error) + 1e-3)


# The tests see mistakes.


@pytest.mark.parametrize("method", [sg.EulerMaruyama(), sg.Milstein(), sg.Theta(), sg.SRIW1()], ids=repr)
@pytest.mark.parametrize("wrong", ["sign", "T"])
def test_a_wrong_sign_or_temperature_is_seen(method, wrong):
    given = Tanh()
    problem = given.problem
    if wrong == "sign":
        problem = Langevin.from_drift(problem.drift.negated(), T=problem.T, D=problem.D, dim=1)
    else:
        problem = Langevin(None, 1.25 * problem.T, problem.D, problem.drift)
    assert slope(COARSE[0], strong_errors(method, given, *COARSE, problem=problem))[0] < 0.3


def test_a_wrong_repeated_integral_is_seen(monkeypatch):
    right = milstein.diagonal_derivative
    monkeypatch.setattr(milstein, "diagonal_derivative", lambda noise: right(noise).negated())
    assert slope(COARSE[0], strong_errors(sg.Milstein(), Tanh(), *COARSE))[0] < 0.7


def test_a_wrong_time_integral_is_seen():
    @dataclass(frozen=True)
    class Wrong(sg.SRA1):
        def plan(self, problem, dt):
            return additive_plan(
                problem, dt, [[], [3 / 4], [1 / 3, 2 / 3]], [0.0, 3 / 4, 1.0], [0.0, -3 / 2 * TIME_INTEGRAL, 0.0]
            )

    assert slope(COARSE[0], strong_errors(Wrong(), Logistic(), *COARSE))[0] < 1.2


def test_a_wrong_trace_is_seen():
    """Stratonovich's repeated integrals in place of Itô's."""

    @dataclass(frozen=True)
    class Wrong(sg.Milstein):
        def plan(self, problem, dt):
            plan = super().plan(problem, dt)
            plan.constants[4] = 0.0
            return plan

    assert slope(COARSE[0], strong_errors(Wrong(terms=5), Area(), *COARSE))[0] < 0.3


def test_a_missing_area_is_seen():
    """With commuting integrals in place of those of noise that does not commute, order 1/2 is left."""

    @dataclass(frozen=True)
    class Wrong(sg.Milstein):
        def plan(self, problem, dt):
            return replace(super().plan(problem, dt), normals=2, rows=0, gather=sum_increments)

    assert slope(COARSE[0], strong_errors(Wrong(terms=5), Area(), *COARSE))[0] < 0.7
