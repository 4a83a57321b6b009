"""SGD on a quadratic that goes through the data epoch by epoch, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.steady.discrete import DiscreteSGD, admitted, discrete_sgd, entrance, transition

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EpochSGD:
    """The state of SGD with reshuffled epochs on w'Hw/2, in the long run: it repeats itself with every epoch.

    H (dim, dim), D (dim, dim) the centred covariance of one sample's gradient, which does not depend on w; n samples, `steps` to an epoch, of which
    the last may take fewer than `batch` samples. The batches of an epoch add up to the mean gradient, so that their noises are anti-correlated:
    Cov(xi_s, xi_t) = -D/(n - 1) for s != t, (n - B_s)/(B_s (n - 1)) D for s = t.
    """

    H: Floats
    D: Floats
    lr: float
    batch: int
    n: int
    momentum: float

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-self.n // self.batch)

    @cached_property
    def covariances(self) -> Floats:
        """Covariance of w (steps, dim, dim) after 0, 1, ... steps of an epoch."""
        M, d, added = transition(self.H, self.lr, self.momentum), len(self.H), self._added
        start = linalg.solve_discrete_lyapunov(np.linalg.matrix_power(M, self.steps), self._added_in_epoch)
        found, reach = np.empty((self.steps, d, d)), np.eye(len(M))
        for p in range(self.steps):
            found[p] = (reach @ start @ reach.T + added[p])[:d, :d]
            reach = M @ reach
        return np.asarray(0.5 * (found + np.swapaxes(found, 1, 2)))

    @property
    def covariance(self) -> Floats:
        """The average of `covariances` over an epoch (dim, dim): that of w at a step taken at random."""
        return np.asarray(self.covariances.mean(axis=0))

    def __str__(self) -> str:
        kept = np.trace(self.covariance) / np.trace(self.independent.covariance)
        return f"SGD epoch by epoch, {self.steps} steps of an epoch: {kept:.3g} of the total variance of independent batches"

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The total variance at each step of an epoch (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    @property
    def independent(self) -> DiscreteSGD:
        """The same SGD with independent batches without replacement: what theories of white noise are about."""
        return discrete_sgd(
            self.H, self.D, lr=self.lr, batch=self.batch, n=self.n, sampler="without", momentum=self.momentum
        )

    @property
    def _shares(self) -> Floats:
        """B_s/n of each batch."""
        sizes = np.full(self.steps, self.batch)
        sizes[-1] = self.n - self.batch * (self.steps - 1)
        return np.asarray(sizes / self.n)

    @cached_property
    def _added(self) -> Floats:
        """What the noise of the first p steps adds to the covariance of the state: sum_s M_s D M_s'/share_s - G D G', G = sum_s M_s, over n - 1."""
        M, E = transition(self.H, self.lr, self.momentum), entrance(len(self.H), self.lr, self.momentum)
        squares, G, found = np.zeros(M.shape), np.zeros(E.shape), []
        for share in self._shares:
            found.append((squares - G @ self.D @ G.T) / (self.n - 1))
            squares, G = M @ squares @ M.T + E @ self.D @ E.T / share, M @ G + E
        return np.array(found)

    @cached_property
    def _added_in_epoch(self) -> Floats:
        """The same of a whole epoch, as sum_s share_s (M_s/share_s - G) D (M_s/share_s - G)': in flat directions the difference is nearly nothing."""
        M, entries = transition(self.H, self.lr, self.momentum), [entrance(len(self.H), self.lr, self.momentum)]
        for _ in range(self.steps - 1):
            entries.append(M @ entries[-1])
        shares = self._shares[:, None, None]
        uneven = np.array(entries[::-1]) / shares - np.sum(entries, axis=0)
        return np.asarray(np.sum(shares * (uneven @ self.D @ np.swapaxes(uneven, 1, 2)), axis=0) / (self.n - 1))


def epoch_sgd(H: ArrayLike, D: ArrayLike, *, lr: float, batch: int, n: int, momentum: float = 0.0) -> EpochSGD:
    """The exact covariances of SGD on w'Hw/2 whose data are shuffled anew and gone through once in every epoch (DataLoader(shuffle=True)).

        S_0 = M^L S_0 M^L' + K_L,   S_p = M^p S_0 M^p' + K_p,   K_p = (sum_s M_s D M_s' n/B_s - G D G')/(n - 1),   G = sum_s M_s,

    L steps to an epoch, M the matrix of a step, M_s = M^(p-1-s) times lr, s < p. Memory: L (dim, dim) matrices (four times that with momentum).
    Raises ValueError as `discrete_sgd`, and for batch >= n (no noise). Sources: Kühn and Rosenow, arXiv:2306.05300; the covariances of
    samples without replacement, Cochran, Sampling Techniques (1977), 2.8.
    """
    hessian, noise, lr, momentum = admitted(H, D, lr, momentum)
    samples, batch = checks.count("n", n, least=2), checks.count("batch", batch)
    if batch >= samples:
        raise ValueError(f"got batch={batch} of n={samples} samples, expected batch < n: a full batch has no noise")
    return EpochSGD(hessian, noise, lr, batch, samples, momentum)
