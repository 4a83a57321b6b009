"""Derivatives of networks by the first way that torch offers for all their layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from sgdyn.nets.norms import PlainNorms
from sgdyn.nets.trees import Tree, count, take

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Derivatives:
    """How second derivatives and derivatives along a vector are taken.

    forward: by forward-mode differentiation, else by reverse mode twice (Huber loss, for one, has no forward mode). unfused: attention
    in its plain form, since the fused kernels have first derivatives only. eager: attention of transformers' models by its own plain
    code. difference: by differences of losses and gradients, exact to eps^(2/3) or so, for functions with first derivatives only.
    missing: why none is possible, empty if one is. plain_norms: normalising layers by plain arithmetic (third derivatives need it).
    """

    forward: bool = True
    unfused: bool = False
    missing: str = ""
    eager: bool = False
    difference: bool = False
    plain_norms: bool = False

    def context(self, model: nn.Module) -> AbstractContextManager[None]:
        """What a model must be evaluated in."""
        stack = ExitStack()
        if self.unfused:
            stack.enter_context(_unfused_attention())
        if self.eager:
            stack.enter_context(_eager_attention(model))
        if self.plain_norms:
            stack.enter_context(PlainNorms())
        return stack  # type: ignore[return-value]

    def along(self, function: Function, w: Tensor, v: Tensor) -> Tensor:
        """The derivative of function (p,) -> (m,) at w along v, as (m,)."""
        self._require()
        if self.difference:
            return _difference(function, w, v)
        if self.forward:
            result: Tensor = jvp(function, (w,), (v,))[1]
            return result
        pull: Function = lambda u: vjp(function, w)[1](u)[0] @ v  # noqa: E731 - linear in u: its gradient is the derivative
        return slope_of(pull)(torch.ones_like(function(w)))

    def curvature(self, function: Function, w: Tensor, v: Tensor) -> Tensor:
        """The Hessian of the sum of function (p,) -> (m,) at w times v, as (p,)."""
        self._require()
        slope = slope_of(function)
        if self.difference:
            return _difference(slope, w, v)
        if self.forward:
            result: Tensor = jvp(slope, (w,), (v,))[1]
            return result
        return slope_of(lambda w: slope(w) @ v)(w)

    def _require(self) -> None:
        if self.missing:
            raise ValueError(
                f"got a model or a loss without second derivatives in torch ({self.missing}), expected layers that have them; type another form of the layer that is named (gradients and train work without)"
            )

    def __str__(self) -> str:
        way = "differences" if self.difference else "forward mode" if self.forward else "reverse mode twice"
        attention = ", eager attention" if self.eager else ", attention without fused kernels" if self.unfused else ""
        return way + attention


def _difference(function: Function, w: Tensor, v: Tensor) -> Tensor:
    """A central difference, with a step of eps^(1/3) for weights of size 1, where truncation and rounding meet."""
    scale = torch.clamp(w.norm() / len(w) ** 0.5, min=1.0)
    step = torch.finfo(w.dtype).eps ** (1 / 3) * scale / torch.clamp(v.norm(), min=torch.finfo(w.dtype).tiny)
    found: Tensor = (function(w + step * v) - function(w - step * v)) / (2 * step)
    return found


LADDER = (
    Derivatives(), Derivatives(unfused=True), Derivatives(forward=False), Derivatives(forward=False, unfused=True),
    Derivatives(eager=True), Derivatives(forward=False, eager=True), Derivatives(difference=True),
)  # fmt: skip
"""The ways in the order in which they are tried."""


def choose(attempt: Callable[[Derivatives], object]) -> Derivatives:
    """The first way in which `attempt` succeeds."""
    reason = ""
    for ways in LADDER:
        try:
            attempt(ways)
        except RuntimeError as error:
            reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
        else:
            return ways
    return Derivatives(missing=reason)


def each(function: Callable[..., Any], in_dims: Sequence[int | None]) -> Callable[..., Any]:
    """The function of many arguments at once by `torch.vmap`, or one by one where a layer (LSTM, GRU, RNN) does not allow that."""
    together = vmap(function, in_dims=tuple(in_dims))
    refused = False

    def call(*arguments: Tree) -> Any:
        nonlocal refused
        if not refused:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings(
                        "ignore", message="There is a performance drop"
                    )  # torch's, of kl_div and its like
                    return together(*arguments)
            except RuntimeError:  # if it is the function itself that fails, it fails again below
                refused = True
        return _one_by_one(function, in_dims, arguments)

    return call


def _one_by_one(function: Callable[..., Any], in_dims: Sequence[int | None], arguments: Sequence[Tree]) -> Any:
    many = next(count(a) for a, axis in zip(arguments, in_dims, strict=True) if axis is not None)
    found = [
        function(*(a if axis is None else take(a, i) for a, axis in zip(arguments, in_dims, strict=True)))
        for i in range(many)
    ]
    return tuple(map(torch.stack, zip(*found, strict=True))) if isinstance(found[0], tuple) else torch.stack(found)


def slope_of(function: Function) -> Function:
    """The gradient of the sum of a function."""
    slope: Function = grad(lambda w: function(w).sum())
    return slope


@contextmanager
def _unfused_attention() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _eager_attention(model: nn.Module) -> Iterator[None]:
    """Models of transformers look up how attention is done in their configuration, at every call."""
    found: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    configs = {id(config): config for config in found if hasattr(config, "_attn_implementation")}
    if not configs:
        raise RuntimeError("got no module with a configuration of attention, expected a model of transformers")
    before = [config._attn_implementation for config in configs.values()]
    try:
        for config in configs.values():
            config._attn_implementation = "eager"
        yield
    finally:
        for config, way in zip(configs.values(), before, strict=True):
            config._attn_implementation = way
