"""What it does to a run that its batches go through the data in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stretches import BLOCKS, jackknife, series
from sgdyn.nets.recording import Recording
from sgdyn.steady.epochs import epoch_sgd

Floats = NDArray[np.float64]

LIMIT = 0.1
MANY = 8
FASTEST = 1.9
"""lr h at most, for a theory that needs less than 2."""


def steps_in_epoch(recording: Recording) -> int | None:
    """Steps in an epoch of batches that go through the data in turn, None for others and for a full batch."""
    s = recording.settings
    return -(-s.n // s.batch) if s.sampler == "epoch" and s.batch < s.n else None


def in_turn(recording: Recording) -> Finding | None:
    """Variance over that of independent batches, less 1, on the quadratic with the run's own curvature, where that is least.

    None for other samplers, and for schemes and noisy labels whose noise is not of the batches alone.
    """
    s, steps = recording.settings, steps_in_epoch(recording)
    if steps is None or s.scheme != "SGD()" or s.labels:
        return None
    h = curvature(recording, steps)
    i = int(np.argmin(h.value + CERTAIN * h.error))  # the flatter, the more is taken from it
    value = _change(recording, h.value[i])
    error = max(abs(_change(recording, h.value[i] + far * h.error[i]) - value) / abs(far) for far in (-2, -1, 1, 2))
    lr_h = s.dt * h.value[i]
    size = Estimate(value, error, f"exact on the quadratic with lr h = {lr_h:.2g} of the run; {h.method}")
    meaning = (
        "variance in the flattest direction over that of independent batches, less 1: the noise of an epoch adds up to nothing, "
        f"and an epoch is {steps} steps, {lr_h * steps:.2g} relaxation times there"
    )
    return Finding("epoch sampler", size, LIMIT, meaning)


def _change(recording: Recording, h: float) -> float:
    s, steps = recording.settings, -(-recording.settings.n // recording.settings.batch)
    lr_h = float(np.clip(s.dt * h, 1e-6 / steps, FASTEST))
    found = epoch_sgd([[lr_h / s.dt]], [[1.0]], lr=s.dt, batch=s.batch, n=s.n)
    return float(found.covariance[0, 0] / found.independent.covariance[0, 0]) - 1


def curvature(recording: Recording, steps: int) -> Estimate:
    """h (k,) with mean gradient = h mean x + noise between two recorded times, by least squares with an instrument: x before the epoch began.

    Within an epoch the noise that is left knows what was there, and so x; of what was before the epoch it knows nothing, and over whole
    epochs it adds up to nothing. Source: Wright, The Tariff on Animal and Vegetable Oils (1928), app. B, of instruments.
    """
    every, now, then = recording.settings.every, recording.x[:, :-1], recording.x[:, 1:]
    lost = (now - then) / every
    mean = (now + then) / 2 + lost / 2  # of the steps from now to before then
    begun = np.searchsorted(recording.steps, recording.steps[:-1] // steps * steps, side="right") - 1
    terms = (now[:, np.maximum(begun, 0)], mean, lost / recording.settings.dt)
    replicas = len(recording.x)  # whole ones, if there are enough: a stretch that cuts an epoch keeps its noise
    parts = series(recording).stretches(replicas if replicas >= MANY else BLOCKS)
    sums = np.array([_sums(*(term[r, a:b][begun[a:b] >= 0] for term in terms)) for r, a, b in parts])
    (found,) = jackknife(sums, _slope, f"instrument from before each epoch, jackknife over {len(sums)} stretches")
    return found


def _sums(z: Floats, x: Floats, g: Floats) -> list[Floats]:
    return [np.full(z.shape[1], float(len(z))), z.sum(0), x.sum(0), g.sum(0), (z * x).sum(0), (z * g).sum(0)]


def _slope(m: Floats) -> tuple[Floats]:
    """Cov(z, g)/Cov(z, x)."""
    return ((m[5] - m[1] * m[3] / m[0]) / (m[4] - m[1] * m[2] / m[0]),)
