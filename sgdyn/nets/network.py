"""A torch network with its loss and its data, as a function of one flat weight vector."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import vjp

from sgdyn import checks
from sgdyn.nets.blocks import layers, restricted
from sgdyn.nets.data import tensors
from sgdyn.nets.derivatives import Derivatives, Function, slope_of
from sgdyn.nets.losses import per_sample
from sgdyn.nets.modes import told
from sgdyn.nets.scrutiny import inspect, refuse_train_mode
from sgdyn.nets.selection import Filter, aliases, padding_rows, selected
from sgdyn.nets.traceless import undisturbed
from sgdyn.nets.trees import Tree, called, mapped, split
from sgdyn.nets.units import by_unit
from sgdyn.nets.vectors import numpy_of

if TYPE_CHECKING:
    from sgdyn.nets.curvatures import CurvatureAlignment
    from sgdyn.nets.dependence import StateDependence
    from sgdyn.nets.fisher import EmpiricalFisher, MonteCarloFisher, TrueFisher
    from sgdyn.nets.gauss_newton import GaussNewton
    from sgdyn.nets.gradient_noise import GradientNoise
    from sgdyn.nets.hessian import Hessian
    from sgdyn.nets.jacobian import Jacobian
    from sgdyn.nets.labels import LabelNoiseCovariance
    from sgdyn.nets.low_rank import FullModel
    from sgdyn.nets.phases import SignalToNoise
    from sgdyn.nets.preconditioning import AdaptiveProcess
    from sgdyn.nets.sloppy_spectra import Sloppiness
    from sgdyn.nets.subspace import Subspace
    from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


class Network:
    """U(w) = (1/N) sum_i l_i(w) + weight_decay |w|²/2 of a torch model.

    model: an `nn.Module` in evaluation mode, or one without batch norm and dropout. loss: an `nn` loss (its mean), or a function
    (output, target) -> (batch,) of per-sample losses. data: tensors (x, y), a `Dataset` or a `DataLoader`, read once and kept in order;
    x may be a dict (the named arguments of the model) or a tuple of tensors, a dict alone holds its targets as "labels".
    params: which parameters are coordinates, by patterns of names or a function (name, parameter) -> bool; the others stay as they are.
    bn, dropout: what a model in train mode means, "eval" or, for dropout, a seed for one fixed mask a layer; without, it is refused.
    unit: what one draw of the noise is, a "sample" or, for targets (samples, places), each "token" that the loss does not ignore, as samples of their own.
    device: where to compute, by default where the model is (which stays there). chunk: samples evaluated at once. `weights` (p,) is the point; `at(weights)` is the same network at another one.

    The model is never changed: neither its mode, its gradients nor its buffers (copies as of now are used, of frozen parameters too), nor is the global random
    state. Everything runs on the device and in the precision of the model; arrays come back as NumPy float64. Raises ValueError for
    models that are random, mix the samples of a batch or change their buffers (train-mode batch norm, dropout, spectral norm), losses
    that are not per sample, data that change between two reads, and samplers that weight or repeat samples.
    """

    def __init__(
        self, model: nn.Module, loss: Any, data: Any, weight_decay: float = 0.0, *, params: Filter = None, bn: str | None = None,
        dropout: str | int | None = None, unit: str = "sample", device: str | torch.device | None = None, chunk: int = 512,
    ) -> None:  # fmt: skip
        if not isinstance(model, nn.Module):
            raise TypeError(f"got a model of type {type(model).__name__}, expected a torch.nn.Module")
        coordinates = selected(model, params)
        model = told(model, bn, dropout)
        refuse_train_mode(model)
        first = next(iter(coordinates.values()))
        place = first.device if device is None else torch.device(device)
        self.model, self.loss, self.chunk = model, loss, checks.count("chunk", chunk)
        self.weight_decay = checks.positive("weight_decay", weight_decay, zero=True)
        self.loss_of, *both = by_unit(unit, loss, per_sample(loss), *tensors(data, first.dtype))
        self.unit = unit
        self.x, self.y = (mapped(lambda part: part.to(place), side) for side in both)
        self.weights = torch.cat([p.reshape(-1) for p in coordinates.values()]).to(place)
        self._layout = [(name, p.shape, p.numel()) for name, p in coordinates.items()]
        others = [(n, p) for n, p in model.named_parameters() if n not in coordinates]
        self.fixed = {name: part.detach().to(place, copy=True) for name, part in others}
        self._buffers = {name: part.detach().to(place, copy=True) for name, part in model.named_buffers()}
        self._padding, self._aliases = padding_rows(model, coordinates, place), aliases(model)
        self.derivatives = Derivatives()
        with undisturbed(place):
            self.derivatives = inspect(self)

    @property
    def dim(self) -> int:
        """The number of parameters p."""
        return int(self.weights.numel())

    @property
    def n(self) -> int:
        """The number of samples N."""
        return len(self.y)

    @property
    def own(self) -> slice:
        """Which of all samples are here: all, except in a network that is `distributed`."""
        return slice(0, self.n)

    def gathered(self, part: Tensor) -> Tensor:
        """Rows (N, ...) for all samples from those of the samples that are here."""
        return part

    def at(self, weights: ArrayLike | Tensor) -> Network:
        """The same network at the weights (p,)."""
        flat = torch.as_tensor(weights, dtype=self.weights.dtype, device=self.weights.device).reshape(-1)
        if flat.numel() != self.dim or not bool(torch.isfinite(flat).all()):
            raise ValueError(
                f"got weights of shape {tuple(flat.shape)}{' that are not finite' * (flat.numel() == self.dim)}, expected ({self.dim},)"
            )
        other = copy.copy(self)
        other.weights = flat.clone()
        return other

    def now(self) -> Network:
        """The same network with the parameters and buffers that the model has now, as it is trained.

        Raises ValueError for a model that has been put into train mode, FloatingPointError for weights that are not finite.
        """
        refuse_train_mode(self.model)
        other = copy.copy(self)
        place = self.weights.device
        named = {name: part.detach().to(place) for name, part in self.model.named_parameters()}
        other.weights = torch.cat([named[name].reshape(-1) for name, *_ in self._layout])
        if not bool(torch.isfinite(other.weights).all()):
            raise FloatingPointError("the weights are not finite")
        other.fixed = {name: named[name].clone() for name in self.fixed}
        other._buffers = {name: part.detach().to(place, copy=True) for name, part in self.model.named_buffers()}
        other._padding = padding_rows(self.model, {name: named[name] for name, *_ in self._layout}, place)
        return other

    def block(self, params: Filter) -> Network:
        """The same network with only some of its coordinates free, the others where they are: its matrices are diagonal blocks of these.

        params: patterns of names ("fc1.*") or a function (name, parameter) -> bool. Weight decay is that of the free coordinates.
        """
        return restricted(self, params)

    def blocks(self) -> dict[str, Network]:
        """The network of each layer's coordinates alone, by the layer's name (see `block`)."""
        return {layer: self.block(names) for layer, names in layers(self).items()}

    def over(self, x: Tree, y: Tensor) -> Network:
        """The same network with other samples of the same kind, unchecked."""
        other = copy.copy(self)
        other.x, other.y = x, y
        return other

    def places(self) -> dict[str, slice]:
        """Where each parameter stands in the flat vector."""
        ends = np.cumsum([0, *(size for *_, size in self._layout)]).tolist()
        return {name: slice(a, b) for (name, *_), a, b in zip(self._layout, ends[:-1], ends[1:], strict=True)}

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector (p,) as named parameters."""
        parts = flat.split([size for *_, size in self._layout])
        return {name: part.view(shape) for (name, shape, _), part in zip(self._layout, parts, strict=True)}

    def state(self, flat: Tensor) -> dict[str, Tensor]:
        """All that the model is called with: the flat vector as named parameters, those that are kept, and the buffers.

        Rows of embeddings for padding are kept too, in the embedding alone if others share its weight: torch's reverse mode has no gradient
        for them, its forward mode has.
        """
        named = self.unflatten(flat) | self.fixed
        named |= {alias: named[name] for alias, name in self._aliases.items() if name in named}
        for name, (rows, values) in self._padding.items():
            named[name] = torch.where(rows[:, None], self._kept(name, values), named[name])
        return named | self._buffers

    def _kept(self, name: str, values: Tensor) -> Tensor:
        """What an embedding has in its rows for padding: its own weight, but that of the point where others share and move it."""
        first = self._aliases.get(name, name)
        shared = name in self._aliases or first in self._aliases.values()
        return self.unflatten(self.weights).get(first, values) if shared else values

    def buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The buffers of the model by name, as they were when the network was made."""
        return iter(self._buffers.items())

    def output(self, flat: Tensor, x: Tree) -> Any:
        """The output of the model at the weights `flat`; differentiable."""
        with self.derivatives.context(self.model):
            return called(self.model, self.state(flat), x)

    def losses(self, flat: Tensor, x: Tree, y: Tensor) -> Tensor:
        """Per-sample losses (batch,) at the weights `flat`, without weight decay; differentiable."""
        with self.derivatives.context(self.model):
            result: Tensor = self.loss_of(called(self.model, self.state(flat), x), y)
        return result

    def of_weights(self, x: Tree, y: Tensor) -> Function:
        """The losses of these samples as a function (p,) -> (batch,) of the weights alone."""
        return lambda w: self.losses(w, x, y)

    def batches(self) -> Iterator[tuple[Tree, Tensor]]:
        """The samples in order, `chunk` at a time; the last batch may be short."""
        return zip(split(self.x, self.chunk), self.y.split(self.chunk), strict=True)

    def value(self) -> float:
        """U at the weights."""
        with torch.no_grad():
            total = sum(float(self.losses(self.weights, x, y).sum(dtype=torch.float64)) for x, y in self.batches())
        return total / self.n + 0.5 * self.weight_decay * float(self.weights.double() @ self.weights.double())

    def mean_gradient(self) -> Tensor:
        """(1/N) sum of the gradients of the samples (p,), without weight decay."""
        total = torch.zeros_like(self.weights)
        for x, y in self.batches():
            total += slope_of(self.of_weights(x, y))(self.weights)
        return total / self.n

    def gradient(self) -> Floats:
        """grad U at the weights (p,)."""
        return numpy_of(self.mean_gradient() + self.weight_decay * self.weights)

    def push(self, v: Tensor) -> Tensor:
        """The derivatives g_i . v of all samples' losses along v (p,), as (N,)."""
        return torch.cat([self.derivatives.along(self.of_weights(x, y), self.weights, v) for x, y in self.batches()])

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for weights u (N,)."""
        total = torch.zeros_like(self.weights)
        for (x, y), part in zip(self.batches(), u.split(self.chunk), strict=True):
            total += vjp(self.of_weights(x, y), self.weights)[1](part)[0]
        return total

    def noise(self, method: str = "auto", **options: Any) -> GradientNoise:
        """The centred covariance D of the gradients of single samples, as a linear operator (p, p) (see `GradientNoise`)."""
        from sgdyn.nets.gradient_noise import GradientNoise

        return GradientNoise(self, method, **options)

    def hessian(self, **options: Any) -> Hessian:
        """The Hessian of U, weight decay included, as a linear operator (p, p) (see `Hessian`)."""
        from sgdyn.nets.hessian import Hessian

        return Hessian(self, **options)

    def gauss_newton(self) -> GaussNewton:
        """The Gauss-Newton matrix of U, weight decay included, as a linear operator (p, p)."""
        from sgdyn.nets.gauss_newton import GaussNewton

        return GaussNewton(self)

    def fisher(self, kind: str = "true", **options: Any) -> TrueFisher | MonteCarloFisher | EmpiricalFisher:
        """The Fisher matrix (p, p), "true", "monte carlo" (options: draws, seed) or "empirical" (see `sgdyn.nets.fisher_of`)."""
        from sgdyn.nets.fisher import fisher_of

        return fisher_of(self, kind, **options)

    def jacobian(self, output: int | None = None) -> Jacobian:
        """The derivatives of the model's outputs, or of one output of each sample, as a linear operator (N outputs, p)."""
        from sgdyn.nets.jacobian import Jacobian

        return Jacobian(self, output)

    def state_dependence(self, points: Any, **options: Any) -> StateDependence:
        """The noise D(w) at several weights (see `sgdyn.nets.state_dependence`)."""
        from sgdyn.nets.dependence import state_dependence

        return state_dependence(self, points, **options)

    def curvature_alignment(self, k: int = 10, **options: Any) -> CurvatureAlignment:
        """How the noise D lies to the Hessian (see `sgdyn.nets.curvature_alignment`)."""
        from sgdyn.nets.curvatures import curvature_alignment

        return curvature_alignment(self, k, **options)

    def signal_to_noise(self, points: Any = None, **options: Any) -> SignalToNoise:
        """The mean gradient against the noise of a batch, layer by layer (see `sgdyn.nets.signal_to_noise`)."""
        from sgdyn.nets.phases import signal_to_noise

        return signal_to_noise(self, points, **options)

    def sloppiness(self, **options: Any) -> Sloppiness:
        """Spectra of data, activations, Jacobians, curvature and noise on equal footing (see `sgdyn.nets.sloppiness`)."""
        from sgdyn.nets.sloppy_spectra import sloppiness

        return sloppiness(self, **options)

    def adaptive_process(self, k: int = 20, *, lr: float, batch: int, **options: Any) -> AdaptiveProcess:
        """Adam near the weights as a process (see `sgdyn.nets.adaptive_process`)."""
        from sgdyn.nets.preconditioning import adaptive_process

        return adaptive_process(self, k, lr=lr, batch=batch, **options)

    def label_noise(self, **options: Any) -> LabelNoiseCovariance:
        """What random labels add to D, sigma= or flips=, as a linear operator (p, p) (see `sgdyn.nets.label_noise`)."""
        from sgdyn.nets.labels import label_noise

        return label_noise(self, **options)

    def minimize(self, **options: Any) -> Network:
        """The same network at a minimum of U near its weights (see `sgdyn.nets.minimize`)."""
        from sgdyn.nets.minimum import minimize

        return minimize(self, **options)

    def subspace(self, k: int = 20, **options: Any) -> Subspace:
        """H and D in the span of the k top eigenvectors of H, or of other `directions=` (see `sgdyn.nets.subspace`)."""
        from sgdyn.nets.subspace import subspace

        return subspace(self, k, **options)

    def local_model(
        self, k: int = 20, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement",
        directions: str | ArrayLike = "hessian", cubic: bool = False, noise: str = "constant",
    ) -> Langevin | Momentum:  # fmt: skip
        """SGD near the weights as a process in the span of the k top Hessian directions: `subspace(k, directions=...).local_model(...)`."""
        space = self.subspace(k, directions=directions)
        return space.local_model(lr=lr, batch=batch, momentum=momentum, sampler=sampler, cubic=cubic, noise=noise)

    def full_model(self, k: int = 20, *, lr: float, batch: int, **options: Any) -> FullModel:
        """SGD in the whole weight space, H and D of low rank plus floors that keep their traces (see `sgdyn.nets.full_model`)."""
        from sgdyn.nets.low_rank import full_model

        return full_model(self, k, lr=lr, batch=batch, **options)
