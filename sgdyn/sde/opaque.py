"""Python functions as block functions: what only NumPy or BLAS can evaluate joins the compiled loop by one call a block.

Compiled code knows such a function by its number. The interpreter's lock is held while it runs.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.contracts import call_address
from sgdyn.codegen.formula import UNROLLED
from sgdyn.codegen.jit import MATRIX, VECTOR, kernel
from sgdyn.fields import Affine, Field
from sgdyn.noise import LowRank, Noise

Floats = NDArray[np.float64]
_COUNTER = itertools.count(1)


class Callback:
    """A Python function of arrays that writes into the last; what it raises is kept, and its output made NaN."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.error, self.number = function, None, next(_COUNTER)
        _CALLBACKS[self.number] = self

    error: BaseException | None

    def __call__(self, *arrays: Floats) -> None:
        try:
            self.function(*arrays)
        except BaseException as error:
            self.error, arrays[-1][...] = error, np.nan

    def check(self) -> None:
        """Raise what the function raised."""
        if self.error is not None:
            raise self.error


_CALLBACKS: WeakValueDictionary[int, Callback] = WeakValueDictionary()


def _matrix(address: int, rows: int, columns: int) -> Floats:
    """The float64 matrix that lies at an address."""
    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_double))
    return np.ctypeslib.as_array(pointer, shape=(rows, columns)) if rows * columns else np.empty((rows, columns))


def _dispatch(number: int, x: int, dim: int, z: int, rank: int, out: int, size: int, n: int) -> None:
    _CALLBACKS[number](_matrix(x, dim, n), _matrix(z, rank, n), _matrix(out, size, n))


_ENTRANCE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)(_dispatch)
_ADDRESS = float(ctypes.cast(_ENTRANCE, ctypes.c_void_p).value or 0)  # below 2^53, hence exact


@kernel(MATRIX, VECTOR, MATRIX)
def python_field(x: Any, theta: Any, out: Any) -> None:
    """out = the field at x of the callback theta = (address, number)."""
    call_address(int(theta[0]), int(theta[1]), x, x, out)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def python_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """out = sigma(x) z by the callback theta = (address, number)."""
    call_address(int(theta[0]), int(theta[1]), x, z, out)


def _evaluating(field: Field) -> Callable[[Floats, Floats, Floats], None]:
    if isinstance(field, Affine):

        def by_blas(x: Floats, _: Floats, out: Floats) -> None:
            np.matmul(field.matrix, x, out=out)
            out += field.offset[:, None]

        return by_blas

    def by_numpy(x: Floats, _: Floats, out: Floats) -> None:
        with np.errstate(all="ignore"):
            out[...] = np.reshape(field(x.T), (x.shape[1], -1)).T

    return by_numpy


def _applying(noise: Noise) -> Callable[[Floats, Floats, Floats], None]:
    def by_numpy(x: Floats, z: Floats, out: Floats) -> None:
        with np.errstate(all="ignore"):
            out[...] = noise.apply(x.T, z.T).T

    return by_numpy


def field_block(field: Field) -> tuple[Any, Floats, Callback | None]:
    """The block function of a field, its parameters, and the callback to keep (None where it is compiled code)."""
    compiled = None if isinstance(field, Affine) and field.matrix.size > UNROLLED**2 else field.block
    if compiled is not None:
        return compiled, field.theta, None
    if getattr(field, "clocks", ()):
        raise TypeError(
            f"got a field of {field.dim} components that depends on the time t, expected at most {UNROLLED}, which are compiled"
        )
    callback = Callback(_evaluating(field))
    return python_field.compiled, np.array([_ADDRESS, callback.number]), callback


def noise_block(noise: Noise) -> tuple[Any, Floats, Callback | None]:
    """The block function of a noise, its parameters, and the callback to keep."""
    big = isinstance(noise, LowRank) and noise.V.size > UNROLLED**2
    if noise.block is not None and not big:
        return noise.block, noise.theta, None
    callback = Callback(_applying(noise))
    return python_noise.compiled, np.array([_ADDRESS, callback.number]), callback
