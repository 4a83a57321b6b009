"""The linear process that a run follows, by the exact transition between two recorded times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.fit.listings import printed
from sgdyn.fit.stretches import BLOCKS, Series, jackknife, series
from sgdyn.fit.transitions import modes
from sgdyn.fit.units import own_units
from sgdyn.nets.recording import Recording
from sgdyn.noise import nearest_covariance
from sgdyn.printing import Printed
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

COARSE = 0.05
"""Of a mode that keeps less than this between two recorded times, little is known but that it is fast."""
ENOUGH = 30
"""Relaxation times of the slowest mode below which F and the center are not normal about the truth."""
FEWEST = 12
"""Stretches at least; they should last a relaxation time, or the jackknife does not see the bias of F."""


@dataclass(frozen=True, eq=False, repr=False)
class LinearDynamics(Printed):
    """dX = -F (X - center) dt + sqrt(2 T D) dW as a run follows it.

    F (k, k); noise (k, k) = T D, of which alone data know; center (k,); covariance (k, k), the stationary one of F and noise (infinite where a
    mode does not decay). residual_correlation (k,): of what F does not explain with its own past, 0 if the run is Markov in these coordinates;
    residual_kurtosis (k,): its excess kurtosis, 0 for Gaussian noise. rates (k,): eigenvalues of F, ascending real parts. F and center carry a
    warning if the run is short.
    """

    F: Estimate
    noise: Estimate
    center: Estimate
    residual_correlation: Estimate
    residual_kurtosis: Estimate
    series: Series

    @property
    def rates(self) -> NDArray[np.complex128]:
        values = np.linalg.eigvals(self.F.value)
        return np.asarray(values[np.argsort(values.real)])

    @property
    def covariance(self) -> Floats:
        """S with F S + S F' = 2 T D; raises ValueError if a mode does not decay."""
        return stationary(self.F.value, self.noise.value)

    def effective_temperature(self, directions: ArrayLike | None = None) -> Estimate:
        """T_eff (m,) = v' (T D) v = v' F S v of unit vectors along `directions` (m, k): what heats a direction, and what equipartition makes of it.

        E[(v.x)(v.F x)] is v' F S v, and the Lyapunov equation says that both are one number: the temperature, if the drift is minus a gradient with
        mobility 1. All alike: one temperature. Directions: by default eigenvectors of `covariance`, from the widest on, taken as given (for these
        T_eff is the variance times v' F v). Errors by the jackknife. Raises ValueError for directions of another dimension or of length 0, and
        by default if a mode does not decay. Source: Yaida, arXiv:1810.00004, of E[x g].
        """
        k = len(self.center.value)
        v = np.linalg.eigh(self.covariance)[1].T[::-1] if directions is None else checks.points(directions, k, "directions")  # fmt: skip
        v = np.atleast_2d(v)
        length = np.linalg.norm(v, axis=1, keepdims=True)
        if not np.all((length > 0) & np.isfinite(length)):
            raise ValueError(f"got directions of lengths {length.ravel()}, expected finite ones above 0")
        return along(self.series, v / length)

    def __str__(self) -> str:
        return printed(self)

    __repr__ = __str__

    def process(self) -> Langevin:
        """The fitted process with T = 1 and D = `noise`, which every solver takes; negative eigenvalues of `noise` are cut off."""
        return Langevin.linear(self.F.value, T=1.0, D=nearest_covariance(self.noise.value), center=self.center.value)

    def plot(self, ax: Any = None) -> Any:
        """Rates with their errors, and residual correlations (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def linear(recording: Recording | Any, *, dt: float | None = None) -> LinearDynamics:
    """The linear process of greatest likelihood for a run: its exact transition between two recorded times, not Euler's.

    x(t + dt) - center = A (x(t) - center) + noise of covariance Sigma, with A = exp(-F dt) and Sigma = 2 T ∫_0^dt exp(-F s) D exp(-F' s) ds.
    recording: of `nets.train` on a subspace, or an array (replica, time, k) or (time, k) with its `dt`. Errors by leaving out one of some 60
    stretches after another: they need neither Gaussian noise nor a right model. Raises ValueError where A has no real logarithm near it (a mode
    has decayed, or is just half a turn on, between two recorded times), and names coordinates that are constant or combinations of others.
    A mode that turns by more than half a turn between two recorded times looks like a slower one, and nothing in the run can tell (aliasing).
    Source: maximum likelihood of vector autoregressions, Lütkepohl, New Introduction to Multiple Time Series Analysis (2005), ch. 3.
    """
    run = series(recording, dt)
    own = own_units(run)
    sums = stretch_sums(own.run)
    lasting = _lasting(dynamics(sums.sum(axis=0)[0], run.dt)[0], run)
    if lasting < BLOCKS:
        sums = stretch_sums(own.run, max(FEWEST, round(lasting)))
    method = f"maximum likelihood, {len(run.x)} replicas x {run.x.shape[1]} times, jackknife over {len(sums)} stretches"
    F, noise, center, correlation = jackknife(sums, lambda m: (*dynamics(m[0], run.dt), _correlation(m)), method)
    notes = _short(_lasting(F.value, run))
    center = replace(center, error=np.maximum(center.error, _center_error(F.value, noise.value, run)))
    F, noise, center = own.rate(F), own.covariance(noise), own.point(center)
    kurtosis = _kurtosis(own.run, sums.sum(axis=0), method)
    return LinearDynamics(
        replace(F, warnings=notes), noise, replace(center, warnings=notes), correlation, kurtosis, run
    )


def _lasting(F: Floats, run: Series) -> float:
    """How many relaxation times of its slowest mode the run lasts, all replicas together; not positive if that mode does not decay."""
    return float(np.linalg.eigvals(F).real.min()) * run.length


def _short(lasting: float) -> tuple[str, ...]:
    """A note if the run lasts few relaxation times."""
    if lasting >= ENOUGH:
        return ()
    if lasting <= 0:
        return ("a mode does not decay in this run: it has no center, and errors of F do not cover",)
    return (
        f"the run lasts {lasting:.2g} relaxation times of its slowest mode, expected {ENOUGH} at least: F comes out too large, and errors of F and "
        "center are somewhat too small; record longer",
    )


def _center_error(F: Floats, noise: Floats, run: Series) -> Floats:
    """Of the mean of a stationary run, whose variance is 2 F^-1 N F'^-1/time, (k,); 0 where there is none."""
    if _lasting(F, run) <= 0:
        return np.zeros(len(F))
    back = np.linalg.inv(F)
    return np.asarray(np.sqrt(np.maximum(2 * np.diag(back @ noise @ back.T), 0.0) / run.length))


def stationary(F: Floats, noise: Floats) -> Floats:
    """S with F S + S F' = 2 noise."""
    slowest = float(np.linalg.eigvals(F).real.min())
    if slowest <= 0:
        raise ValueError(
            f"got a fitted rate {slowest:.3g}, expected positive ones: that mode does not decay in this run, so there is no stationary "
            "covariance; type sgdyn.fit.confinement(recording) for which modes are confined"
        )
    return np.asarray(linalg.solve_continuous_lyapunov(F, 2 * noise))


@dataclass(frozen=True, eq=False)
class Transition:
    """x(t + dt) = offset + matrix x(t) + noise of the covariance `noise`."""

    offset: Floats
    matrix: Floats
    noise: Floats


def transition(run: Series) -> Transition:
    """That of greatest likelihood between two recorded times, whether or not a process in continuous time has it."""
    own = own_units(run)
    offset, A, Sigma = regression(stretch_sums(own.run).sum(axis=0)[0])
    matrix = A * own.scale[:, None] / own.scale
    return Transition(own.mean + own.scale * offset - matrix @ own.mean, matrix, Sigma * np.outer(own.scale, own.scale))


def stretch_sums(run: Series, count: int = BLOCKS) -> Floats:
    """Sums of products of z(t) = (1, x(t), x(t + dt)) with z(t) and with z(t + dt) over stretches (stretch, 2, 1 + 2k, 1 + 2k)."""
    return np.array([_sums(run.x[r, a : b + 2], b - a) for r, a, b in run.stretches(count)])


def _sums(x: Floats, count: int) -> Floats:
    z = np.concatenate([np.ones((len(x) - 1, 1)), x[:-1], x[1:]], axis=1)
    return np.array([z[:count].T @ z[:count], z[:-1].T @ z[1:]])


def regression(total: Floats) -> tuple[Floats, Floats, Floats]:
    """(offset, A, Sigma) of x(t + dt) = offset + A x(t) + noise, from the sums of z(t) z(t)'."""
    k = len(total) // 2
    past, cross, ahead = total[: 1 + k, : 1 + k], total[: 1 + k, 1 + k :], total[1 + k :, 1 + k :]
    B = linalg.solve(past, cross, assume_a="pos")
    return B[0], B[1:].T, (ahead - cross.T @ B) / (total[0, 0] - 1 - k)


def dynamics(total: Floats, dt: float) -> tuple[Floats, Floats, Floats]:
    """(F, T D, center)."""
    offset, A, Sigma = regression(total)
    found = modes(A, dt)
    _refuse_coarse(found.kept)
    return found.function(found.rates), found.white(Sigma), linalg.lstsq(np.eye(len(A)) - A, offset)[0]


def _refuse_coarse(kept: NDArray[Any]) -> None:
    lost = kept[(np.abs(kept) < COARSE) | ((np.abs(kept.imag) < 1e-12) & (kept.real <= 0))]
    if len(lost):
        raise ValueError(
            f"got a mode that keeps {lost[0]:.2g} of itself between two recorded times, expected more than {COARSE}: it decays or turns faster "
            "than the recording sees; record more often, or leave that direction out"
        )


def residuals(run: Series) -> list[Floats]:
    """What the fitted transition leaves unexplained, stretch by stretch (time, k), in units of the run's standard deviations."""
    own = own_units(run).run
    return _unexplained(own, stretch_sums(own).sum(axis=0))


def _unexplained(run: Series, total: Floats) -> list[Floats]:
    offset, A, _ = regression(total[0])
    return [run.x[r, a + 1 : b + 1] - offset - run.x[r, a:b] @ A.T for r, a, b in run.stretches()]


def _correlation(m: Floats) -> Floats:
    """Of residuals with their own past (k,): residuals are w z(t), so that the regression is a part of the statistic and its scatter of the error."""
    offset, A, _ = regression(m[0])
    w = np.concatenate([-offset[:, None], -A, np.eye(len(A))], axis=1)
    variance, product = (np.einsum("ip,pq,iq->i", w, part, w, optimize=True) / part[0, 0] for part in m)
    return np.asarray(product / variance)


def along(run: Series, directions: Floats) -> Estimate:
    """v' (T D) v of the directions (m, k), (m,)."""
    own = own_units(run)
    v, sums = directions * own.scale, stretch_sums(own.run)[:, 0]
    method = f"v' (T D) v, jackknife over {len(sums)} stretches"
    (found,) = jackknife(sums, lambda m: (np.einsum("mi,ij,mj->m", v, dynamics(m, run.dt)[1], v),), method)
    return found


def _kurtosis(run: Series, total: Floats, method: str) -> Estimate:
    """Excess kurtosis of the residuals (k,); to first order the scatter of the regression takes no part in it."""
    parts = _unexplained(run, total)
    moments = np.array([[np.full(run.dim, float(len(e))), np.sum(e**2, axis=0), np.sum(e**4, axis=0)] for e in parts])
    (found,) = jackknife(moments, lambda m: (m[2] / m[0] / (m[1] / m[0]) ** 2 - 3,), method)
    return found
