"""Conversions of what users pass, in one place; each error says what was got, what was expected and what to type."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def real(name: str, value: ArrayLike, expected: str = "real numbers") -> Floats:
    """A float array; no text, and no imaginary part that would be lost."""
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "cUSMm":
            return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"got {name}={value!r}, expected {expected}") from error
    shown = f"={value!r}" if given.ndim == 0 else f" of type {given.dtype}"
    hint = f"; type np.real({name}) if that is meant" if given.dtype.kind == "c" else ""
    raise TypeError(f"got {name}{shown}, expected {expected}{hint}")


def finite(name: str, value: ArrayLike) -> Floats:
    """A float array without NaN or infinity."""
    array = real(name, value)
    if not np.all(np.isfinite(array)):
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"got {array[bad]} in {name}{list(bad) if bad else ''}, expected finite numbers; look for the place it was computed with np.isfinite"
        )
    return array


def number(name: str, value: Any) -> float:
    """One finite number."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"got {name}={value!r}, expected a number; type {name}={float(value)} if that is meant")
    array = finite(name, value)
    if array.ndim:
        raise ValueError(f"got {name} of shape {array.shape}, expected one number; type {name}=float(...)")
    return float(array)


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    """One finite number above zero (or at it)."""
    converted = number(name, value)
    if converted < 0 or (converted == 0 and not zero):
        raise ValueError(f"got {name}={converted:g}, expected a number {'>= 0' if zero else '> 0'}")
    return converted


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number."""
    try:
        if isinstance(value, bool):
            raise TypeError("a truth value")
        converted = operator.index(value)
    except TypeError as error:
        raise TypeError(f"got {name}={value!r}, expected a whole number; type {name}=int(...)") from error
    if converted < least:
        raise ValueError(f"got {name}={converted}, expected at least {least}")
    return converted


def truth(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"got {name}={value!r}, expected True or False; type {name}=True")
    return bool(value)


def points(x: ArrayLike, dim: int, name: str = "x") -> Floats:
    """Points (..., dim)."""
    array = real(name, x, f"points of shape (..., {dim}) of real numbers")
    if array.ndim == 0 or array.shape[-1] != dim:
        hint = f"; type {name}[..., None]" if dim == 1 else ""
        raise ValueError(f"got {name} of shape {array.shape}, expected points of shape (..., {dim}){hint}")
    return array


def vector(name: str, value: ArrayLike, size: int) -> Floats:
    """A finite vector (size,); one number is repeated."""
    array = finite(name, value)
    if array.shape not in ((), (size,)):
        raise ValueError(f"got {name} of shape {array.shape}, expected ({size},)")
    return np.broadcast_to(array, (size,)).copy()


def square(name: str, value: ArrayLike, size: int | None = None) -> Floats:
    """A finite matrix (size, size)."""
    array = finite(name, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or (size is not None and len(array) != size):
        wanted = f"({size}, {size})" if size is not None else "(n, n)"
        raise ValueError(f"got {name} of shape {array.shape}, expected {wanted}")
    return array


def symmetric(name: str, value: ArrayLike, size: int | None = None) -> Floats:
    """A finite symmetric matrix; asymmetry of rounding size is removed."""
    array = square(name, value, size)
    asymmetry = float(np.max(np.abs(array - array.T), initial=0.0))
    if asymmetry > 1e-8 * float(np.max(np.abs(array), initial=0.0)):
        raise ValueError(
            f"got {name} with |{name} - {name}'| up to {asymmetry:.3g}, expected a symmetric matrix; type ({name} + {name}.T)/2 if that is meant"
        )
    return np.asarray(0.5 * (array + array.T))


def positive_semidefinite(name: str, value: ArrayLike, size: int | None = None) -> Floats:
    """A finite symmetric matrix without negative eigenvalues beyond rounding."""
    array = symmetric(name, value, size)
    eigenvalues = np.linalg.eigvalsh(array)
    if len(eigenvalues) and eigenvalues[0] < -1e-10 * max(eigenvalues[-1], 1e-300):
        raise ValueError(
            f"got {name} with the eigenvalue {eigenvalues[0]:.6g} (largest {eigenvalues[-1]:.6g}), expected a positive semidefinite matrix; "
            f"an estimate from samples can be mended with sg.nearest_covariance({name})"
        )
    return array


def seed_sequence(seed: int | np.random.SeedSequence | None) -> np.random.SeedSequence:
    """A seed as NumPy's `SeedSequence`; None draws fresh entropy, which results record."""
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise TypeError(f"got seed={seed!r}, expected a whole number >= 0, a numpy SeedSequence or None")
    return np.random.SeedSequence(seed)


def steps(t: float, dt: float) -> int:
    """The number of steps of at most dt that fill the time t."""
    ratio = positive("t", t) / positive("dt", dt)
    if ratio > 2**40:
        raise ValueError(f"got t/dt = {ratio:.3g} steps, expected at most 2^40; type a larger dt")
    return max(1, math.ceil(ratio * (1 - 1e-12)))
