"""How many functions a run carries: what more of them add to its information, beside what they add to a linear process of the same length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.fit.bases import written
from sgdyn.fit.projections import Projection
from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

DEGREES = (1, 2, 3)
"""Of polynomials among which the information chooses."""
RISK = 0.001
"""The chance that a degree which is not needed is taken."""
SIMULATED, MOST_ROWS, CLEAR = 100, 20_000, 1e-30
"""Null runs, of at most so many rows together, where the law of long runs does not give a chance below `CLEAR`."""


@dataclass(frozen=True, eq=False)
class Degrees:
    """Polynomials for the drift of a run of one standardisation, projected as the fit will be, at one lag."""

    center: Floats
    scale: Floats
    noise_basis: object
    stratonovich: bool
    estimator: str
    dt: float

    @cached_property
    def _projections(self) -> dict[int, Projection]:
        force = [written(degree, self.center, self.scale) for degree in DEGREES]
        noise = written(self.noise_basis, self.center, self.scale)
        return {
            d: Projection(f, noise, self.stratonovich, self.estimator, 1, self.dt)
            for d, f in zip(DEGREES, force, strict=True)
        }

    def needed(self, run: Series, plain: int, richer: int) -> bool:
        """Whether the higher degree carries more than functions that are not needed would, but for `RISK`.

        The gain in nats at one lag (the limit of small steps over several adds variance, and no power) is half a chi² variable in long runs. In short ones its
        tail is heavier: its mean and variance are then those of runs of the linear process that was fitted.
        """
        gain, more = self._gain(run, plain, richer)
        chance = float(stats.chi2.sf(gain, more))
        if chance > RISK or chance < CLEAR or run.x[..., 0].size > MOST_ROWS:
            return chance < RISK
        rng = np.random.default_rng(0)
        draw = self._linear(run)
        null = np.array([self._gain(replace(run, x=draw(rng)), plain, richer)[0] for _ in range(SIMULATED)])
        scale = max(float(null.var() / (2 * null.mean())), 1.0)
        return bool(stats.chi2.sf(gain / scale, max(float(null.mean()) / scale, more / scale)) < RISK)

    def _gain(self, run: Series, plain: int, richer: int) -> tuple[float, int]:
        """Twice the nats, and the number of functions more."""
        (few, count), (many, larger) = self._nats(run, plain), self._nats(run, richer)
        return 2 * (many - few), larger - count

    def _nats(self, run: Series, degree: int) -> tuple[float, int]:
        projection = self._projections[degree]
        total = projection.total(run)
        c, d = projection.coefficients(total)
        return nats(projection.parts(total)[0], projection.noise(run.x[:, :-1]), c, d, run.dt), c.size

    def _linear(self, run: Series) -> Callable[[np.random.Generator], Floats]:
        """Draws runs from the same starts by the linear regression of each row on the one before."""
        x = (run.x - self.center) / self.scale
        here = np.concatenate([np.ones((*x[:, :-1].shape[:2], 1)), x[:, :-1]], axis=2).reshape(-1, run.dim + 1)
        after = x[:, 1:].reshape(-1, run.dim)
        found = np.linalg.lstsq(here, after, rcond=None)[0]
        rest = after - here @ found
        step = found[1:] / max(1.0, float(np.abs(np.linalg.eigvals(found[1:])).max()))

        def draw(rng: np.random.Generator) -> Floats:
            kicks = rest[rng.integers(len(rest), size=x[:, 1:].shape[:2])] + found[0]
            out = np.array(x)
            for t in range(kicks.shape[1]):
                out[:, t + 1] = out[:, t] @ step + kicks[:, t]
            return np.asarray(self.center + self.scale * out)

        return draw


def nats(gram: Floats, noise: Floats, c: Floats, d: Floats, dt: float) -> float:
    """(time/4) E[F' (T D)^-1 F] of coefficients c; the mean T D stands for T D(x)."""
    D = np.einsum("mva,a->mv", d, noise.mean(axis=(0, 1)))
    values, vectors = np.linalg.eigh(D)
    inverse = (vectors / np.maximum(values, 1e-12 * abs(values[-1]))) @ vectors.T
    return float(dt / 4 * np.einsum("ma,ab,vb,mv->", c, gram, c, inverse))
