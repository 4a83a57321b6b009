"""Autocorrelations and power spectra of single coordinates, beside those of a process that is reversible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, signal

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit.autoregression import LinearDynamics, linear
from sgdyn.fit.stretches import Series, jackknife
from sgdyn.printing import Printed

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Correlations(Printed):
    """lags (m,) and autocorrelation (m, k); frequencies (f,), cycles per unit time, and power (f, k), one-sided as `scipy.signal.welch` has it.

    reversible_autocorrelation, reversible_power: of the linear process with the covariance and noise of the fitted one and Q = 0 (of coordinates that
    were said to be odd: with what reversibility leaves of their coupling). A peak or a
    negative autocorrelation that the reversible one lacks goes with rotation; peaks alone prove none: both are even under time reversal.
    """

    lags: Floats
    autocorrelation: Estimate
    reversible_autocorrelation: Floats
    frequencies: Floats
    power: Estimate
    reversible_power: Floats

    def plot(self, ax: Any = None) -> Any:
        """Power of each coordinate, and of the reversible process dashed (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def correlations(run: Series, signs: Floats) -> Correlations:
    """signs (k,): -1 for coordinates that change their sign backwards in time. Raises ValueError where no stationary linear process fits."""
    A, S = _reversible(linear(run.x, dt=run.dt), run.dt, signs)
    stretches = [run.x[r, a:b] - run.x.mean(axis=(0, 1)) for r, a, b in run.stretches(24)]
    shortest = min(len(part) for part in stretches)
    length = 2 ** int(np.log2(shortest))
    spectra = [signal.welch(part, fs=1 / run.dt, nperseg=length, detrend=False, axis=0) for part in stretches]
    frequencies = spectra[0][0]
    method = f"{len(stretches)} stretches"
    lags = np.arange(max(2, shortest // 4))
    (kept,) = jackknife(np.array([_autocovariance(part, lags) for part in stretches]), lambda C: (C / C[0],), method)
    return Correlations(
        run.dt * lags.astype(np.float64), kept, _reversible_autocorrelation(A, S, lags),
        frequencies, of_samples(np.array([power for _, power in spectra]), f"{method}, Welch"),
        _reversible_power(A, S, frequencies, run.dt),
    )  # fmt: skip


def _reversible(fitted: LinearDynamics, dt: float, signs: Floats) -> tuple[Floats, Floats]:
    """(A, S) of the linear process with the covariance S and the noise N of the fitted one in which forwards and backwards are alike.

    Without odd coordinates F = N S^-1; with them what F E - E F leaves of it too, E = diag(signs), as far as that keeps S.
    """
    turned = np.outer(signs, signs)
    S, N = (np.where(turned > 0, part, 0.0) for part in (fitted.covariance, fitted.noise.value))
    flow = np.where(turned < 0, fitted.F.value, 0.0) @ S
    return linalg.expm(-(N + (flow - flow.T) / 2) @ np.linalg.inv(S) * dt), S


def _autocovariance(x: Floats, lags: NDArray[np.int64]) -> Floats:
    return np.array([np.mean(x[lag:] * x[: len(x) - lag], axis=0) for lag in lags])


def _reversible_autocorrelation(A: Floats, S: Floats, lags: NDArray[np.int64]) -> Floats:
    """diag(A^lag S)/diag(S)."""
    found, power = [], S
    for _ in lags:
        found.append(np.diag(power) / np.diag(S))
        power = A @ power
    return np.array(found)


def _reversible_power(A: Floats, S: Floats, frequencies: Floats, dt: float) -> Floats:
    """2 dt diag(R (S - A S A') R*) with R = (1 - A exp(-2 pi i f dt))^-1: both signs of the frequency together, the ends alone."""
    eye, kick = np.eye(len(A)), S - A @ S @ A.T
    power = []
    for f in frequencies:
        R = np.linalg.inv(eye - A * np.exp(-2j * np.pi * f * dt))
        power.append(np.real(np.diag(R @ kick @ R.conj().T)) * dt)
    sides = np.where((frequencies == 0) | np.isclose(frequencies, 0.5 / dt), 1.0, 2.0)
    return np.array(power) * sides[:, None]
