"""Derivatives of networks by the first way that torch offers for all their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Derivatives:
    """How second derivatives and derivatives along a vector are taken.

    forward: by forward-mode differentiation, else by reverse mode twice (Huber loss, for one, has no forward mode). unfused: attention
    in its plain form, since the fused kernels have first derivatives only. missing: why neither is possible, empty if one is.
    """

    forward: bool = True
    unfused: bool = False
    missing: str = ""

    def context(self) -> AbstractContextManager[None]:
        """What a model must be evaluated in."""
        return _unfused_attention() if self.unfused else nullcontext()

    def along(self, function: Function, w: Tensor, v: Tensor) -> Tensor:
        """The derivative of function (p,) -> (m,) at w along v, as (m,)."""
        self._require()
        if self.forward:
            result: Tensor = jvp(function, (w,), (v,))[1]
            return result
        pull: Function = lambda u: vjp(function, w)[1](u)[0] @ v  # noqa: E731 - linear in u: its gradient is the derivative
        return slope_of(pull)(torch.ones_like(function(w)))

    def curvature(self, function: Function, w: Tensor, v: Tensor) -> Tensor:
        """The Hessian of the sum of function (p,) -> (m,) at w times v, as (p,)."""
        self._require()
        slope = slope_of(function)
        if self.forward:
            result: Tensor = jvp(slope, (w,), (v,))[1]
            return result
        return slope_of(lambda w: slope(w) @ v)(w)

    def _require(self) -> None:
        if self.missing:
            raise ValueError(
                f"got a model or a loss without second derivatives in torch ({self.missing}), expected layers that have them; type another form of the layer that is named (gradients and train work without)"
            )


def choose(attempt: Callable[[Derivatives], object]) -> Derivatives:
    """The first way in which `attempt` succeeds."""
    reason = ""
    for unfused, forward in ((False, True), (True, True), (False, False), (True, False)):
        ways = Derivatives(forward, unfused)
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

    def call(*arguments: Tensor) -> Any:
        nonlocal refused
        if not refused:
            try:
                return together(*arguments)
            except RuntimeError:  # if it is the function itself that fails, it fails again below
                refused = True
        return _one_by_one(function, in_dims, arguments)

    return call


def _one_by_one(function: Callable[..., Any], in_dims: Sequence[int | None], arguments: Sequence[Tensor]) -> Any:
    count = next(len(a) for a, axis in zip(arguments, in_dims, strict=True) if axis is not None)
    found = [
        function(*(a if axis is None else a[i] for a, axis in zip(arguments, in_dims, strict=True)))
        for i in range(count)
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
