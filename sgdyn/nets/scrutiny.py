"""What a network must be for its noise to be that of single samples: checked once, on samples spread over the data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sgdyn.nets.derivatives import Derivatives, Function, choose, slope_of
from sgdyn.nets.losses import check_shapes, logits_of, refuse_ignored
from sgdyn.nets.traceless import bytes_of, random_states
from sgdyn.nets.trees import Tree, called, mapped, shapes, take

if TYPE_CHECKING:
    from sgdyn.nets.network import Network


HALF = 1e-4
"""Rounding of half precision is larger: losses are then compared in double precision, where the model allows it."""
COARSEST = 0.1
"""Relative difference of losses that is still rounding, of half precision."""
STEPS = (1e-8, 1e-6, 1e-3)
"""Lengths of the steps along which second derivatives are compared with differences, each in another direction: small ones meet no kinks, large ones
are above the rounding of layers that insist on single precision."""


def refuse_train_mode(model: nn.Module) -> None:
    """Raise ValueError for layers that mix samples or draw random numbers."""
    for name, module in model.named_modules():
        where = f"{type(module).__name__} at {name or 'the top'}"
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.training:
                raise ValueError(
                    f"got {where} in train mode: a sample's gradient then depends on its batch; type bn='eval' (or model.eval()) to freeze the statistics"
                )
            if module.running_mean is None:
                raise ValueError(
                    f"got {where} without running statistics: a sample's loss then depends on its batch, in evaluation mode too; type track_running_stats=True and train it, or nn.GroupNorm"
                )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.scale_grad_by_freq:
            raise ValueError(
                f"got {where} with scale_grad_by_freq: a sample's gradient then depends on its batch; type module.scale_grad_by_freq = False"
            )
        if module.training and isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ValueError(
                f"got {where} in train mode: losses are random; type dropout='eval' (or model.eval()), or dropout=0 for one fixed mask by that seed"
            )


def spread(n: int, count: int) -> Tensor:
    """At most `count` sample numbers, evenly over n samples: sorted data have neighbours that are alike."""
    return torch.linspace(0, n - 1, min(n, count), dtype=torch.float64).round().long()


def inspect(network: Network) -> Derivatives:
    """Check one chunk of samples, and find how derivatives are taken.

    Raises ValueError for models or losses that fail, that are random, that change their buffers, or that mix samples.
    """
    if network.unit == "sample":
        refuse_ignored(network.loss, network.y)
    _warn_of_short_products(network)
    rows = spread(network.n, network.chunk).to(network.weights.device)
    x, y = take(network.x, rows), network.y[rows]
    with torch.no_grad():
        before = random_states(rows.device)
        output = _fixed_output(network, x)
        if network.unit == "sample":
            check_shapes(network.loss, logits_of(output), y)
        losses: Tensor = _attempt(network, lambda: network.loss_of(output, y))
        _check_values(losses, len(y))
        if random_states(rows.device) != before or not torch.equal(losses, network.losses(network.weights, x, y)):
            raise ValueError(
                "got a model that is random (different losses for the same weights and samples), expected a deterministic model; type model.eval()"
            )
        _check_independence(network, x, y, losses)
        if network.unit == "sample":
            _check_mean(network.loss, output, y, losses)
    return _ways(network, take(x, slice(2)), y[:2])


def _warn_of_short_products(network: Network) -> None:
    """A GPU's convolutions of single precision have 10 bits, unless torch is told otherwise."""
    convolutions = any(isinstance(module, nn.modules.conv._ConvNd) for module in network.model.modules())
    short = network.weights.is_cuda and network.weights.dtype == torch.float32
    if convolutions and short and torch.backends.cudnn.allow_tf32:
        warnings.warn(
            "got convolutions in TF32, which has 10 bits: products have three digits; type torch.backends.cudnn.allow_tf32 = False for seven",
            stacklevel=5,
        )


def _attempt(network: Network, evaluate: Callable[[], Tensor]) -> Tensor:
    """A value, or an error that says what the model was given."""
    try:
        return evaluate()
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        x, y, wanted = network.x, network.y, network.weights.dtype
        given = f"inputs {shapes(x)} and targets {shapes(y)}"
        plain = [("x", x)] if isinstance(x, Tensor) else []
        whole = [name for name, part in [*plain, ("y", y)] if not part.is_floating_point()]
        kinds = type(error) is RuntimeError and "type" in str(error)  # torch's for other types
        casts = [f"{name}.to({wanted})" for name in whole if kinds]
        advice = f"type {' or '.join([*casts, 'loss(model(x), y)'])} to see"
        raise ValueError(
            f"got {type(error).__name__} ({(str(error).splitlines() or [''])[0]}) from the model and its loss on samples with {given}, expected losses; {advice}"
        ) from error


def _fixed_output(network: Network, x: Tree) -> Tensor:
    """The output, if it leaves the buffers alone (in copies of them: running statistics, iterations of spectral norm)."""
    model = network.model
    buffers = {name: part.detach().clone() for name, part in model.named_buffers()}
    state = network.state(network.weights) | buffers
    output: Tensor = _attempt(network, lambda: called(model, state, x))
    changed = [name for name, part in model.named_buffers() if bytes_of(state[name]) != bytes_of(part)]
    if changed:
        raise ValueError(
            f"got a model that changes {', '.join(changed)} when it is called, expected a fixed function of its input; type model.eval()"
        )
    return output


def _check_values(losses: Tensor, count: int) -> None:
    if losses.shape != (count,):
        raise ValueError(
            f"got losses of shape {tuple(losses.shape)} for {count} samples, expected ({count},): one number a sample; type reduction='none' in all losses (loss=lambda output, y: F.cross_entropy(output, y, reduction='none')), or average the rest"
        )
    if bool(losses.isnan().any()):
        raise ValueError(
            f"got the loss NaN for {int(losses.isnan().sum())} of {count} samples, expected finite numbers; look at the model's weights"
        )


def _check_independence(network: Network, x: Tree, y: Tensor, losses: Tensor) -> None:
    """Each half of the samples, and the first and the last alone, must have the losses they have among all."""
    parts = (slice(0, None, 2), slice(1, None, 2), slice(0, 1), slice(len(y) - 1, None))
    wide = _in_double(network, x, y) if torch.finfo(losses.dtype).eps > HALF else None
    losses = losses if wide is None else wide(network.weights.double())
    for part in parts:
        own = None if wide is None else _in_double(network, take(x, part), y[part])
        found = (
            own(network.weights.double())
            if own is not None
            else _attempt(network, partial(network.losses, network.weights, take(x, part), y[part]))
        )
        if found.shape != losses[part].shape or not _close(found, losses[part], losses):
            raise ValueError(
                "got a loss that depends on the other samples of the batch, expected independent samples; type model.eval() if it holds batch norm, and give outputs and targets one shape"
            )


def _check_mean(loss: Any, output: Tensor, y: Tensor, losses: Tensor) -> None:
    """The mean of the samples' losses must be what the loss itself says of the batch."""
    if not isinstance(loss, nn.Module) or getattr(loss, "reduction", "none") == "none":
        return
    whole = loss(logits_of(output), y)
    if not _close(whole, losses.mean(), losses):
        raise ValueError(
            f"got {type(loss).__name__} = {float(whole):.6g} of a batch whose samples have the mean {float(losses.mean()):.6g}, expected a mean over samples; type a function (output, target) -> (batch,) for it"
        )


def _close(one: Tensor, other: Tensor, scale: Tensor) -> bool:
    """Equal to rounding, which grows with the number of terms."""
    tolerance = min(COARSEST, 10 * float(torch.finfo(scale.dtype).eps) ** 0.5)
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * float(scale.abs().max()))


def _ways(network: Network, x: Tree, y: Tensor) -> Derivatives:
    """How the derivatives of these samples' losses can be taken; first ones must exist."""
    w = network.weights
    _attempt(network, lambda: slope_of(network.of_weights(x, y))(w))

    def attempt(ways: Derivatives) -> None:
        network.derivatives = ways
        _check_slope(network, ways, x, y)
        ways.curvature(network.of_weights(x, y), w, w)
        _check_curvature(network, ways, x, y)

    return choose(attempt)


def _check_slope(network: Network, ways: Derivatives, x: Tree, y: Tensor) -> None:
    """Raise RuntimeError if the derivative along a vector is not the product with the gradient, as where a model stops gradients (`detach`)."""
    losses, w = network.of_weights(x, y), network.weights
    slope = slope_of(losses)(w).double()
    v = torch.randn(len(w), generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(slope)
    v = v / v.norm() + 0.7 * slope / (slope.norm() + 1e-300)  # not zero in one dimension
    along, exact = float(ways.along(losses, w, v.to(w)).double().sum()), float(slope @ v)
    eps = float(torch.finfo(w.dtype).eps)
    allowed = max(1e-3 if ways.difference else 1e-6, min(0.1, 100 * eps**0.5))
    if abs(along - exact) > allowed * float(slope.norm()) + 1e-12:
        raise RuntimeError(
            "its derivatives along a vector are not those of its gradient: it stops gradients somewhere, as detach() does"
        )


def _check_curvature(network: Network, ways: Derivatives, x: Tree, y: Tensor) -> None:
    """Raise RuntimeError if a product with the Hessian is not a difference of gradients, in double precision along some directions.

    Functions that torch can differentiate once only give zeros in silence.
    """
    losses = _in_double(network, x, y)
    if losses is None:
        return
    slope, w = slope_of(losses), network.weights.double()
    here = slope(w)
    for seed, step in enumerate(STEPS):
        v = torch.randn(len(w), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(w)
        v = v / v.norm() + 0.7 * here / (here.norm() + 1e-300)  # along random vectors alone H v can drown in rounding
        v = step * v / v.norm()
        numeric, found = slope(w + v) - slope(w - v), 2 * ways.curvature(losses, w, v)
        if float((found - numeric).norm()) <= 0.01 * float(found.norm()) + 1e-4 * step * float(here.norm()):
            return
    raise RuntimeError("its second derivatives are not the differences of its first ones")


def _in_double(network: Network, x: Tree, y: Tensor) -> Function | None:
    """The losses of these samples in double precision, None if the model insists on its own."""
    fixed = {**dict(network.model.named_parameters(remove_duplicate=False)), **network.fixed, **dict(network.buffers())}
    wide = {name: _double(part.detach()) for name, part in fixed.items()}
    buffers = {name: wide[name] for name, _ in network.buffers()} | {name: wide[name] for name in network.fixed}
    a, b = mapped(_double, x), _double(y)

    def losses(w: Tensor) -> Tensor:
        with network.derivatives.context(network.model):
            return network.loss_of(called(network.model, wide | network.state(w) | buffers, a), b)

    try:
        losses(network.weights.double())
    except (RuntimeError, TypeError, ValueError):
        return None
    return losses


def _double(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part
