"""Projections of a run's increments on functions of the place, in the sense of Itô or Stratonovich, over several lags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import Formula
from sgdyn.fit.local_moments import pairs, symmetric
from sgdyn.fit.small_steps import limit
from sgdyn.fit.stretches import BLOCKS, Series

Floats = NDArray[np.float64]

ESTIMATORS = ("standard", "vestergaard", "weak noise")
DEPENDENT = 1e-10


@dataclass(frozen=True, eq=False)
class Projection:
    """What is summed: `force` and `noise` are bases of drift and diffusion."""

    force: Formula
    noise: Formula
    stratonovich: bool
    estimator: str
    lags: int
    dt: float

    def sums(self, run: Series) -> Floats:
        """(part, row) over some 60 parts of the run; the first row counts transitions."""
        last = run.x.shape[1] - 2 * self.lags
        found = [self._stretch(run.x[r], a, min(b, last)) for r, a, b in run.stretches() if min(b, last) > a]
        return np.array([np.sum(part, axis=0) for part in np.array_split(np.array(found), min(BLOCKS, len(found)))])

    def total(self, run: Series) -> Floats:
        """The sums over all of the run."""
        last = run.x.shape[1] - 2 * self.lags
        return np.asarray(np.sum([self._stretch(x, 0, last) for x in run.x], axis=0))

    def _stretch(self, x: Floats, a: int, b: int) -> Floats:
        here, rows = x[a:b], [np.array([float(b - a)])]
        f, d = self.force(here), self.noise(here)
        rows += [f.T @ f, d.T @ d]
        if self.stratonovich:
            rows.append(np.einsum("nc,nav->cva", d, self.force.gradient()(here)))
        i, j = pairs(x.shape[1])
        for lag in range(1, self.lags + 1):
            step, second = x[a + lag : b + lag] - here, x[a + 2 * lag : b + 2 * lag] - x[a + lag : b + lag]
            weight = 0.5 * (f + self.force(x[a + lag : b + lag])) if self.stratonovich else f
            rows += [step.T @ weight, (self._square(step, second)[:, i, j]).T @ d]
        return np.concatenate([row.ravel() for row in rows])

    def _square(self, step: Floats, second: Floats) -> Floats:
        """Of which the mean is 2 T D s, (n, k, k)."""
        if self.estimator == "standard":
            return step[:, :, None] * step[:, None, :]
        if self.estimator == "vestergaard":
            cross = step[:, :, None] * second[:, None, :]
            return step[:, :, None] * step[:, None, :] + cross + np.swapaxes(cross, 1, 2)
        bend = second - step
        return 0.5 * bend[:, :, None] * bend[:, None, :]

    def coefficients(self, total: Floats) -> tuple[Floats, Floats]:
        """(drift (k, function), T D (k, k, function)) in the limit of small steps."""
        gram, noise_gram, slopes, at_lags = self.parts(total)
        k, forces, noises = self.force.dim, [], []
        for lag, (load, square) in enumerate(at_lags, start=1):
            s = lag * self.dt
            D = symmetric(np.asarray(np.linalg.solve(noise_gram, square.T) / (2 * s), dtype=np.float64), k)
            push = load / s - (0.0 if slopes is None else np.einsum("cmv,cva->ma", D, slopes))
            forces.append(np.linalg.solve(gram, push.T).T)
            noises.append(np.moveaxis(D, 0, -1))
        return limit(np.array(forces), self.lags), limit(np.array(noises), self.lags)

    def parts(self, total: Floats) -> tuple[Floats, Floats, Floats | None, list[tuple[Floats, Floats]]]:
        """(sum f f', sum d d', sum d (x) slope of f, [(sum dx f', sum dx dx' d') at each lag]); f and d are the two bases."""
        k, m, c = self.force.dim, self.force.shape[0], self.noise.shape[0]
        shapes = [(1,), (m, m), (c, c)] + [(c, k, m)] * self.stratonovich + [(k, m), (k * (k + 1) // 2, c)] * self.lags
        cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        rows = [row.reshape(shape) for row, shape in zip(np.split(total, cuts), shapes, strict=True)]
        rest = rows[3 + self.stratonovich :]
        at_lags = list(zip(rest[::2], rest[1::2], strict=True))
        return rows[1], rows[2], rows[3] if self.stratonovich else None, at_lags


def refuse_dependent(gram: Floats, name: str) -> None:
    """Raises ValueError where functions are linearly dependent along the run."""
    size = np.sqrt(np.diag(gram))
    values, vectors = (
        np.linalg.eigh(gram / np.outer(size, size)) if np.all(size > 0) else (np.zeros(1), np.ones((1, 1)))
    )
    if values[0] < DEPENDENT:
        raise ValueError(
            f"got functions of the {name} that are linearly dependent along the run (number {int(np.argmax(np.abs(vectors[:, 0])))} with others), "
            "expected independent ones; leave one out, or a coordinate that is a function of the others"
        )
