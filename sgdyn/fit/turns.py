"""What it does to a run that its batches go through the data in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stretches import jackknife, series
from sgdyn.nets.recording import Recording
from sgdyn.steady.epochs import epoch_sgd

Floats = NDArray[np.float64]

LIMIT = 0.1
FASTEST = 1.9
"""lr h at most, for a theory that needs less than 2."""


def steps_in_epoch(recording: Recording) -> int | None:
    """Steps in an epoch of batches that go through the data in turn, None for others and for a full batch."""
    s = recording.settings
    return -(-s.n // s.batch) if s.sampler == "epoch" and s.batch < s.n else None


def in_turn(recording: Recording) -> Finding | None:
    """Variance over that of independent batches, less 1, on the quadratic with the run's own curvature, where that is least.

    None for other samplers, and for schemes and noisy labels whose noise is not of the batches alone. Without gradients nothing is known of it.
    """
    s, steps = recording.settings, steps_in_epoch(recording)
    if steps is None or s.scheme != "SGD()" or s.labels:
        return None
    if recording.gradients.shape != recording.x.shape:
        return _finding(Estimate(np.nan, np.nan, "no gradients recorded"), steps, "an unknown number of")
    h = curvature(recording, steps)
    i = int(np.argmin(h.value + CERTAIN * h.error))  # the flatter, the more is taken from it
    least, value, most = (_change(recording, h.value[i] + side * h.error[i]) for side in (-1, 0, 1))
    size = Estimate(
        value, (most - least) / 2, f"exact on the quadratic with lr h = {s.dt * h.value[i]:.2g} of the run; {h.method}"
    )
    return _finding(size, steps, f"{s.dt * h.value[i] * steps:.2g}")


def _finding(size: Estimate, steps: int, relaxations: str) -> Finding:
    meaning = (
        "variance in the flattest direction over that of independent batches, less 1: the noise of an epoch adds up to nothing, "
        f"and an epoch is {steps} steps, {relaxations} relaxation times there"
    )
    return Finding("epoch sampler", size, LIMIT, meaning)


def _change(recording: Recording, h: float) -> float:
    s, steps = recording.settings, -(-recording.settings.n // recording.settings.batch)
    lr_h = float(np.clip(s.dt * h, 1e-6 / steps, FASTEST))
    found = epoch_sgd([[lr_h / s.dt]], [[1.0]], lr=s.dt, batch=s.batch, n=s.n)
    return float(found.covariance[0, 0] / found.independent.covariance[0, 0]) - 1


def curvature(recording: Recording, steps: int) -> Estimate:
    """h (k,) with gradient_i = h_i x_i + noise in each direction, by least squares with an instrument: x before the epoch began.

    Within an epoch the noise that is left knows what was there, and so x; of what was before the epoch it knows nothing, and over whole
    epochs it adds up to nothing. Source: Wright, The Tariff on Animal and Vegetable Oils (1928), app. B, of instruments.
    """
    begun = np.searchsorted(recording.steps, recording.steps // steps * steps, side="right") - 1
    terms = [np.broadcast_to(recording.x[:, np.maximum(begun, 0)], recording.x.shape), recording.x, recording.gradients]
    sums = np.array([_sums(*(term[r, a:b][begun[a:b] >= 0] for term in terms)) for r, a, b in series(recording).stretches()])  # fmt: skip
    (found,) = jackknife(sums, _slope, f"instrument from before each epoch, jackknife over {len(sums)} stretches")
    return found


def _sums(z: Floats, x: Floats, g: Floats) -> list[Floats]:
    return [np.full(z.shape[1], float(len(z))), z.sum(0), x.sum(0), g.sum(0), (z * x).sum(0), (z * g).sum(0)]


def _slope(m: Floats) -> tuple[Floats]:
    """Cov(z, g)/Cov(z, x)."""
    return ((m[5] - m[1] * m[3] / m[0]) / (m[4] - m[1] * m[2] / m[0]),)
