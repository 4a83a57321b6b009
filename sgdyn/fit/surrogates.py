"""Runs that know nothing of a law: random walks, linear processes, and the run with its parts shifted against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.autoregression import Transition, transition
from sgdyn.fit.regressions import Regression, memory
from sgdyn.fit.stretches import Series
from sgdyn.noise import nearest_covariance

Floats = NDArray[np.float64]

LEAST_SHIFT = 0.1
"""Of the length of a run, either way."""


def free(run: Series) -> Transition:
    """The random walk with the covariance of the run's increments."""
    steps = np.diff(run.x, axis=1).reshape(-1, run.dim)
    return Transition(np.zeros(run.dim), np.eye(run.dim), steps.T @ steps / len(steps))


NULLS: dict[str, Callable[[Series], Transition]] = {"free diffusion": free, "linear process": transition}


def walks(run: Series, step: Transition, rng: np.random.Generator) -> Iterator[Floats]:
    """Paths (replica, time, k) from the run's own first points, one draw after another."""
    values, vectors = np.linalg.eigh(nearest_covariance(step.noise))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    while True:
        x = np.empty_like(run.x)
        x[:, 0] = run.x[:, 0]
        kicks = rng.normal(size=x.shape) @ root.T + step.offset
        for t in range(1, x.shape[1]):
            x[:, t] = x[:, t - 1] @ step.matrix.T + kicks[:, t]
        yield x


def walked(r: Regression, rng: np.random.Generator) -> Iterator[Regression]:
    """y as a walk: its increments with signs by chance, the same for all replicas, over blocks longer than the increments' memory.

    Where y and the terms are independent and the signs of y's increments are even, R2 is one of these, however both trend; that the signs are
    the same in all replicas lets a schedule that they share be no evidence. Of a run that does nothing but trend there are few blocks, and few
    signs that differ from its own.
    """
    steps = np.diff(r.y, axis=1)
    times, length = steps.shape[1], memory(steps[..., None])
    while True:
        block = (np.arange(times) + rng.integers(length)) // length
        signs = rng.choice([-1.0, 1.0], size=block[-1] + 1)[block]
        walk = np.cumsum(steps * signs, axis=1)
        yield Regression(np.concatenate([np.zeros_like(walk[:, :1]), walk], axis=1), r.terms)


def shifted(r: Regression, rng: np.random.Generator) -> Iterator[Regression]:
    """y turned round in time against the terms, each replica by its own number of times."""
    replicas, times = r.y.shape
    margin = max(1, round(LEAST_SHIFT * times))
    while True:
        shifts = rng.integers(margin, times - margin + 1, size=replicas)
        index = (np.arange(times)[None, :] + shifts[:, None]) % times
        yield Regression(np.take_along_axis(r.y, index, axis=1), r.terms)
