"""SGD itself: many replicas at once, with an explicit sampler, recorded on a basis, resumable to the last bit."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.func import grad_and_value, vmap

from sgdyn import checks
from sgdyn.errors import BlowUpError
from sgdyn.nets import checkpoint
from sgdyn.nets.network import Network
from sgdyn.nets.sampler import Indices, Sampler, make_sampler
from sgdyn.nets.subspace import Subspace
from sgdyn.progress import Progress, progress

Floats = NDArray[np.float64]

CHECKPOINT_SECONDS = 20.0
LOOK = 50
"""Steps between two looks for lost replicas."""
SERIES = ("x", "gradients", "shadow", "losses", "gradient_norms")


@dataclass(frozen=True)
class Settings:
    """What defines a run: two runs with equal settings, network and start are the same run."""

    steps: int
    lr: float
    batch: int
    sampler: str
    momentum: float
    replicas: int
    every: int
    seed: Any
    n: int
    weight_decay: float


@dataclass(frozen=True, eq=False)
class Recording:
    """A run of SGD seen every `settings.every` steps, just before the step.

    steps (time,); x (replica, time, k): coordinates V'(w - center); gradients (replica, time, k): V'(batch gradient); shadow (replica,
    time, k): the quadratic model driven by the same batches (k = 0 without a `Subspace`); losses, gradient_norms (replica, time): of the
    batch, weight decay included; weights (replica, p): the last ones. `complete` is False if Ctrl-C ended the run early.
    """

    settings: Settings
    steps: NDArray[np.int64]
    x: Floats
    gradients: Floats
    shadow: Floats
    losses: Floats
    gradient_norms: Floats
    weights: Tensor
    complete: bool = True

    def after(self, step: int) -> Recording:
        """The same recording from a step on, to drop the approach to stationarity."""
        kept = self.steps >= step
        if not kept.any():
            raise ValueError(f"got step={step}, expected at most {self.steps[-1]}")
        return replace(self, steps=self.steps[kept], **{name: getattr(self, name)[:, kept] for name in SERIES})

    def plot(self, ax: Any = None) -> Any:
        """The first coordinates of the first replica against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def train(
    network: Network, *, steps: int, lr: float, batch: int, sampler: str = "replacement", momentum: float = 0.0, replicas: int = 1,
    record: Subspace | ArrayLike | None = None, every: int = 1, seed: int | np.random.SeedSequence | None = None,
    start: ArrayLike | None = None, checkpoint_path: str | Path | None = None, show_progress: bool | None = None,
) -> Recording:  # fmt: skip
    """Run SGD from the network's weights, `replicas` independent runs at once.

    Each step: g = gradient of the mean loss of a batch plus weight_decay w; v = momentum v + g; w = w - lr v (PyTorch's convention).
    sampler: "replacement" (batches of independent draws), "without" (each batch without repetition), "epoch" (a new random order each
    epoch, as DataLoader(shuffle=True)); batches are a function of (seed, replica, step). record: a `Subspace`, or a basis (p, k) around
    the network's weights; default none. start: other starting weights (p,) or (replicas, p). checkpoint_path: a folder; a run with the
    same settings found there is continued, on one CPU to bitwise the same result. Ctrl-C returns what is done.

    Raises BlowUpError if a replica leaves the finite numbers, ValueError for mismatched shapes and a checkpoint of another run.
    """
    settings = _settings(network, steps, lr, batch, sampler, momentum, replicas, every, seed)
    run = _Run.begin(network, settings, record, start)
    folder = None if checkpoint_path is None else Path(checkpoint_path)
    if folder is not None:
        run.load(folder)
    with progress("train", show_progress) as tell:
        try:
            run.go(tell, folder)
        except KeyboardInterrupt:
            warnings.warn(f"interrupted at step {run.step} of {steps}", stacklevel=2)
            if folder is not None:
                run.save(folder)
    return run.recording()


def _settings(
    network: Network,
    steps: int,
    lr: float,
    batch: int,
    sampler: str,
    momentum: float,
    replicas: int,
    every: int,
    seed: Any,
) -> Settings:
    momentum = checks.positive("momentum", momentum, zero=True)
    if momentum >= 1:
        raise ValueError(f"got momentum={momentum:g}, expected a number in [0, 1)")
    return Settings(
        checks.count("steps", steps), checks.positive("lr", lr), checks.count("batch", batch), sampler, momentum, checks.count("replicas", replicas),
        checks.count("every", every), checks.seed_sequence(seed).entropy, network.n, network.weight_decay,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Lens:
    """What a run is seen through: coordinates V'(w - center), and the quadratic model there."""

    center: Tensor
    basis: Tensor
    H: Tensor
    samples: Tensor

    @classmethod
    def of(cls, network: Network, record: Subspace | ArrayLike | None) -> _Lens:
        like = network.weights
        if isinstance(record, Subspace):
            parts = (record.center, record.basis, record.H, record.samples)
            return cls(*(torch.as_tensor(part).to(like) for part in parts))
        basis = np.zeros((network.dim, 0)) if record is None else checks.finite("record", record)
        if basis.ndim != 2 or len(basis) != network.dim:
            raise ValueError(f"got record of shape {basis.shape}, expected a Subspace or a basis ({network.dim}, k)")
        return cls(
            like, torch.as_tensor(basis).to(like), torch.zeros((0, 0)).to(like), torch.zeros((network.n, 0)).to(like)
        )

    def coordinates(self, w: Tensor) -> Tensor:
        return (w - self.center) @ self.basis

    def shadow_gradient(self, y: Tensor, rows: Tensor) -> Tensor:
        """The batch gradient of the quadratic model at y (replica, k)."""
        return y @ self.H + self.samples[rows].mean(1)


@dataclass
class _Run:
    """A run on its way: weights w and velocities v (replica, p), shadow y and its velocity u (replica, k)."""

    network: Network
    settings: Settings
    sampler: Sampler
    lens: _Lens
    w: Tensor
    v: Tensor
    y: Tensor
    u: Tensor
    step: int = 0
    series: dict[str, list[Tensor]] = field(default_factory=lambda: {name: [] for name in SERIES})

    @classmethod
    def begin(
        cls, network: Network, settings: Settings, record: Subspace | ArrayLike | None, start: ArrayLike | None
    ) -> _Run:
        lens = _Lens.of(network, record)
        w = network.weights if start is None else torch.as_tensor(checks.finite("start", start)).to(network.weights)
        if w.shape not in ((network.dim,), (settings.replicas, network.dim)):
            raise ValueError(
                f"got start of shape {tuple(w.shape)}, expected ({network.dim},) or ({settings.replicas}, {network.dim})"
            )
        w = w.expand(settings.replicas, -1).clone()
        sampler = make_sampler(settings.sampler, n=network.n, batch=settings.batch, seed=settings.seed)
        y = lens.coordinates(w)[:, : lens.H.shape[0]]
        return cls(network, settings, sampler, lens, w, torch.zeros_like(w), y, torch.zeros_like(y))

    def go(self, tell: Progress, folder: Path | None) -> None:
        """All steps that are left."""
        numbers = np.arange(self.settings.replicas)
        slopes, saved = self._slopes(), time.monotonic()
        while self.step < self.settings.steps:
            self._advance(slopes, self.sampler.indices(self.step, numbers))
            if folder is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save(folder)
                saved = time.monotonic()
            tell(self.step / self.settings.steps)
        if folder is not None:
            self.save(folder)

    def _slopes(self) -> Callable[..., Any]:
        """(weights, inputs, targets) of all replicas -> (gradients, losses) of the batches."""
        net = self.network
        return vmap(grad_and_value(lambda w, x, y: net.losses(w, x, y).mean() + 0.5 * net.weight_decay * (w @ w)))

    def _advance(self, slopes: Callable[..., Any], indices: Indices) -> None:
        net, s = self.network, self.settings
        rows = torch.as_tensor(indices).to(net.weights.device)
        g, losses = slopes(self.w, net.x[rows], net.y[rows])
        if self.step % s.every == 0:
            self._record(g, losses)
        if self.step % LOOK == 0 or self.step == s.steps - 1:
            self._check(losses)
        shadow_slope = self.lens.shadow_gradient(self.y, rows)
        self.v, self.u = (
            (g, shadow_slope) if s.momentum == 0 else (s.momentum * self.v + g, s.momentum * self.u + shadow_slope)
        )
        self.w, self.y = self.w - s.lr * self.v, self.y - s.lr * self.u
        self.step += 1

    def _record(self, g: Tensor, losses: Tensor) -> None:
        seen = (self.lens.coordinates(self.w), g @ self.lens.basis, self.y, losses, g.norm(dim=1))
        for name, value in zip(SERIES, seen, strict=True):
            self.series[name].append(value.detach().double().cpu())

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

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run to be its own."""
        start = hashlib.sha256()
        for tensor in (self.network.weights, self.lens.center, self.lens.basis, self.network.x, self.network.y):
            start.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return {**asdict(self.settings), "content": start.hexdigest(), "dtype": str(self.network.weights.dtype)}

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        moving = {"w": self.w, "v": self.v, "y": self.y, "u": self.u}
        series = {f"series.{name}": torch.stack(values, 1) for name, values in self.series.items() if values}
        checkpoint.save(folder, self.step, self._identity(), moving | series)

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        found = checkpoint.load(folder, self._identity())
        if found is None:
            return
        self.step, tensors = found
        for name in ("w", "v", "y", "u"):
            setattr(self, name, tensors[name].to(self.network.weights))
        self.series = {
            name: list(tensors[f"series.{name}"].unbind(1)) if f"series.{name}" in tensors else [] for name in SERIES
        }

    def recording(self) -> Recording:
        """What has been seen so far."""
        if not self.series["x"]:
            raise ValueError("interrupted before the first step was recorded: there is nothing to return")
        stacked = {name: torch.stack(values, 1).numpy() for name, values in self.series.items()}
        steps = np.arange(len(self.series["x"])) * self.settings.every
        return Recording(self.settings, steps, **stacked, weights=self.w, complete=self.step == self.settings.steps)
