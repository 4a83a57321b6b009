"""Formulas: SymPy expressions in the coordinates x and the parameters theta, and their derivatives."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from sgdyn.codegen.symbols import Traced, expressions
from sgdyn.errors import BranchError

Objects = NDArray[np.object_]


def coordinates(dim: int) -> tuple[sp.Symbol, ...]:
    """x0, ..., x{dim-1}."""
    return tuple(sp.Symbol(f"x{i}", real=True) for i in range(dim))


def parameters(count: int, first: int = 0) -> tuple[sp.Symbol, ...]:
    """theta{first}, ..."""
    return tuple(sp.Symbol(f"theta{i}", real=True) for i in range(first, first + count))


@dataclass(frozen=True)
class Expression:
    """A tensor of formulas: `components` (any shape) in `dim` coordinates and `count` parameters."""

    dim: int
    count: int
    components: Objects

    @property
    def shape(self) -> tuple[int, ...]:
        return self.components.shape

    def digest(self) -> str:
        text = f"{self.dim} {self.count} {self.shape} " + " ".join(sp.srepr(e) for e in self.components.flat)
        return hashlib.sha256(text.encode()).hexdigest()

    def dependence(self) -> NDArray[np.bool_]:
        """Which components contain which coordinates: (*shape, dim)."""
        found = np.zeros((*self.shape, self.dim), dtype=bool)
        for index in np.ndindex(self.shape):
            symbols = sp.sympify(self.components[index]).free_symbols
            found[index] = [x in symbols for x in coordinates(self.dim)]
        return found

    def derivative(self) -> Expression:
        """d f_{...} / d x_j, the index j last."""
        out = np.empty((*self.shape, self.dim), dtype=object)
        for index in np.ndindex(self.shape):
            for j, x in enumerate(coordinates(self.dim)):
                out[*index, j] = _differentiate(self.components[index], x)
        return Expression(self.dim, self.count, out)

    def trace(self) -> Expression:
        """The sum over the last two indices set equal."""
        return Expression(self.dim, self.count, np.asarray(np.trace(self.components, axis1=-2, axis2=-1), dtype=object))

    def shifted(self, first: int) -> Objects:
        """The components with theta0 renamed to theta{first}, and so on."""
        renaming = dict(zip(parameters(self.count), parameters(self.count, first), strict=True))
        out = np.empty(self.shape, dtype=object)
        for index in np.ndindex(self.shape):
            out[index] = sp.sympify(self.components[index]).xreplace(renaming)
        return out


class _Power(sp.Function):  # type: ignore[misc]
    """base**exponent for exponents that are parameters, while it is differentiated.

    SymPy writes the derivative as e base**e / base, which is 0/0 at zero.
    """

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Any:
        """e base**(e - 1), and 0 where e is 0."""
        base, exponent = self.args
        if argindex != 1:
            return sp.log(base) * self
        return sp.Piecewise((0, sp.Eq(exponent, 0)), (exponent * _Power(base, exponent - 1), True))


def _differentiate(expression: Any, x: sp.Symbol) -> Any:
    generic: Callable[[Any], bool] = lambda e: e.is_Pow and not e.exp.is_number and not e.exp.has(x)  # noqa: E731
    written = sp.sympify(expression)
    if any(generic(e) for e in written.atoms(sp.Pow)):
        written = written.replace(generic, lambda e: _Power(*e.args))
    derivative = sp.diff(written, x)
    if derivative.has(_Power):
        derivative = derivative.replace(_Power, sp.Pow)
    # Kinks: away from them the derivative is what it is, at them it is the one-sided one.
    return derivative.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) if derivative.has(sp.DiracDelta) else derivative


def defaults(function: Callable[..., Any]) -> dict[str, NDArray[np.float64]]:
    """The parameters of a function of x: its other arguments, whose defaults are numbers or arrays of numbers."""
    names = list(inspect.signature(function).parameters.values())
    if not names:
        raise TypeError(
            f"{function.__name__}() takes no argument, expected the point x first; type def {function.__name__}(x): ..."
        )
    found: dict[str, NDArray[np.float64]] = {}
    for parameter in names[1:]:
        if parameter.default is parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"{function.__name__}() has the argument {parameter} without a default; type {parameter.name}=1.0 to make it a parameter"
            )
        found[parameter.name] = numeric(parameter.name, parameter.default)
    return found


def numeric(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A parameter's value as a finite float array."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"got {name}={value!r}, expected a number or an array of numbers; other constants belong outside the function"
        )
    if not np.all(np.isfinite(array)):
        raise ValueError(f"got {name}={value!r}, expected finite numbers")
    return array.astype(np.float64)


def trace(function: Callable[..., Any], dim: int, given: Mapping[str, NDArray[np.float64]]) -> Expression:
    """Write `function(x, **given)` down as formulas by calling it with symbols.

    It is called twice: what is drawn at random or counted outside would be frozen at its value in the first call.
    """
    symbols = parameters(sum(value.size for value in given.values()))
    written, again = (expressions(_called(function, *_symbols(dim, symbols, given))) for _ in range(2))
    if written.shape != again.shape or not all(a == b for a, b in zip(written.flat, again.flat, strict=True)):
        raise ValueError(
            f"got two different formulas from two calls of {_name(function)}, expected one; draw random numbers outside the function"
        )
    return Expression(dim, len(symbols), written)


def _symbols(
    dim: int, symbols: tuple[sp.Symbol, ...], given: Mapping[str, NDArray[np.float64]]
) -> tuple[Traced, dict[str, Traced]]:
    """The point and the parameters, in arrays of their own."""
    start, keywords = 0, {}
    for name, value in given.items():
        cells = np.array(symbols[start : start + value.size], dtype=object).reshape(value.shape)
        keywords[name], start = Traced(cells), start + value.size
    return Traced(np.array(coordinates(dim), dtype=object)), keywords


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "the function")


def _called(function: Callable[..., Any], x: Traced, keywords: Mapping[str, Traced]) -> Any:
    try:
        return function(x, **keywords)
    except IndexError as error:
        dim = len(x.data)
        if f"axis 0 with size {dim}" not in str(error):
            raise
        known = "x[0]" if dim == 1 else f"x[0] to x[{dim - 1}]"
        raise IndexError(
            f"got {_name(function)} with a component that a point of dimension {dim} has not ({error}), expected {known}; type x[0], or dim=..."
        ) from error
    except ValueError as error:
        if "setting an array element" not in str(error):
            raise
        message = "got a traced value assigned to an element of a float array; type np.array([...]) or np.stack([...]) of the components"
        raise BranchError(message) from error
    except TypeError as error:
        if "loop of ufunc does not support" not in str(error):
            raise
        raise TypeError(
            f"got a NumPy function of an np.array with traced and other elements ({error}); type np.stack([...]) instead of np.array([...])"
        ) from error


def flattened(given: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """theta: all parameters in one vector."""
    return np.concatenate([np.zeros(0), *[np.ravel(v) for v in given.values()]])
