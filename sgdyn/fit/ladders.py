"""The ladder of processes from SGD to its diffusion, run on a network and compared rung by rung."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit import rungs
from sgdyn.fit.comparison import Comparison, compare
from sgdyn.fit.findings import NEAR, Finding, Validity
from sgdyn.fit.landscapes import along, centre, slope
from sgdyn.fit.rungs import Ladder, ratio, worst
from sgdyn.nets.cumulants import central_moments, of_batches
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording
from sgdyn.nets.schemes import SGD, SVAG, GaussianNoise, Scheme
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.training import train
from sgdyn.steady.discrete import DiscreteSGD, ladder
from sgdyn.steady.epochs import EpochSGD

Floats = NDArray[np.float64]

APPROACH = 3.0
"""Relaxation times of the slowest direction that are left out."""
ROWS = 400
"""Recorded times, about."""
LEAST = 100
"""Steps that are recorded at least, however fast directions forget."""
MANY = 100.0
"""Times as many replicas as now that may be asked for."""
GAUSSIAN = "Gaussian noise"
CONTROL = "quadratic model as control variate"


@dataclass(frozen=True, eq=False)
class Experiment:
    """The runs that are to be done: their common settings, and the theory of SGD on the quadratic.

    discrete: with independent batches; epoch: with batches that go through the data in turn, if they do.
    """

    network: Network
    space: Subspace
    options: dict[str, Any]
    amplification: int
    approach: int
    steps: int
    discrete: DiscreteSGD
    epoch: EpochSGD | None

    @classmethod
    def plan(
        cls, network: Network, space: Subspace, lr: float, batch: int, momentum: float, sampler: str, replicas: int, relaxations: float,
        amplification: int, seed: int, show_progress: bool | None,
    ) -> Experiment:  # fmt: skip
        in_turn = sampler == "epoch"
        discrete = space.discrete_model(
            lr=lr, batch=batch, momentum=momentum, sampler="without" if in_turn else sampler
        )
        relaxation = max(1.0, float(discrete.correlation_times().max()) / lr)
        approach = int(np.ceil(APPROACH * relaxation))
        steps = approach + max(LEAST, int(np.ceil(relaxations * relaxation)))
        options = {
            "lr": lr, "batch": batch, "momentum": momentum, "sampler": sampler, "replicas": replicas, "record": space, "seed": seed,
            "show_progress": show_progress,
        }  # fmt: skip
        epoch = rungs.epochs(space, lr, batch, momentum) if in_turn else None
        return cls(network, space, options, amplification, approach, steps, discrete, epoch)

    def batches(self, gaussian: bool) -> float:
        """What all runs cost, in batches a replica."""
        full = self.network.n / self.options["batch"] if gaussian else 0.0
        return self.steps * (1 + 2 * self.amplification + full)

    @property
    def smaller(self) -> DiscreteSGD:
        """Steps that take an l-th of the time, with noise of l times the covariance: the same diffusion, as SVAG has it.

        With momentum the time of a step is lr^{1/2}: lr/l², and 1 - mu over l, keep friction and temperature.
        """
        d, part = self.discrete, self.amplification
        heavy = part if d.momentum else 1
        momentum = 1 - (1 - d.momentum) / part if d.momentum else 0.0
        return replace(d, lr=d.lr / part / heavy, momentum=momentum, factor=d.factor * part)

    def run(self, scheme: Scheme) -> Recording:
        """A stationary recording with a scheme, of the same times for all. What stands for the diffusion has independent batches."""
        options, finer = dict(self.options), 1
        if not isinstance(scheme, SGD) and self.epoch is not None:
            options["sampler"] = "without"
        if isinstance(scheme, SVAG):
            finer = self.amplification
            options |= {"lr": self.smaller.lr * finer, "momentum": self.smaller.momentum}
        every = max(1, self.steps // ROWS)
        whole = train(self.network, steps=self.steps * finer, every=every * finer, scheme=scheme, **options)
        return whole.after(self.approach * finer)

    def exact(self, recording: Recording) -> Floats:
        """Variances (time, k) of the quadratic model of a recording."""
        if recording.settings.sampler == "epoch" and self.epoch is not None:
            each = np.diagonal(self.epoch.covariances, axis1=1, axis2=2)
            return np.asarray(each[recording.steps % self.epoch.steps])
        model = self.smaller if recording.settings.part < 1 else self.discrete
        return np.broadcast_to(np.diag(model.covariance), (len(recording.steps), model.dim))

    def squares(self, recording: Recording) -> Floats:
        """x² about its mean, less the quadratic model's, plus its exact expectation (replica, time, k)."""
        x = recording.x - centre(recording)
        return np.asarray(x**2 - recording.shadow**2 + self.exact(recording))

    def variances(self, recording: Recording) -> Estimate:
        """(k,) with replicas as samples."""
        return of_samples(self.squares(recording).mean(axis=1), f"{len(recording.x)} replicas, {CONTROL}")


def unstable(space: Subspace, lr: float, momentum: float) -> Validity | None:
    """What is left to say where SGD itself leaves the minimum."""
    found = _edge(space, lr, momentum)
    if float(found.size.value) < 1:
        return None
    return Validity((found,), notes=("SGD itself diverges on the quadratic: there is no stationary state to compare",))


def affordable(experiment: Experiment, gaussian: bool, limit: float) -> None:
    """Raises ValueError for runs of more batches than that."""
    cost = experiment.batches(gaussian)
    if cost <= limit:
        return
    h = np.linalg.eigvalsh(experiment.space.H)
    raise ValueError(
        f"got runs of {cost:.2g} batches for each of {experiment.options['replicas']} replicas (the slowest direction, h = {h[0]:.3g}, relaxes in "
        f"{experiment.approach / APPROACH:.2g} steps), expected at most {limit:.2g}; type max_batches={1.1 * cost:.1g} if you have the time, or k= for fewer directions "
        f"(the eigenvalues of H in these {len(h)} reach from {h[-1]:.3g} to {h[0]:.3g})"
    )


def assumptions(experiment: Experiment, gaussian: bool) -> Validity:
    """All findings on a network."""
    recording = experiment.run(SGD())
    comparison = compare(recording, experiment.space, paths=0)
    own = experiment.variances(recording)
    runs = {f"SVAG({experiment.amplification})": experiment.variances(experiment.run(SVAG(experiment.amplification)))}
    if gaussian:
        runs[GAUSSIAN] = experiment.variances(experiment.run(GaussianNoise()))
    found = [
        *_exact(experiment, comparison), *_seen(experiment, comparison, own), *_landscape(experiment, comparison, own),
        *_kurtosis(experiment, comparison), *_rungs(own, runs, comparison),
    ]  # fmt: skip
    return Validity(
        tuple(found),
        comparison,
        _advice(found, experiment.options["replicas"]),
        _table(experiment, own, runs, comparison),
    )


def _advice(found: list[Finding], replicas: int) -> tuple[str, ...]:
    """How many replicas would tell what now is unclear, errors falling as their square root; silent where that is hopeless."""
    unclear = [each for each in found if each.state == "unclear"]
    rooms = [(each.limit - abs(float(each.size.value)), float(each.size.error)) for each in unclear]
    times = max(((NEAR * error / room) ** 2 for room, error in rooms if room > 0), default=0.0)
    return (f"type replicas={int(np.ceil(replicas * times))} for what replicas can tell",) if 0 < times <= MANY else ()


def _table(experiment: Experiment, own: Estimate, runs: dict[str, Estimate], c: Comparison) -> Ladder:
    theories = rungs.quadratics(experiment.discrete, experiment.amplification, experiment.epoch, c.recording.steps)
    theories = [
        (f"{name}, on the quadratic" if name.startswith("SVAG") else name, variances) for name, variances in theories
    ]
    return rungs.beside(own, c.noisy, runs, theories, f"run, {CONTROL}")


def _edge(space: Subspace, lr: float, momentum: float) -> Finding:
    sharpness = lr * float(np.linalg.eigvalsh(space.H)[-1]) / (2 * (1 + momentum))
    return Finding("edge of stability", Estimate(sharpness, 0.0, "exact"), 0.5, "sharpness over 2 (1 + momentum)/lr: at 1 SGD leaves the minimum")  # fmt: skip


def _exact(experiment: Experiment, c: Comparison) -> list[Finding]:
    """What is known without a run."""
    lr, momentum = experiment.options["lr"], experiment.options["momentum"]
    processes = ladder(experiment.discrete)
    diffusion = processes[2] if not momentum else processes[1]
    gap = diffusion.relative_error(experiment.discrete.covariance)
    return [
        slope(experiment.network, experiment.discrete, experiment.space, c.noisy),
        _edge(experiment.space, lr, momentum),
        Finding("small steps", Estimate(gap, 0.0, "exact on the quadratic"), 0.1, "relative error of the diffusion's variances on the quadratic"),
        *_white(experiment, c),
    ]  # fmt: skip


def _white(experiment: Experiment, c: Comparison) -> list[Finding]:
    """Whether batches are independent: by their sampler; and if they are not, what that does."""
    meaning = "what noise adds up to over an epoch, over independent batches', less 1"
    if experiment.epoch is None:
        return [Finding("white noise", Estimate(0.0, 0.0, "batches are drawn independently"), 0.2, meaning)]
    independent = np.diag(experiment.discrete.covariance)
    change = (np.diag(experiment.epoch.covariance) / np.where(c.noisy, independent, 1.0) - 1)[c.noisy]
    size = Estimate(float(change[np.argmax(np.abs(change))]), 0.0, "exact on the quadratic")
    found = [Finding("epoch sampler", size, 0.1, "variances with batches that go through the data in turn over those with independent ones, less 1, at worst")]  # fmt: skip
    if c.innovation is not None and c.innovation.samples is not None:
        found.append(
            Finding(
                "white noise",
                of_samples(c.innovation.samples[:, c.noisy].mean(axis=1) - 1, c.innovation.method),
                0.2,
                meaning,
            )
        )
    return found


def _seen(experiment: Experiment, c: Comparison, own: Estimate) -> list[Finding]:
    """What the run itself shows."""
    theory = experiment.exact(c.recording).mean(axis=0)
    squares, half = experiment.squares(c.recording), len(c.recording.steps) // 2
    change = (squares[:, half:].mean(axis=1) - squares[:, :half].mean(axis=1))[:, c.noisy] / own.value[c.noisy]
    return [
        Finding("variances, diffusion", worst(ratio(own, c.diffusion, c.noisy), 0.1), 0.1, "measured over the diffusion's, less 1, at worst"),
        Finding("variances, discrete theory", worst(ratio(own, theory, c.noisy), 0.1), 0.1, "measured over exact SGD on the quadratic, less 1, at worst"),
        Finding("stationary", worst(of_samples(change, own.method), 0.1), 0.1, "change of the variance between the halves of the run, at worst"),
    ]  # fmt: skip


def _landscape(experiment: Experiment, c: Comparison, own: Estimate) -> list[Finding]:
    D, F = along(experiment.network, experiment.space, c.recording, own, c.noisy)
    return [
        Finding("constant D", worst(D, 0.2), 0.2, "D along the run over that at the minimum, less 1, at worst"),
        Finding("constant curvature", worst(F, 0.2), 0.2, "curvature along the run over that at the minimum, less 1, at worst"),
    ]  # fmt: skip


def _kurtosis(experiment: Experiment, c: Comparison) -> list[Finding]:
    """Excess kurtosis of the noise of a batch, in the worst direction, exactly: SGD draws from these samples and no others."""
    space = experiment.space
    moments = central_moments(space.samples[:, c.noisy])
    replacement = experiment.options["sampler"] == "replacement"
    each = of_batches(moments, space.n, experiment.options["batch"], replacement)[1]
    size = Estimate(float(each[np.argmax(np.abs(each))]), 0.0, f"exact for batches of these {space.n} samples")
    return [Finding(GAUSSIAN, size, 1.0, "excess kurtosis of the noise of a batch, at worst")]


def _rungs(own: Estimate, runs: dict[str, Estimate], c: Comparison) -> list[Finding]:
    """Variances of SGD over those of the other rungs, less 1, at worst, the quadratic models of each as control variates."""
    meaning = "smaller steps and as much noise"
    found = []
    for name, variances in runs.items():
        if name == GAUSSIAN:
            name, meaning = "Gaussian noise in its place", "Gaussian noise of the same covariance"
        size = worst(ratio(own, variances, c.noisy), 0.1)
        found.append(Finding(name, size, 0.1, f"variances of SGD over those with {meaning}, less 1, at worst"))
    return found
