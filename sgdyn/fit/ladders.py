"""The ladder of processes from SGD to its diffusion, run on a network and compared rung by rung."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit import residuals
from sgdyn.fit.comparison import Comparison, compare
from sgdyn.fit.findings import Finding, Validity
from sgdyn.fit.reasons import largest
from sgdyn.fit.theories import SILENT
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording
from sgdyn.nets.schemes import SGD, SVAG, GaussianNoise, Scheme
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.training import train
from sgdyn.steady.discrete import DiscreteSGD, ladder

Floats = NDArray[np.float64]

APPROACH = 3.0
"""Relaxation times of the slowest direction that are left out."""
ROWS = 400
"""Recorded times, about."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """The runs that are to be done: their common settings, and the theory of SGD on the quadratic."""

    network: Network
    space: Subspace
    options: dict[str, Any]
    approach: int
    steps: int
    every: int
    discrete: DiscreteSGD

    @classmethod
    def plan(
        cls, network: Network, space: Subspace, lr: float, batch: int, momentum: float, sampler: str, replicas: int, relaxations: float, seed: int,
        show_progress: bool | None,
    ) -> Experiment:  # fmt: skip
        independent = "without" if sampler == "epoch" else sampler
        discrete = space.discrete_model(lr=lr, batch=batch, momentum=momentum, sampler=independent)
        relaxation = (1 - momentum) / (lr * float(np.linalg.eigvalsh(space.H)[0]))
        approach, steps = int(np.ceil(APPROACH * relaxation)), int(np.ceil((APPROACH + relaxations) * relaxation))
        options = {
            "lr": lr,
            "batch": batch,
            "momentum": momentum,
            "sampler": sampler,
            "replicas": replicas,
            "record": space,
            "seed": seed,
        }
        return cls(
            network, space, options | {"show_progress": show_progress}, approach, steps, max(1, steps // ROWS), discrete
        )

    @property
    def plain(self) -> bool:
        """Whether the rungs beyond SGD have exact theories on the quadratic: independent batches, no momentum."""
        return self.options["sampler"] != "epoch" and not self.options["momentum"]

    def run(self, scheme: Scheme) -> Recording:
        """A stationary recording with a scheme, of the same times for all."""
        finer = round(1 / scheme.part)
        whole = train(self.network, steps=self.steps * finer, every=self.every * finer, scheme=scheme, **self.options)
        return whole.after(self.approach * finer)


def assumptions(experiment: Experiment, amplification: int, gaussian: bool) -> Validity:
    """All findings on a network."""
    recording = experiment.run(SGD())
    comparison = compare(recording, experiment.space, paths=0)
    found = [*_exact(experiment), *_seen(comparison), *_kurtosis(experiment)]
    notes: tuple[str, ...] = ()
    if not experiment.options["momentum"]:
        found.append(residuals.balanced(recording))
    if experiment.plain:
        found += _rungs(experiment, recording, amplification, gaussian)
    else:
        notes = ("SVAG and Gaussian noise are compared for independent batches without momentum only",)
    return Validity(tuple(found), comparison, notes)


def _exact(experiment: Experiment) -> list[Finding]:
    """What is known without a run."""
    lr, momentum = experiment.options["lr"], experiment.options["momentum"]
    sharpness = lr * float(np.linalg.eigvalsh(experiment.space.H)[-1]) / (2 * (1 + momentum))
    rungs = ladder(experiment.discrete)
    diffusion = rungs[2] if not momentum else rungs[1]
    gap = diffusion.relative_error(experiment.discrete.covariance)
    return [
        Finding("edge of stability", Estimate(sharpness, 0.0, "exact"), 0.5, "sharpness over 2 (1 + momentum)/lr: at 1 SGD leaves the minimum"),
        Finding("small steps", Estimate(gap, 0.0, "exact on the quadratic"), 0.1, "relative error of the diffusion's variances on the quadratic"),
    ]  # fmt: skip


def _seen(c: Comparison) -> list[Finding]:
    found = [
        Finding("variances, diffusion", largest(c.resolved, "diffusion"), 0.1, "measured over the diffusion's, less 1, at worst"),
        Finding("variances, discrete theory", largest(c.resolved, "discrete"), 0.1, "measured over exact SGD on the quadratic, less 1, at worst"),
    ]  # fmt: skip
    if (
        c.recording.settings.sampler != "epoch"
    ):  # whose gradients know where the run is, which least squares take for curvature
        found += [
            Finding("constant D", _change(c.dressed.D, c.subspace.D, c.noisy), 0.2, "D along the run over that at the minimum, less 1, at worst"),
            Finding("constant curvature", _change(c.dressed.F, c.subspace.H, c.noisy), 0.2, "curvature along the run over that at the minimum, less 1, at worst"),
        ]  # fmt: skip
    if c.innovation is not None and c.innovation.samples is not None:
        each = c.innovation.samples[:, c.noisy].mean(axis=1) - 1
        size = Estimate(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))), c.innovation.method)
        found.append(
            Finding("white noise", size, 0.2, "what noise adds up to over an epoch, over independent batches', less 1")
        )
    return found


def _change(found: Estimate, exact: Floats, kept: NDArray[np.bool_]) -> Estimate:
    with np.errstate(divide="ignore", invalid="ignore"):
        value, error = np.diag(found.value) / np.diag(exact) - 1, np.diag(found.error) / np.diag(exact)
    i = np.flatnonzero(kept)[np.argmax(np.abs(value[kept]))]
    return Estimate(float(value[i]), float(error[i]), found.method)


def _kurtosis(experiment: Experiment) -> list[Finding]:
    """Excess kurtosis of the noise of a batch, in the worst direction, with the error that N samples leave."""
    g, batch = experiment.space.samples, experiment.options["batch"]
    second = np.mean(g**2, axis=0)
    kept = second > 1e-9 * second.max()
    z = g[:, kept] / np.sqrt(second[kept])
    each = np.mean(z**4, axis=0)
    i = int(np.argmax(each))
    influence = z[:, i] ** 4 - 2 * each[i] * z[:, i] ** 2
    size = Estimate(float(each[i] - 3) / batch, float(influence.std() / np.sqrt(len(z))) / batch, f"{len(z)} samples")
    return [Finding("Gaussian noise", size, 1.0, "excess kurtosis of the noise of a batch, at worst")]


def _rungs(experiment: Experiment, sgd: Recording, amplification: int, gaussian: bool) -> list[Finding]:
    """Variances of SGD over those of the other rungs, less 1, at worst, the quadratic models of each as control variates."""
    exact = {rung.name: rung.covariance for rung in ladder(experiment.discrete, amplification)}
    S, amplified = np.diag(experiment.discrete.covariance), exact[f"SVAG({amplification})"]
    assert amplified is not None
    own = _variances(sgd, S)
    slower = _variances(experiment.run(SVAG(amplification)), np.diag(amplified))
    found = [
        Finding(f"SVAG({amplification})", _ratio(own, slower, S), 0.1, "variances of SGD over those with smaller steps and as much noise, less 1, at worst")
    ]  # fmt: skip
    if gaussian:
        normal = _variances(experiment.run(GaussianNoise()), S)
        meaning = "variances of SGD over those with Gaussian noise of the same covariance, less 1, at worst"
        found.append(Finding("Gaussian noise in its place", _ratio(own, normal, S), 0.1, meaning))
    return found


def _variances(recording: Recording, exact: Floats) -> Estimate:
    """(k,): mean x² about the mean, less the quadratic model's, plus its exact one."""
    x, y = recording.x - recording.x.mean(axis=(0, 1)), recording.shadow
    return of_samples(np.mean(x**2 - y**2, axis=1) + exact, f"{len(x)} replicas, quadratic model as control variate")


def _ratio(a: Estimate, b: Estimate, S: Floats) -> Estimate:
    """a/b - 1 in the direction where it is worst."""
    kept = np.flatnonzero(SILENT * S.max() < S)
    ratio = (a.value / b.value - 1)[kept]
    error = np.hypot(a.error / a.value, b.error / b.value)[kept] * np.abs(1 + ratio)
    i = int(np.argmax(np.abs(ratio)))
    return Estimate(float(ratio[i]), float(error[i]), a.method)
