"""The kinetic energy of a run against loss and entropy: the law v²/2 = E - (a U + b S), and what makes it appear where it does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.motions import COARSER, Motion
from sgdyn.fit.regressions import Regression, fitted, independent, memory, outside, scores, solved
from sgdyn.fit.stretches import BLOCKS, Series, jackknife, series
from sgdyn.fit.surrogates import NULLS, shifted, walked, walks
from sgdyn.nets.recording import Recording
from sgdyn.potentials import Potential
from sgdyn.printing import Printed
from sgdyn.progress import Progress, progress

Floats = NDArray[np.float64]

RISK = 0.01
FEWEST = 99
"""Surrogates, so that a chance of 1 % can be seen."""
SMOOTH = 1.5
"""v² over one recorded time is that over two if paths are smooth, twice that if they diffuse."""
EXPLAINED, COARSE = 0.5, 0.05
CERTAIN = 3.0
ROUNDING = 1e-9
FEW, LASTING = 8, 10
"""Stretches for an error, at least; each of so many times the memory of what the law leaves."""


@dataclass(frozen=True, eq=False, repr=False)
class KineticEnergy(Printed):
    """v²/2 = E - (a U + b S), by least squares over a run with an E for each replica.

    coefficients (2,): a and b, b NaN where S is constant; error over stretches, and what a coarser velocity changes. R2: the part of the variance of v²/2 within replicas that the law
    explains in stretches that it was not fitted to, negative where the mean does better. nulls: the same number (in the stretches it was
    fitted to) of surrogates of each kind, chances: how often they reach that of the run, `fitted`. roughness: mean v² over
    one recorded time over that over two, 1 for smooth paths, 2 for diffusion. descent: the R2 of v²/2 = E + c |grad U|²/2, one constant less, in
    place of the law (NaN without a potential). kinetic, U, S (replica, time): v²/2 and what it was fitted by.
    """

    coefficients: Estimate
    R2: float
    fitted: float
    nulls: dict[str, Floats]
    chances: dict[str, float]
    roughness: Estimate
    descent: float
    kinetic: Floats
    U: Floats
    S: Floats
    warnings: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against the law, the strongest first."""
        a, error = float(self.coefficients.value[0]), float(self.coefficients.error[0])
        found = []
        if float(self.roughness.value) - CERTAIN * float(self.roughness.error) > SMOOTH:
            found.append(f"v² is {float(self.roughness.value):.2f} times as large over one recorded time as over two, as of noise (2) and not of motion (1): there is no velocity")  # fmt: skip
        if a - CERTAIN * error <= 0:
            sign = "negative: v² is large where U is, as on steep slopes" if a + CERTAIN * error < 0 else "not positive beyond doubt"  # fmt: skip
            found.append(f"a = {rounded(a, error)} is {sign}")
        found += [
            f"the null model {name!r} does as well (chance {chance:.2g})"
            for name, chance in self.chances.items()
            if chance > RISK
        ]
        if self.R2 < EXPLAINED:
            found.append(f"it explains {max(self.R2, 0.0):.1%} of the variance of v²/2 outside of what it was fitted to")  # fmt: skip
        if np.isfinite(self.descent) and self.descent >= self.R2:
            found.append(f"descent, v²/2 = E + c |grad U|²/2, explains as much with a constant less (R2 = {self.descent:.3f})")  # fmt: skip
        return tuple(found)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the law."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.reasons:
            return f"v²/2 = E - (a U + b S) does not describe this run: {'; '.join(self.reasons)}"
        a, b = (rounded(float(c), float(e)) for c, e in zip(self.coefficients.value, self.coefficients.error, strict=True))  # fmt: skip
        return (
            f"v²/2 = E - (a U + b S) describes this run: R2 = {self.R2:.3f}, a = {a}, b = {b}; no null model comes near"
        )

    def __str__(self) -> str:
        nulls = [
            f"{name}: R2 up to {values.max():.3g} in {len(values)} (this run {self.fitted:.3g}, chance {self.chances[name]:.2g})"
            for name, values in self.nulls.items()
        ]
        return "\n".join([self.verdict, *nulls, *(f"note: {note}" for note in self.warnings)])

    def plot(self, ax: Any = None) -> Any:
        """v²/2 against the fitted E - (a U + b S) (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def kinetic_energy(
    recording: Recording | Any, U: Potential | ArrayLike, S: ArrayLike | None = None, *, dt: float | None = None, velocity: ArrayLike | None = None,
    c: float | None = None, surrogates: int = 199, seed: int = 0,
) -> KineticEnergy:  # fmt: skip
    """Whether v²/2 = E - (a U + b S) describes a run, with null models that show when it seems to.

    recording: of `nets.train`, or an array (replica, time, k) or (time, k) with `dt`. U: a `Potential` of these coordinates
    (`space.potential()`), or numbers (replica, time). S: numbers (replica, time); by default log|det H|/k of the Hessian of U, or
    log det(1 + c H)/k with `c`, where H may be singular. velocity (replica, time, k), where it is known; by default the derivative of the
    spline of order 5 through the run, without four rows at either end; a recording has the time of its steps (with momentum that of `Momentum`,
    in which the mass is 1). For a diffusion that is no velocity: its square grows as 2 tr(T D)/dt whatever U, and `roughness` says so.

    Null models: "shifted runs" (v² against U and S at times shifted by chance, replica by replica: what slow series make of each other), "walks
    of v²" (its increments, block by block, with signs by chance, the same in all replicas: what trends make of each other);
    and with a `Potential` "free diffusion" (random walks with the increments' covariance) and "linear process" (that of `fit.linear`), which
    know nothing of the law. They take U and its Hessian `surrogates` times along the run each: for a network's own potential type fewer, or
    `sg.tabulated` values of it. Ctrl-C returns what is done. Raises ValueError as `fit.linear` does for bad arrays, for U and S of other shapes or not finite, fewer than 99 surrogates.
    Source of the law: Achille, Mbeng, Soatto, arXiv:1810.02440v1, eq. (15, 16), with S = log|H|/d; there it has no null model.
    """
    run = series(recording, dt, momentum=True)
    motion = Motion.of(run, U, S, c, velocity)
    law = motion.regression()
    kept = independent(law)
    if not kept:
        raise ValueError("got U and S that are constant along the run, expected a run in which they change")
    value, (drawn, notes) = fitted(law), _nulls(motion, law, checks.count("surrogates", surrogates, least=FEWEST), seed)
    chances = {
        name: (1 + int(np.sum(values >= value - ROUNDING))) / (1 + len(values)) for name, values in drawn.items()
    }
    coefficients, R2, doubts = _coefficients(motion, law, kept)
    return KineticEnergy(
        coefficients, R2, value, drawn, chances, _roughness(run), _descent(motion), law.y, -law.terms[..., 0], -law.terms[..., 1],
        (*notes, *doubts, *_dropped(kept)),
    )  # fmt: skip


def _nulls(motion: Motion, law: Regression, count: int, seed: int) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """R2 of the surrogates of each kind (count,), and why a kind is missing. Ctrl-C leaves out those that are not complete."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, Iterator[Regression]] = {"shifted runs": shifted(law, rng), "walks of v²": walked(law, rng)}
    notes: list[str] = []
    if isinstance(motion.U, Potential) and motion.S is None:
        kinds |= {n: map(motion.regression, walks(motion.run, step(motion.run), rng)) for n, step in NULLS.items()}
    else:
        notes.append("free diffusion and linear process need U as a Potential and S of its Hessian: they were left out")
    drawn: dict[str, Floats] = {}
    with progress("null models") as tell:
        for number, (name, runs) in enumerate(kinds.items()):
            try:
                drawn[name] = _drawn(runs, count, partial(_share, tell, number, len(kinds)))
            except (ValueError, FloatingPointError) as reason:
                notes.append(f"{name} was left out: {reason}")
            except KeyboardInterrupt:
                if not drawn:
                    raise
                notes.append(f"interrupted: {' and '.join(list(kinds)[number:])} left out")
                break
    return drawn, tuple(notes)


def _share(tell: Progress, number: int, kinds: int, done: float) -> None:
    tell((number + done) / kinds)


def _drawn(runs: Iterator[Regression], count: int, tell: Progress) -> Floats:
    found = []
    for r in islice(runs, count):
        found.append(fitted(r))
        tell(len(found) / count)
    return np.array(found)


def _coefficients(motion: Motion, law: Regression, kept: list[int]) -> tuple[Estimate, float, tuple[str, ...]]:
    """((a, b) with errors over stretches and of the velocity, R2 outside of what was fitted, notes)."""
    part = law.part(*kept)
    products, stretches = part.products(), _stretches(part)
    total = np.array([products[r, a:b].sum(axis=0) for r, a, b in stretches])
    method = f"least squares over {law.y.size} times, jackknife over {len(total)} stretches"
    (found,) = jackknife(total, lambda sums: (solved(sums),), method)
    value, error = np.full((2, 2), np.nan)
    value[kept], error[kept] = found.value, np.hypot(found.error, _blurred(motion, part, kept))
    notes = [f"errors of a and b rest on {len(total)} stretches alone: what the law leaves lasts long, and they may be too small by half"] if len(total) < FEW else []  # fmt: skip
    if motion.velocity is None and abs(error[kept[0]]) > CERTAIN * found.error[0] and error[kept[0]] > COARSE * abs(value[kept[0]]):  # fmt: skip
        notes.append(f"splines of order 3, or every second row, change {'ab'[kept[0]]} by {error[kept[0]] / abs(value[kept[0]]):.0%}, which is in its error: the run is coarse, or not smooth; record more often, or type velocity=")  # fmt: skip
    return Estimate(value, error, method), outside(part)[0], tuple(notes)


def _stretches(law: Regression) -> list[tuple[int, int, int]]:
    """(replica, first, last) of stretches that last ten times as long as the memory of what the law leaves, where the run does."""
    replicas, times = law.y.shape
    count = min(BLOCKS, max(FEW, replicas, replicas * times // (LASTING * memory(scores(law)))))
    return Series(np.zeros((replicas, times + 1, 1)), 1.0).stretches(count)


def _blurred(motion: Motion, law: Regression, kept: list[int]) -> Floats:
    """How far the coefficients move with a cubic spline, or with every second row: more than rows that are far apart put them off."""
    if motion.velocity is not None:
        return np.zeros(len(kept))
    pairs = [(law, motion.regression(order=COARSER).part(*kept)), tuple(r.part(*kept) for r in motion.halved())]
    sums = [[r.products().sum(axis=(0, 1)) for r in pair] for pair in pairs if len(independent(pair[0])) == len(kept)]
    return np.asarray(np.max([np.abs(solved(fine) - solved(coarse)) for fine, coarse in sums], axis=0))


def _roughness(run: Series) -> Estimate:
    """Mean v² over one recorded time over that over two."""
    short = np.sum((run.x[:, 1:-1] - run.x[:, :-2]) ** 2 + (run.x[:, 2:] - run.x[:, 1:-1]) ** 2, axis=-1) / 2
    long = np.sum((run.x[:, 2:] - run.x[:, :-2]) ** 2, axis=-1) / 4
    both = np.stack([short, long], axis=-1)
    total = np.array([both[r, a:b].sum(axis=0) for r, a, b in run.stretches() if b > a + 1])
    (found,) = jackknife(total, lambda sums: (sums[0] / sums[1],), f"jackknife over {len(total)} stretches")
    return Estimate(float(found.value), float(found.error), found.method)


def _descent(motion: Motion) -> float:
    """R2 of v²/2 = E + c |grad U|²/2 outside of what was fitted; zero where c is not positive, NaN without a gradient."""
    descent = motion.descent()
    if descent is None or not independent(descent):
        return float("nan")
    R2, coefficients = outside(descent)
    return R2 if coefficients[0] > 0 else 0.0


def _dropped(kept: list[int]) -> tuple[str, ...]:
    names = ("U", "S")
    return tuple(f"{names[i]} does not vary, or only together with U: its coefficient is not known" for i in (0, 1) if i not in kept)  # fmt: skip
