"""Second moments of paths, measured or exact: of recorded replicas, of a stationary state, of a run that began at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.steady.discrete import DiscreteSGD

Floats = NDArray[np.float64]
Lags = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Time averages of products of coordinates, of each replica (replica, ...) or expected (...).

    second (..., k): x_i². lagged (..., k): x_i(t + lag_i) x_i(t). turning (..., k, k): C - C' with C_ij = x_i(t + 1) x_j(t), in recorded
    times. change (..., k): x_i² in the second half of the recording minus that in the first.
    """

    second: Floats
    lagged: Floats
    turning: Floats
    change: Floats

    def minus(self, other: Moments, exact: Moments) -> Moments:
        """self - other + exact: `other` as control variate, whose expectation is `exact`."""
        return Moments(
            self.second - other.second + exact.second, self.lagged - other.lagged + exact.lagged,
            self.turning - other.turning + exact.turning, self.change - other.change + exact.change,
        )  # fmt: skip

    @classmethod
    def of_paths(cls, x: Floats, lags: Lags, *, centred: bool) -> Moments:
        """Of paths x (replica, time, k). centred: x is about the common mean of these replicas, and the bias of that is taken off."""
        lost = 1.0 / (len(x) - 1) if centred else 0.0
        pairs = [_product(x[:, lag:, i], x[:, : x.shape[1] - lag, i], lost) for i, lag in enumerate(lags)]
        half = x.shape[1] // 2
        early, late = x[:, :half], x[:, half:]
        return cls(
            _product(x, x, lost),
            np.stack(pairs, axis=1),
            _turning(x[:, 1:], x[:, :-1], lost),
            _product(late, late, lost) - _product(early, early, lost),
        )

    @classmethod
    def stationary(cls, lagged: Callable[[int], Floats], lags: Lags, every: int) -> Moments:
        """Of a stationary process with E[x(t + steps) x(t)'] = lagged(steps) (k, k)."""
        second = np.diag(lagged(0))
        pairs = np.array([lagged(int(lag) * every)[i, i] for i, lag in enumerate(lags)])
        shortest = lagged(every)
        return cls(second, pairs, shortest - shortest.T, np.zeros_like(second))

    @classmethod
    def from_rest(cls, model: DiscreteSGD, steps: NDArray[np.int64], lags: Lags) -> Moments:
        """Of the quadratic iteration that began at rest at step 0 and is looked at at `steps` (equally spaced): exact, transient included.

        P_{t+n} = M^n P_t M^n' + P_n, E[x_{t+n} x_t'] = M^n P_t.
        """
        run = _FromRest.of(model, steps)
        pairs = np.array([run.lagged(int(lag))[i, i] for i, lag in enumerate(lags)])
        shortest, half = run.lagged(1), len(steps) // 2
        variances = np.diagonal(run.second[:, : model.dim], axis1=1, axis2=2)
        change = variances[half:].mean(axis=0) - variances[:half].mean(axis=0)
        return cls(variances.mean(axis=0), pairs, shortest - shortest.T, change)


def _product(a: Floats, b: Floats, lost: float) -> Floats:
    """Mean over time of a b (replica, time, ...), plus what subtracting the common mean has taken."""
    return np.asarray(np.mean(a * b, axis=1) + lost * a.mean(axis=1) * b.mean(axis=1))


def _turning(ahead: Floats, behind: Floats, lost: float) -> Floats:
    c = np.matmul(np.swapaxes(ahead, 1, 2), behind) / ahead.shape[1]
    c = c + lost * ahead.mean(axis=1)[:, :, None] * behind.mean(axis=1)[:, None, :]
    return np.asarray(c - np.swapaxes(c, 1, 2))


@dataclass(frozen=True, eq=False)
class _FromRest:
    """second (time, state, k): the first k columns of E[z_t z_t'], z the state; power: the matrix between two recorded times."""

    second: Floats
    power: Floats

    @classmethod
    def of(cls, model: DiscreteSGD, steps: NDArray[np.int64]) -> _FromRest:
        every = int(steps[1] - steps[0])
        power, kick = _repeated(model.transition, _kick(model), every)
        P = _repeated(model.transition, _kick(model), int(steps[0]))[1]
        seen = []
        for _ in steps:
            seen.append(P[:, : model.dim])
            P = power @ P @ power.T + kick
        return cls(np.array(seen), power)

    def lagged(self, lag: int) -> Floats:
        """E[x_{t+lag} x_t'] averaged over the pairs of recorded times (k, k)."""
        average = self.second[: len(self.second) - lag].mean(axis=0)
        return np.asarray((np.linalg.matrix_power(self.power, lag) @ average)[: average.shape[1]])


def _kick(model: DiscreteSGD) -> Floats:
    """Covariance of what one batch adds to the state: w, or (w, v) with momentum."""
    enters = -model.lr * np.eye(model.dim)
    if model.momentum:
        enters = np.vstack([enters, np.eye(model.dim)])
    return np.asarray(enters @ model.noise @ enters.T)


def _repeated(M: Floats, K: Floats, times: int) -> tuple[Floats, Floats]:
    """(M^n, sum_{s<n} M^s K M^s') by doubling."""
    power, total = np.eye(len(M)), np.zeros_like(K)
    while times:
        if times & 1:
            power, total = power @ M, M @ total @ M.T + K
        M, K = M @ M, M @ K @ M.T + K
        times >>= 1
    return power, total
