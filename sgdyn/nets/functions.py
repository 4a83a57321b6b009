"""Potentials that are written in torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad, jacrev, vmap

from sgdyn import checks
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]


def torch_potential(function: Callable[[Tensor], Tensor], dim: int, *, check: bool = True) -> Potential:
    """A `Potential` of a torch function of one point x (dim,), in double precision, that returns a number; derivatives by autograd.

    It goes wherever `Potential.from_functions` does: NumPy steps of whole ensembles, critical points, escape times. A formula that NumPy can
    write is faster with `@sg.potential`. Raises TypeError for what is no function, ValueError if it does not return one number, if
    `torch.func.vmap` cannot take it (branches on x, .item()), and for derivatives that differ from differences (check=False skips that).
    """
    if not callable(function):
        raise TypeError(f"got a {type(function).__name__}, expected a torch function of x (dim,)")
    size = checks.count("dim", dim)
    try:
        shape = tuple(vmap(function)(torch.zeros(2, size, dtype=torch.float64)).shape)
    except RuntimeError as error:
        raise ValueError(
            f"got a function that torch.func.vmap cannot take ({str(error).splitlines()[0]}), expected one without branches on x and without "
            ".item(); type torch.where(...), or sg.Potential.from_functions(value, grad, dim=...)"
        ) from error
    if shape != (2,):
        raise ValueError(f"got {shape[1:]} numbers from one x, expected one; type .sum()")
    value, first, second = (_numpy(f, size) for f in (function, grad(function), jacrev(grad(function))))
    value.__name__ = getattr(function, "__name__", "U")
    return Potential.from_functions(value, first, dim=size, hess=second, check=check)


def _numpy(function: Callable[[Tensor], Tensor], dim: int) -> Callable[[Floats], Floats]:
    """The function of arrays of points (..., dim)."""

    def at(x: Floats) -> Floats:
        points = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64).reshape(-1, dim))
        found = vmap(function)(points).detach().numpy()
        return np.asarray(found.reshape((*np.shape(x)[:-1], *found.shape[1:])), dtype=np.float64)

    return at
