"""Known systems, each with its known answers: the fixtures of tests, docs and studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.fields import Field, vector_field
from sgdyn.potentials import Potential, potential, quadratic
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """One published or high-precision value: what it is, for which T and D, and where it comes from."""

    quantity: str
    value: float
    source: str
    T: float | None = None
    D: Any = 1.0


@dataclass(frozen=True, eq=False)
class Landscape:
    """A potential (or a drift that has none), the stable points and saddles (n, dim) of its drift, and `answers`.

    `problem(T=..., D=...)` is the process on it.
    """

    name: str
    U: Potential | None
    minima: Floats
    saddles: Floats
    answers: tuple[Answer, ...] = ()
    curl: Field | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        return int(self.minima.shape[1])

    def problem(self, T: float = 1.0, D: Any = 1.0) -> Langevin:
        """The Langevin process with this drift at temperature T and diffusion D."""
        return Langevin(self.U, T, D, self.curl)

    def answer(self, quantity: str, T: float | None = None, D: Any = None) -> float:
        """A known value; raises KeyError with those there are. D is needed only where answers differ in nothing else."""
        same = [
            a for a in self.answers if a.quantity == quantity and a.T == T and (D is None or np.array_equal(a.D, D))
        ]
        if len(same) == 1:
            return same[0].value
        listed = "; ".join(f"{a.quantity} at T={a.T}, D={np.asarray(a.D).tolist()}" for a in same or self.answers)
        given = "" if D is None else f", D={np.asarray(D).tolist()}"
        hint = "; type D=... to choose" if len(same) > 1 else ""
        raise KeyError(f"got {quantity!r} at T={T}{given}, expected one of: {listed or 'none are known'}{hint}")


_QUADRATURE = "double integral in high precision (60 digits), to all digits shown"


def double_well() -> Landscape:
    """U = x⁴/4 - x²/2, wells at -1 and 1, barrier 1/4."""

    @potential(dim=1)
    def double_well(x: Any) -> Any:
        return x[0] ** 4 / 4 - x[0] ** 2 / 2

    times = {0.025: 102108.36545716983696, 0.05: 729.67069194232279882, 0.1: 66.268626364917880777, 0.25: 14.277736636508051215,
             1.0: 3.4883096488528447863}  # fmt: skip
    rates = {0.05: 2.7761406365727255e-3, 0.1: 3.3545287308000611e-2, 1.0: 0.79208842657945274}
    answers = [Answer("mean passage time -1 -> 1", value, _QUADRATURE, T) for T, value in times.items()]
    answers += [
        Answer("slowest rate", value, "Chebyshev collocation of the generator, two resolutions", T)
        for T, value in rates.items()
    ]
    return Landscape("double well", double_well, np.array([[-1.0], [1.0]]), np.array([[0.0]]), tuple(answers))


def double_well_2d(tilt: float = 0.0) -> Landscape:
    """U = (x0² - 1)² + tilt x0 + 2 x1², the two-dimensional double well of the README (which tilts it by 0.1)."""

    @potential(dim=2)
    def double_well_2d(x: Any, tilt: Any = tilt) -> Any:
        return (x[0] ** 2 - 1) ** 2 + tilt * x[0] + 2 * x[1] ** 2

    roots = np.sort(np.roots([4.0, 0.0, -4.0, checks.number("tilt", tilt)]))
    if np.iscomplexobj(roots):
        raise ValueError(f"got tilt={tilt:g}, expected |tilt| < {8 / 27**0.5:.4f}: beyond, one of the wells is gone")
    left, top, right = ([root, 0.0] for root in roots)
    source = "finite elements of order 9 on the box [-2, 2]², two meshes"
    wide, narrow = np.array([[1, 0.8], [0.8, 1]]), np.array([[1, 0.4], [0.4, 0.25]])
    known = (
        Answer("mean passage time (-1, 0) -> x0 >= 1, exact Gibbs state", 51.7101035064, source, 1 / 3, wide),
        Answer("mean passage time (-1, 0) -> x0 >= 1, exact Gibbs state", 37.8279340343, source, 1 / 3, narrow),
    )
    return Landscape(
        "two-dimensional double well", double_well_2d, np.array([left, right]), np.array([top]), () if tilt else known
    )


def muller_brown() -> Landscape:
    """The Müller-Brown surface (Müller and Brown, Theor. Chim. Acta 53, 75 (1979)): three minima, two saddles."""

    @potential(dim=2)
    def muller_brown(x: Any) -> Any:
        height, a, b = np.array([-200, -100, -170, 15]), np.array([-1, -1, -6.5, 0.7]), np.array([0, 0, 11, 0.6])
        c, u, v = np.array([-10, -10, -6.5, 0.7]), x[0] - np.array([1, 0, -0.5, -1]), x[1] - np.array([0, 0.5, 1.5, 1])
        return np.sum(height * np.exp(a * u**2 + b * u * v + c * v**2))

    minima = np.array(
        [
            [-0.558223634633024, 1.441725841804669],
            [0.623499404930877, 0.028037758528686],
            [-0.050010822998206, 0.466694104871972],
        ]
    )
    saddles = np.array([[-0.822001558732732, 0.624312802814871], [0.212486582000662, 0.292988325107368]])
    source = "high-precision evaluation at the critical points"
    answers = (
        Answer("barrier from (-0.558, 1.442) to (-0.822, 0.624)", 106.034673701296609, source),
        Answer("barrier from (0.623, 0.028) to (0.212, 0.293)", 35.9177840045271435, source),
        Answer(
            "mean passage time (-0.558, 1.442) -> x0 >= 0.4",
            196.892044,
            "finite elements, two meshes and two boxes",
            10.0,
        ),
        Answer(
            "mean passage time (-0.558, 1.442) -> x0 >= 0.4",
            1.2816012213,
            "finite elements, two meshes and two boxes",
            20.0,
        ),
    )
    return Landscape("Müller-Brown", muller_brown, minima, saddles, answers)


def maier_stein(alpha: float = 10.0, mu: float = 1.0) -> Landscape:
    """The drift (x - x³ - alpha x y², -mu (1 + x²) y), a gradient only for alpha = mu (Maier and Stein, PRL 71, 1783 (1993)).

    Raises ValueError for mu <= 0, where nothing is stable.
    """
    alpha, mu = checks.number("alpha", alpha), checks.positive("mu", mu)

    def drift(x: Any, alpha: Any = alpha, mu: Any = mu) -> Any:
        return np.array([x[0] - x[0] ** 3 - alpha * x[0] * x[1] ** 2, -mu * (1 + x[0] ** 2) * x[1]])

    actions = {1.0: 0.5, 5.0: 0.48306970919361058877, 6.67: 0.43074312907611, 10.0: 0.34004140333019}
    known = (
        [
            Answer(
                "least action (-1, 0) -> (0, 0), half the squared deviation",
                actions[alpha],
                "hp Ritz method, two orders",
            )
        ]
        if mu == 1 and alpha in actions
        else []
    )
    if mu == 1 and alpha == 10:
        known.append(
            Answer(
                "mean passage time (-1, 0) -> x0 >= 0",
                5.2232933612,
                "finite elements on [-1.8, 1.8]x[-1.2, 1.2], reflecting",
                0.1,
            )
        )
    minima, saddles = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0]])
    return Landscape(
        "Maier-Stein", None, minima, saddles, tuple(known), vector_field("drift", drift, 2), {"alpha": alpha, "mu": mu}
    )


def chaudhari_soatto(strength: float = 0.5) -> Landscape:
    """Example 19 of arXiv:1710.11029: Phi = (x0² - 1)²/4 + x1²/2 with the current strength e^{Phi - r⁴/4} (-x1, x0).

    At T = 1, D = 1 the stationary density is exp(-Phi) for every strength: the current keeps it. It has no limit cycle. From
    |strength| = e^{-1/4} on the drift has no stable point, and the origin is no saddle.
    """
    strength = checks.number("strength", strength)

    @potential(dim=2)
    def phi(x: Any) -> Any:
        return (x[0] ** 2 - 1) ** 2 / 4 + x[1] ** 2 / 2

    def current(x: Any, strength: Any = strength) -> Any:
        weight = strength * np.exp((x[0] ** 2 - 1) ** 2 / 4 + x[1] ** 2 / 2 - (x[0] ** 2 + x[1] ** 2) ** 2 / 4)
        return np.array([-weight * x[1], weight * x[0]])

    answers = (Answer("entropy production", 0.17034540288654723 * (strength / 0.5) ** 2, "quadrature", 1.0),)
    stable = _turned_wells(strength)
    saddles = np.zeros((1 if len(stable) else 0, 2))
    return Landscape(
        "Chaudhari-Soatto", phi, stable, saddles, answers, vector_field("current", current, 2), {"strength": strength}
    )


def _turned_wells(strength: float) -> Floats:
    """The stable zeros (n, 2) of the drift: y = w x, x² = 1 - w², w = strength e^{Phi - r⁴/4}; none from |strength| = e^{-1/4} on."""
    from scipy.optimize import brentq

    def excess(w: float) -> float:
        return w**4 / 4 + w**2 * (1 - w**2) / 2 - (1 - w**4) ** 2 / 4

    if abs(strength) >= np.exp(-0.25):
        return np.zeros((0, 2))
    w = brentq(lambda w: w - abs(strength) * np.exp(excess(w)), 0.0, 1.0, xtol=1e-16) * np.sign(strength)
    x = np.sqrt(1 - w**2)
    return np.array([[-x, -w * x], [x, w * x]]) + 0.0


def rugged(roughness: float = 0.2, wavenumber: float = 20.0, stiffness: float = 1.0) -> Landscape:
    """U = stiffness x²/2 + roughness cos(wavenumber x): a bowl with ripples.

    On scales above the ripples it diffuses as in the bowl with D slowed by I0(roughness/T)^-2 (Zwanzig, PNAS 85, 2029 (1988)).
    Raises ValueError for stiffness <= 0.
    """
    roughness, wavenumber = checks.number("roughness", roughness), checks.number("wavenumber", wavenumber)
    stiffness = checks.positive("stiffness", stiffness)

    @potential(dim=1)
    def rugged(x: Any, roughness: Any = roughness, wavenumber: Any = wavenumber, stiffness: Any = stiffness) -> Any:
        return stiffness * x[0] ** 2 / 2 + roughness * np.cos(wavenumber * x[0])

    from scipy.special import i0

    answers = tuple(
        Answer("effective diffusion", float(i0(roughness / T)) ** -2, "Zwanzig 1988, eq. 11 with one cosine", T)
        for T in (0.1, 0.2, 0.5)
    )
    force = lambda y: stiffness * y - roughness * wavenumber * np.sin(wavenumber * y)  # noqa: E731
    zeros = _zeros(force, 1.2 * abs(roughness * wavenumber) / stiffness + 1e-3)
    curvature = stiffness - roughness * wavenumber**2 * np.cos(wavenumber * zeros)
    return Landscape("rugged bowl", rugged, zeros[curvature > 0][:, None], zeros[curvature < 0][:, None], answers)


def _zeros(f: Any, reach: float) -> Floats:
    from scipy.optimize import brentq

    y = np.linspace(-reach, reach, 4001)
    values = f(y)
    found = [y[k] for k in np.flatnonzero(values == 0)]
    found += [brentq(f, y[k], y[k + 1], xtol=1e-15) for k in np.flatnonzero(values[:-1] * values[1:] < 0)]
    return np.sort(np.array(found))


def entropic(narrowing: float = 3.0) -> Landscape:
    """U = (u² - 1)²/4 + e^{narrowing u} v²/2: wells of equal depth, the right one narrow.

    The marginal density of u is exp(-a(u)/T - log(b(u))/2) up to a factor, a = (u² - 1)²/4, b = e^{narrowing u}: the potential a + (T/2) log b.
    """

    @potential(dim=2)
    def entropic(x: Any, narrowing: Any = narrowing) -> Any:
        return (x[0] ** 2 - 1) ** 2 / 4 + np.exp(narrowing * x[0]) * x[1] ** 2 / 2

    answers = tuple(
        Answer(
            "effective potential difference, right - left",
            T * checks.number("narrowing", narrowing),
            "Gaussian integral over v",
            T,
        )
        for T in (0.05, 0.1)
    )
    return Landscape(
        "entropic wells",
        entropic,
        np.array([[-1.0, 0.0], [1.0, 0.0]]),
        np.array([[0.0, 0.0]]),
        answers,
        None,
        {"narrowing": narrowing},
    )


def bowl(curvatures: ArrayLike = (1.0, 4.0)) -> Landscape:
    """U = sum h_i x_i²/2: with constant D everything about it is known in closed form (see `linear_stationary`)."""
    h = np.atleast_1d(checks.finite("curvatures", curvatures))
    if np.any(h <= 0):
        raise ValueError(f"got curvatures {h}, expected numbers > 0")
    return Landscape("bowl", quadratic(h), np.zeros((1, len(h))), np.zeros((0, len(h))))


ALL = (double_well, double_well_2d, muller_brown, maier_stein, chaudhari_soatto, rugged, entropic, bowl)
