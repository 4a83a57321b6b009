"""Autocorrelations and power spectra of single coordinates, beside those of a process that is reversible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, signal

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit.autoregression import linear
from sgdyn.fit.stretches import Series
from sgdyn.printing import Printed

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Correlations(Printed):
    """lags (m,) and autocorrelation (m, k); frequencies (f,), cycles per unit time, and power (f, k), one-sided as `scipy.signal.welch` has it.

    reversible_autocorrelation, reversible_power: of the linear process with the covariance and noise of the fitted one and Q = 0. A peak or a
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


def correlations(run: Series) -> Correlations:
    """Raises ValueError where no stationary linear process fits."""
    fitted = linear(run.x, dt=run.dt)
    S, N = fitted.covariance, fitted.noise.value
    A = linalg.expm(-N @ np.linalg.inv(S) * run.dt)
    stretches = [run.x[r, a:b] - run.x.mean(axis=(0, 1)) for r, a, b in run.stretches(24)]
    shortest = min(len(part) for part in stretches)
    length = 2 ** int(np.log2(shortest))
    spectra = [signal.welch(part, fs=1 / run.dt, nperseg=length, detrend=False, axis=0) for part in stretches]
    frequencies = spectra[0][0]
    method = f"{len(stretches)} stretches"
    lags = np.arange(max(2, shortest // 4))
    kept = of_samples(np.array([_autocorrelation(part, lags) for part in stretches]), method)
    scale = kept.value[0]
    return Correlations(
        run.dt * lags.astype(np.float64), Estimate(kept.value / scale, kept.error / scale, method), _reversible_autocorrelation(A, S, lags),
        frequencies, of_samples(np.array([power for _, power in spectra]), f"{method}, Welch"),
        _reversible_power(A, S, frequencies, run.dt),
    )  # fmt: skip


def _autocorrelation(x: Floats, lags: NDArray[np.int64]) -> Floats:
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
