"""SGD itself: many replicas at once, with an explicit sampler, recorded on a basis, resumable to the last bit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sgdyn import checks
from sgdyn.errors import BlowUpError
from sgdyn.nets import checkpoint
from sgdyn.nets.identity import identity
from sgdyn.nets.lenses import Lens
from sgdyn.nets.network import Network
from sgdyn.nets.recorder import Recorder
from sgdyn.nets.recording import SERIES, Recording, Settings
from sgdyn.nets.sampler import make_sampler
from sgdyn.nets.schedules import rates, schedule
from sgdyn.nets.schemes import SGD, Scheme
from sgdyn.nets.sources import LabelNoise, Source
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.traceless import digest
from sgdyn.nets.trees import leaves
from sgdyn.problem import finite_sample_factor
from sgdyn.progress import Progress, progress

Floats = NDArray[np.float64]

__all__ = ["SERIES", "Recording", "Settings", "train"]

CHECKPOINT_SECONDS = 20.0
MOVING = ("w", "v", "y", "u")
LOOK = 50
"""Steps between two looks for lost replicas."""


def train(
    network: Network, *, steps: int, lr: float | ArrayLike | Callable[[int], float], batch: int, sampler: str = "replacement", momentum: float = 0.0, replicas: int = 1,
    record: Subspace | ArrayLike | None = None, every: int = 1, seed: int | np.random.SeedSequence | None = None,
    start: ArrayLike | None = None, scheme: Scheme | None = None, labels: LabelNoise | None = None,
    checkpoint_path: str | Path | None = None, show_progress: bool | None = None,
) -> Recording:  # fmt: skip
    """Run SGD from the network's weights, `replicas` independent runs at once.

    Each step: g = gradient of the mean loss of a batch plus weight_decay w; v = momentum v + g; w = w - lr v (PyTorch's convention).
    sampler: "replacement" (batches of independent draws), "without" (each batch without repetition), "epoch" (a new random order each
    epoch, as DataLoader(shuffle=True)); batches are a function of (seed, replica, step). record: a `Subspace`, or a basis (p, k) around
    the network's weights; default none. start: other starting weights (p,) or (replicas, p). lr: a number, or a schedule: numbers (steps,) or a
    function of the step. scheme: `SVAG(l)`, `SGLD(T)` or `GaussianNoise(factor)` in place of `SGD()`. labels: `LabelNoise(size)`. checkpoint_path: a folder; a run with the
    same settings found there is continued, also to more steps, on one CPU to bitwise the same result. Ctrl-C returns what is done. A replica alone
    goes another way than many (see `slopes`): to rounding the same.

    Raises BlowUpError if a replica leaves the finite numbers, ValueError for mismatched shapes, schemes that do not go with the sampler or
    the labels, and for a checkpoint that is damaged or of another run (other settings, model, loss, data, start or subspace).
    """
    how = _How(*_admitted(scheme, labels), rates(lr, checks.count("steps", steps)))
    settings = _settings(network, how, batch, sampler, momentum, replicas, every, seed)
    folder = None if checkpoint_path is None else Path(checkpoint_path)
    with (
        torch.inference_mode(False),
        progress("train", show_progress) as tell,
    ):  # gradients are wanted wherever it is called
        run = _Run.begin(network, settings, how, record, start)
        if folder is not None:
            run.load(folder)
        try:
            run.go(tell, folder)
        except KeyboardInterrupt:
            warnings.warn(f"interrupted at step {run.step} of {steps}", stacklevel=2)
            if folder is not None:
                run.save(folder)
    return run.recording()


class _How(NamedTuple):
    """What is done in each step."""

    scheme: Scheme
    labels: LabelNoise | None
    rates: Floats


def _admitted(scheme: Any, labels: Any) -> tuple[Scheme, LabelNoise | None]:
    if scheme is not None and not isinstance(scheme, Scheme):
        raise TypeError(
            f"got scheme={scheme!r}, expected nets.SGD(), SVAG(l), SGLD(T) or GaussianNoise(); type scheme=nets.SVAG(4)"
        )
    if labels is not None and not isinstance(labels, LabelNoise):
        raise TypeError(f"got labels={labels!r}, expected nets.LabelNoise(size); type labels=nets.LabelNoise(0.1)")
    return scheme or SGD(), labels


def _settings(
    network: Network, how: _How, batch: int, sampler: str, momentum: float, replicas: int, every: int, seed: Any
) -> Settings:  # fmt: skip
    momentum = checks.positive("momentum", momentum, zero=True)
    if momentum >= 1:
        raise ValueError(f"got momentum={momentum:g}, expected a number in [0, 1)")
    if network.own != slice(0, network.n):
        raise ValueError(
            "got a network whose samples are spread over processes, expected one process's own; type train(Network(model, loss, data), ...) with all of the data"
        )
    source = checks.seed_sequence(seed)
    return Settings(
        len(how.rates), float(how.rates[0]), checks.count("batch", batch), sampler, momentum, checks.count("replicas", replicas),
        checks.count("every", every), source.entropy, network.n, network.weight_decay, tuple(source.spawn_key),
        repr(how.scheme), "" if how.labels is None else repr(how.labels), how.scheme.part, schedule(how.rates),
    )  # fmt: skip


class _State(NamedTuple):
    """Weights w and velocities v (replica, p), shadow y and its velocity u (replica, k) before a step."""

    step: int
    w: Tensor
    v: Tensor
    y: Tensor
    u: Tensor


@dataclass
class _Run:
    """A run on its way. `state` is replaced as a whole, so that an interrupt finds it before or after a step, never within."""

    network: Network
    settings: Settings
    how: _How
    source: Source
    lens: Lens
    state: _State
    start: str
    seen: Recorder

    @classmethod
    def begin(
        cls,
        network: Network,
        settings: Settings,
        how: _How,
        record: Subspace | ArrayLike | None,
        start: ArrayLike | None,
    ) -> _Run:
        lens = Lens.of(network, record)
        w = network.weights if start is None else torch.as_tensor(checks.finite("start", start)).to(network.weights)
        if w.shape not in ((network.dim,), (settings.replicas, network.dim)):
            raise ValueError(
                f"got start of shape {tuple(w.shape)}, expected ({network.dim},) or ({settings.replicas}, {network.dim})"
            )
        w = w.expand(settings.replicas, -1).clone()
        seed = np.random.SeedSequence(settings.seed, spawn_key=settings.spawn_key)
        sampler = make_sampler(settings.sampler, n=network.n, batch=settings.batch, seed=seed)
        independent = "without" if settings.sampler == "epoch" else settings.sampler
        whole = independent == "without" and settings.batch >= network.n  # a batch without noise
        factor = 0.0 if whole else finite_sample_factor(settings.batch, network.n, independent)
        strength, friction = float(np.sqrt(factor / settings.batch)), 1 - settings.momentum
        source = Source(network, sampler, seed, settings.replicas, how.labels, strength, friction)
        how.scheme.require(source)
        y = lens.coordinates(w)[:, : lens.H.shape[0]]
        state = _State(0, w, torch.zeros_like(w), y, torch.zeros_like(y))
        return cls(
            network, settings, how, source, lens, state, digest(w), Recorder(_rows(settings.steps, settings.every))
        )

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self.state.step

    @property
    def rows(self) -> int:
        """The number of recorded times of the steps done; what an interrupted step recorded is written again."""
        return _rows(self.step, self.settings.every)

    def go(self, tell: Progress, folder: Path | None) -> None:
        """All steps that are left."""
        saved = time.monotonic()
        while self.step < self.settings.steps:
            self._advance()
            if folder is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save(folder)
                saved = time.monotonic()
            tell(self.step / self.settings.steps)
        if folder is not None:
            self.save(folder)

    def _advance(self) -> None:
        s, scheme = self.settings, self.how.scheme
        step, w, v, y, u = self.state
        lr = float(self.how.rates[step])
        pull = scheme.pull(self.source, step, lr, w)
        g = pull.g
        shadow_slope = self.lens.shadow_gradient(y, pull)
        if step % LOOK == 0 or step == s.steps - 1:
            self._check(pull.losses)
        if step % s.every == 0:
            self._record(g, pull.losses)
        if s.momentum:
            g, shadow_slope = s.momentum * v + g, s.momentum * u + shadow_slope
        rate = scheme.part * lr
        self.state = _State(step + 1, w - rate * g, g, y - rate * shadow_slope, shadow_slope)

    def _record(self, g: Tensor, losses: Tensor) -> None:
        w, y = self.state.w, self.state.y
        seen = (self.lens.coordinates(w), self.lens.seen(g), y, losses, g.norm(dim=1))
        self.seen.write(self.step // self.settings.every, dict(zip(SERIES, seen, strict=True)))

    def _check(self, losses: Tensor) -> None:
        lost = torch.nonzero(~torch.isfinite(losses)).flatten()
        if len(lost):
            r, s = int(lost[0]), self.settings
            raise BlowUpError(
                f"replica {r} ({len(lost)} lost in all) left the finite numbers by step {self.step}; type lr={s.lr / 4:.2g}",
                path=r,
                time=self.step * s.lr,
                dt=s.lr / 4,
            )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run to be its own."""
        net, lens = self.network, self.lens
        return {
            **asdict(self.settings),
            "start": self.start,
            "content": digest(net.weights, *leaves(net.x), net.y, lens.center, lens.basis, lens.H, lens.samples),
            "subspace": lens.subspace,
            **identity(net),
        }

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        moving: dict[str, Tensor] = {name: getattr(self.state, name) for name in MOVING}
        series = {f"series.{name}": tensor for name, tensor in self.seen.rows(self.rows).items()}
        checkpoint.save(folder, self.step, self.identity, moving | series)

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint, if there is one, of this run or of its beginning."""
        found = checkpoint.load(folder, self._beginning)
        if found is None:
            return
        step, tensors = found
        w, v, y, u = (tensors[name].to(self.network.weights) for name in MOVING)
        self.state = _State(step, w, v, y, u)
        kept = {name: tensors[f"series.{name}"] for name in SERIES if f"series.{name}" in tensors}
        self.seen = Recorder(self.seen.most, kept)

    def _beginning(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """What this run would be if it ended where the stored one does: no step knows how many follow."""
        steps = stored.get("steps")
        if not isinstance(steps, int) or not 0 < steps < self.settings.steps:
            return self.identity
        return self.identity | {"steps": steps, "schedule": schedule(self.how.rates[:steps])}

    def recording(self) -> Recording:
        """What has been seen so far."""
        if not self.rows:
            raise ValueError("interrupted before the first step was recorded: there is nothing to return")
        series = {name: tensor.numpy() for name, tensor in self.seen.rows(self.rows).items()}
        steps = np.arange(self.rows) * self.settings.every
        complete = self.step == self.settings.steps
        return Recording(
            self.settings, steps, **series, weights=self.state.w, complete=complete, subspace=self.lens.subspace
        )


def _rows(steps: int, every: int) -> int:
    """How many of the steps are recorded."""
    return -(-steps // every)
