"""A torch network with its loss and its data, as a function of one flat weight vector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from sgdyn import checks

if TYPE_CHECKING:
    from sgdyn.nets.gradient_noise import GradientNoise
    from sgdyn.nets.hessian import Hessian
    from sgdyn.nets.subspace import Subspace
    from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]
PerSample = Callable[[Tensor, Tensor], Tensor]


class Network:
    """U(w) = (1/N) sum_i l_i(w) + weight_decay |w|²/2 of a torch model.

    model: an `nn.Module` in evaluation mode, or one without batch norm and dropout. loss: an `nn` loss (its mean), or a function
    (output, target) -> (batch,) of per-sample losses. data: tensors (x, y), a `Dataset` or a `DataLoader`, read once and kept in order.
    chunk: samples evaluated at once. `weights` (p,) is the point; `at(weights)` is the same network at another one.

    The model is never changed: neither its mode, its gradients, its buffers nor its random state. Everything runs on the device and in
    the precision of the model; arrays come back as NumPy float64. Raises ValueError for train-mode batch norm or dropout, losses that
    are not per sample, data that change between two reads, and samplers that weight or repeat samples.
    """

    def __init__(self, model: nn.Module, loss: Any, data: Any, weight_decay: float = 0.0, *, chunk: int = 512) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"got a model of type {type(model).__name__}, expected a torch.nn.Module")
        trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        if not trainable:
            raise ValueError("got a model without trainable parameters, expected some with requires_grad=True")
        _refuse_train_mode(model)
        first = next(iter(trainable.values()))
        self.model, self.loss, self.chunk = model, loss, checks.count("chunk", chunk)
        self.weight_decay = checks.positive("weight_decay", weight_decay, zero=True)
        self.x, self.y = (part.to(first.device) for part in _tensors(data, first.dtype))
        self.weights = torch.cat([p.reshape(-1) for p in trainable.values()])
        self._layout = [(name, p.shape, p.numel()) for name, p in trainable.items()]
        self._loss = _per_sample(loss)
        self._check_losses()

    @property
    def dim(self) -> int:
        """The number of parameters p."""
        return int(self.weights.numel())

    @property
    def n(self) -> int:
        """The number of samples N."""
        return len(self.x)

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

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector (p,) as named parameters."""
        parts = flat.split([size for *_, size in self._layout])
        return {name: part.view(shape) for (name, shape, _), part in zip(self._layout, parts, strict=True)}

    def losses(self, flat: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Per-sample losses (batch,) at the weights `flat`, without weight decay; differentiable."""
        result: Tensor = self._loss(functional_call(self.model, self.unflatten(flat), (x,)), y)
        return result

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The samples in order, `chunk` at a time; the last batch may be short."""
        return zip(self.x.split(self.chunk), self.y.split(self.chunk), strict=True)

    def value(self) -> float:
        """U at the weights."""
        with torch.no_grad():
            total = sum(float(self.losses(self.weights, x, y).sum(dtype=torch.float64)) for x, y in self.batches())
        return total / self.n + 0.5 * self.weight_decay * float(self.weights.double() @ self.weights.double())

    def mean_gradient(self) -> Tensor:
        """(1/N) sum of the gradients of the samples (p,), without weight decay."""
        total = torch.zeros_like(self.weights)
        for x, y in self.batches():
            total += grad(lambda w, x=x, y=y: self.losses(w, x, y).sum())(self.weights)
        return total / self.n

    def gradient(self) -> Floats:
        """grad U at the weights (p,)."""
        return numpy_of(self.mean_gradient() + self.weight_decay * self.weights)

    def push(self, v: Tensor) -> Tensor:
        """The derivatives g_i . v of all samples' losses along v (p,), as (N,)."""
        return torch.cat(
            [jvp(lambda w, x=x, y=y: self.losses(w, x, y), (self.weights,), (v,))[1] for x, y in self.batches()]
        )

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for weights u (N,)."""
        total = torch.zeros_like(self.weights)
        for (x, y), part in zip(self.batches(), u.split(self.chunk), strict=True):
            total += vjp(lambda w, x=x, y=y: self.losses(w, x, y), self.weights)[1](part)[0]
        return total

    def noise(self, method: str = "auto") -> GradientNoise:
        """The centred covariance D of the gradients of single samples, as a linear operator (p, p)."""
        from sgdyn.nets.gradient_noise import GradientNoise

        return GradientNoise(self, method)

    def hessian(self) -> Hessian:
        """The Hessian of U, weight decay included, as a linear operator (p, p)."""
        from sgdyn.nets.hessian import Hessian

        return Hessian(self)

    def minimize(self, **options: Any) -> Network:
        """The same network at a minimum of U near its weights (see `sgdyn.nets.minimize`)."""
        from sgdyn.nets.minimum import minimize

        return minimize(self, **options)

    def subspace(self, k: int = 20, **options: Any) -> Subspace:
        """H and D in the span of the k top eigenvectors of H, or of `basis=` (see `sgdyn.nets.subspace`)."""
        from sgdyn.nets.subspace import subspace

        return subspace(self, k, **options)

    def local_model(
        self, k: int = 20, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement"
    ) -> Langevin | Momentum:
        """SGD near the weights as a process in the span of the k top Hessian directions: `subspace(k).local_model(...)`."""
        return self.subspace(k).local_model(lr=lr, batch=batch, momentum=momentum, sampler=sampler)

    def _check_losses(self) -> None:
        x, y = self.x[:3], self.y[:3]
        _refuse_ignored(self.loss, self.y)
        with torch.no_grad():
            first, again = self.losses(self.weights, x, y), self.losses(self.weights, x, y)
            alone = self.losses(self.weights, x[:1], y[:1])
        if first.shape != (len(x),):
            raise ValueError(
                f"got losses of shape {tuple(first.shape)} for {len(x)} samples, expected ({len(x)},): one number a sample; type reduction='none', or average the rest"
            )
        if not torch.equal(first, again):
            raise ValueError(
                "got different losses for the same weights and samples, expected a deterministic model; type model.eval(), and pass data without random augmentation"
            )
        if not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-5):
            raise ValueError(
                "got a loss that depends on the other samples of the batch, expected independent samples; type model.eval() if it holds batch norm"
            )


def numpy_of(tensor: Tensor) -> Floats:
    """A tensor as a NumPy float64 array."""
    return np.asarray(tensor.detach().double().cpu().numpy())


def _refuse_train_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        where = f"{type(module).__name__} at {name or 'the top'}"
        if module.training and isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"got {where} in train mode: a sample's gradient then depends on its batch; type model.eval() to freeze the statistics"
            )
        if module.training and isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ValueError(f"got {where} in train mode: losses are random; type model.eval()")


def _per_sample(loss: Any) -> PerSample:
    """One loss for each sample, whose mean over a batch is the loss that was given."""
    if not callable(loss):
        raise TypeError(f"got loss={loss!r}, expected an nn loss or a function (output, target) -> (batch,)")
    if not isinstance(loss, nn.Module):
        plain: PerSample = loss
        return plain
    reduction = getattr(loss, "reduction", "none")
    if reduction == "sum":
        raise ValueError(f"got {type(loss).__name__}(reduction='sum'), expected the mean; type {type(loss).__name__}()")
    if getattr(loss, "weight", None) is not None:
        raise ValueError(
            f"got {type(loss).__name__} with class weights, whose mean is not a mean over samples; type loss=lambda output, y: w[y] * F.cross_entropy(output, y, reduction='none')"
        )
    single = copy.copy(loss)
    if reduction != "none":
        single.reduction = "none"  # type: ignore[assignment]
    return lambda output, target: single(output, target).reshape(len(output), -1).mean(1)


def _refuse_ignored(loss: Any, y: Tensor) -> None:
    """A mean over the targets that are not ignored is not a mean over samples."""
    ignored = getattr(loss, "ignore_index", None) if getattr(loss, "reduction", "none") == "mean" else None
    count = 0 if ignored is None or y.is_floating_point() else int((y == ignored).sum())
    if count:
        raise ValueError(
            f"got {count} targets equal to ignore_index={ignored}, expected a loss for every sample; type data without those samples"
        )


def _tensors(data: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Inputs and targets (N, ...) of whatever was given."""
    if isinstance(data, DataLoader):
        return _tensors(_dataset_of(data), dtype)
    if isinstance(data, Dataset):
        return _tensors(_read(data), dtype)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"got data of type {type(data).__name__}, expected (x, y) tensors, a Dataset or a DataLoader")
    x, y = (torch.as_tensor(part) for part in data)
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"got {len(x)} inputs and {len(y)} targets, expected equal numbers, at least 2")
    x, y = (part.to(dtype) if part.is_floating_point() else part for part in (x, y))
    for name, part in (("x", x), ("y", y)):
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            raise ValueError(f"got NaN or infinite values in {name}, expected finite numbers")
    return x, y


def _dataset_of(loader: DataLoader[Any]) -> Dataset[Any]:
    """The data set behind a loader whose sampler takes each sample once; the order does not matter, since sums over samples are wanted."""
    plain = isinstance(loader.sampler, SequentialSampler) or (
        isinstance(loader.sampler, RandomSampler) and not loader.sampler.replacement
    )
    if isinstance(loader.dataset, IterableDataset) or not plain:
        raise ValueError(
            f"got a DataLoader with {type(loader.sampler).__name__}, expected each sample once; pass the Dataset or tensors (x, y) instead"
        )
    return loader.dataset


def _read(dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    size = len(dataset)  # type: ignore[arg-type]
    pairs = [dataset[i] for i in range(size)]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise TypeError("got a data set whose samples are not pairs, expected (input, target)")
    for i in {0, size - 1}:
        if not torch.equal(torch.as_tensor(dataset[i][0]), torch.as_tensor(pairs[i][0])):
            raise ValueError(
                f"got different values for sample {i} on two reads, expected fixed data; remove random augmentation, or pass tensors (x, y)"
            )
    return torch.stack([torch.as_tensor(x) for x, _ in pairs]), torch.stack([torch.as_tensor(y) for _, y in pairs])
