"""Curvature and noise along a training run of one's own, without disturbing it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.linalg.spaces import norm
from sgdyn.linalg.spectra import Spectrum
from sgdyn.nets.network import Network
from sgdyn.nets.traceless import undisturbed
from sgdyn.printing import Printed

Floats = NDArray[np.float64]
Log = Callable[[dict[str, float], int], object]

MOST = 300
"""Products after which the eigenvalues of one look are given up."""


@dataclass(frozen=True)
class Look:
    """What was seen at one step: see `History`."""

    step: int
    loss: float
    gradient_norm: float
    values: tuple[float, ...]
    residual: float
    noise_trace: float
    noise_scale: float
    edge: float
    products: int
    seconds: float
    share: float

    @property
    def numbers(self) -> dict[str, float]:
        """What is logged, by name."""
        found = {
            "loss": self.loss, "gradient_norm": self.gradient_norm, "sharpness": self.values[0], "noise_trace": self.noise_trace,
            "noise_scale": self.noise_scale, "products": float(self.products), "seconds": self.seconds, "share": self.share,
        }  # fmt: skip
        if not math.isnan(self.edge):
            found |= {"edge": self.edge, "sharpness_over_edge": self.values[0] / self.edge}
        return found | {f"hessian_{i}": value for i, value in enumerate(self.values, 1)}


@dataclass(frozen=True, eq=False, repr=False)
class History(Printed):
    """What a `Monitor` saw, one entry for each look (look,).

    steps; losses U; gradient_norms |grad U|; values (look, k): top eigenvalues of the Hessian, the first of which is the sharpness, with
    the largest residuals; noise_traces tr D; noise_scales tr D/|grad U|², the batch size at which noise and gradient are of one size
    (McCandlish et al., arXiv:1812.06162); edges 2(1 + mu)/eta, above which full-batch SGD with momentum mu leaves a quadratic (Cohen
    et al., arXiv:2103.00065), NaN where no learning rate is known; products with the Hessian, seconds, and shares of all time so far that looking took.
    """

    steps: NDArray[np.int64]
    losses: Floats
    gradient_norms: Floats
    values: Floats
    residuals: Floats
    noise_traces: Floats
    noise_scales: Floats
    edges: Floats
    products: NDArray[np.int64]
    seconds: Floats
    shares: Floats

    @classmethod
    def of(cls, looks: list[Look]) -> History:
        """The columns of some looks."""
        names = ("step", "loss", "gradient_norm", "values", "residual", "noise_trace", "noise_scale", "edge", "products", "seconds", "share")  # fmt: skip
        columns = [np.array([getattr(look, name) for look in looks]) for name in names]
        return cls(*columns)

    def plot(self, ax: Any = None) -> Any:
        """Eigenvalues, edge of stability and noise scale against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


@dataclass(eq=False)
class Monitor:
    """Looks at the network behind a model that is being trained, every so many steps.

    network: a `Network` of the model in training (with bn="eval" and dropout="eval" where it has such layers), seen with the parameters and
    buffers that the model has at the moment; or a function without arguments that builds one, called at each look. every: steps between
    looks. k: eigenvalues. log: called with (numbers by name, step). optimizer: where learning rate and momentum are read (the group that blows up
    first; none is read from others than `torch.optim.SGD`); or lr, a number. tolerance: residual of the eigenvalues, relative to the largest.

    Type `monitor.step(step)` in the loop. Nothing of the training is touched: neither modes, gradients, buffers nor random states;
    gradients are the network's own, so that a `GradScaler` does not scale them and autocast does not round them. Each look starts from the eigenvectors of the one before.
    `history` has all looks.
    """

    network: Network | Callable[[], Network]
    every: int = 500
    k: int = 10
    log: Log | None = None
    optimizer: Any = None
    lr: float | None = None
    tolerance: float = 1e-3
    looks: list[Look] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network) and not callable(self.network):
            raise TypeError(
                f"got a {type(self.network).__name__}, expected a Network or a function that builds one; type Monitor(nets.Network(model, loss, data, bn='eval'))"
            )
        checks.count("every", self.every)
        checks.count("k", self.k)
        if self.lr is not None:
            checks.positive("lr", self.lr)
        self._spectrum: Spectrum | None = None
        self._began, self._spent = time.perf_counter(), 0.0

    def step(self, step: int) -> Look | None:
        """Look, if it is time to and this step has not been seen yet."""
        if step % self.every or (self.looks and self.looks[-1].step == step):
            return None
        return self.look(step)

    def look(self, step: int) -> Look | None:
        """Look now. Returns None, with a warning, where weights are not finite."""
        before = time.perf_counter()
        network = self.network if isinstance(self.network, Network) else self.network()
        device = network.weights.device
        with undisturbed(device), torch.inference_mode(False), torch.enable_grad(), _plain_precision(device):
            try:
                numbers = self._measured(network.now())
            except FloatingPointError as error:
                warnings.warn(f"nothing was measured at step {step}: {error}", stacklevel=3)
                return None
        seconds = time.perf_counter() - before
        self._spent += seconds
        share = self._spent / (time.perf_counter() - self._began)
        found = Look(step=step, **numbers, edge=self._edge(), products=self._products(), seconds=seconds, share=share)
        self.looks.append(found)
        if self.log is not None:
            self.log(found.numbers, step)
        return found

    @property
    def history(self) -> History:
        """All looks so far."""
        return History.of(self.looks)

    def _measured(self, network: Network) -> dict[str, Any]:
        """What a `Look` says of the network."""
        noise, loss = network.noise(), network.value()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")
        slope = norm(noise.space, noise.mean + network.weight_decay * network.weights)
        trace = float(noise.trace())
        values, residual = self._eigenvalues(network)
        return {
            "loss": loss, "gradient_norm": slope, "values": values, "residual": residual, "noise_trace": trace,
            "noise_scale": trace / slope**2 if slope else math.inf,
        }  # fmt: skip

    def _eigenvalues(self, network: Network) -> tuple[tuple[float, ...], float]:
        start, self._spectrum = self._spectrum, None
        if start is not None and len(start.vectors) != network.dim:
            start = None
        k = min(self.k, network.dim)
        try:
            found = network.hessian().top(k, tolerance=self.tolerance, most=MOST, start=start, show_progress=False)
        except NotConvergedError as error:
            warnings.warn(f"no eigenvalues: {error}", stacklevel=5)
            return (math.nan,) * k, math.nan
        if (
            len(found.values) < k
        ):  # Lanczos was interrupted and gave what it had; the interrupt was meant for the training
            raise KeyboardInterrupt
        self._spectrum = found
        return tuple(found.values.tolist()), float(found.residuals.max())

    def _products(self) -> int:
        return self._spectrum.products if self._spectrum is not None else 0

    def _edge(self) -> float:
        """The largest curvature of a quadratic that does not blow up, of all groups of parameters."""
        if self.lr is not None:
            return 2.0 / self.lr
        if not isinstance(getattr(self.optimizer, "optimizer", self.optimizer), torch.optim.SGD):
            return math.nan
        return min(edge(**group) for group in self.optimizer.param_groups)

    def lightning(self) -> Any:
        """A callback for Lightning's `Trainer(callbacks=[...])`, with its logger where `log` is not given."""
        from sgdyn.nets.callbacks import lightning

        return lightning(self)

    def hugging_face(self) -> Any:
        """A callback for the `Trainer(callbacks=[...])` of transformers, with its log where `log` is not given."""
        from sgdyn.nets.callbacks import hugging_face

        return hugging_face(self)


def edge(lr: float, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False, **_: Any) -> float:
    """The curvature beyond which full-batch SGD leaves a quadratic (Cohen et al., arXiv:2103.00065)."""
    rate = float(lr) * (1.0 - dampening) * (1.0 + 2.0 * momentum * nesterov)
    return 2.0 * (1.0 + momentum) / rate if rate > 0 else math.inf


def _plain_precision(device: torch.device) -> Any:
    return torch.autocast(device.type, enabled=False)
