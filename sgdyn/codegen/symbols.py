"""A NumPy-speaking array of SymPy expressions: plain NumPy functions are called with it and so written down as formulas."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NoReturn

import numpy as np
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from sgdyn.errors import BranchError

_HINT = (
    "type np.where(condition, a, b) instead of if, np.maximum(a, b) instead of max(a, b), & and | instead of and and or, "
    "np.stack([...]) instead of np.array([...]) of components"
)


def _choose(condition: Any, a: Any, b: Any) -> Any:
    return sp.Piecewise((a, condition), (b, True))


def _maximum(a: Any, b: Any) -> Any:
    return _choose(sp.Ge(a, b), a, b)


def _minimum(a: Any, b: Any) -> Any:
    return _choose(sp.Le(a, b), a, b)


def _extreme_of(relation: Any) -> Callable[..., Any]:
    """The largest (`sp.Ge`) or smallest of several, as one choice: nested ones double with every element."""

    def choose(*values: Any) -> Any:
        wins = [sp.And(*(relation(a, b) for b in values[k + 1 :])) for k, a in enumerate(values)]
        return sp.Piecewise(*zip(values, wins, strict=True))

    return choose


_SEVERAL = {"maximum": _extreme_of(sp.Ge), "minimum": _extreme_of(sp.Le)}


def _sign(a: Any) -> Any:
    return sp.Piecewise((1, a > 0), (-1, a < 0), (0, True))


def _logaddexp(a: Any, b: Any) -> Any:
    return _maximum(a, b) + log1p(sp.exp(-_maximum(a - b, b - a)))


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv, "true_divide": operator.truediv,
    "power": operator.pow, "float_power": operator.pow, "negative": operator.neg, "positive": lambda a: a, "conjugate": lambda a: a,
    "square": lambda a: a**2, "reciprocal": lambda a: 1 / a, "sqrt": sp.sqrt, "cbrt": lambda a: _sign(a) * _maximum(a, -a) ** sp.Rational(1, 3),
    "absolute": lambda a: _choose(a >= 0, a, -a), "fabs": lambda a: _choose(a >= 0, a, -a), "sign": _sign,
    "maximum": _maximum, "minimum": _minimum, "fmax": _maximum, "fmin": _minimum, "heaviside": lambda a, h: sp.Piecewise((0, a < 0), (h, sp.Eq(a, 0)), (1, True)),
    "exp": sp.exp, "exp2": lambda a: sp.exp(a * sp.log(2)), "expm1": expm1, "log": sp.log, "log1p": log1p, "logaddexp": _logaddexp,
    "log2": lambda a: sp.log(a) / sp.log(2), "log10": lambda a: sp.log(a) / sp.log(10), "hypot": lambda a, b: sp.sqrt(a**2 + b**2),
    "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "arcsin": sp.asin, "arccos": sp.acos, "arctan": sp.atan, "arctan2": sp.atan2,
    "sinh": sp.sinh, "cosh": sp.cosh, "tanh": sp.tanh, "arcsinh": sp.asinh, "arccosh": sp.acosh, "arctanh": sp.atanh,
    "deg2rad": lambda a: a * sp.pi / 180, "erf": sp.erf, "erfc": sp.erfc, "expit": lambda a: (1 + sp.tanh(a / 2)) / 2,
    "less": sp.Lt, "less_equal": sp.Le, "greater": sp.Gt, "greater_equal": sp.Ge, "equal": sp.Eq, "not_equal": sp.Ne,
    "logical_and": sp.And, "logical_or": sp.Or, "logical_not": sp.Not, "bitwise_and": sp.And, "bitwise_or": sp.Or, "invert": sp.Not,
}  # fmt: skip

_STRUCTURAL = frozenset([
    "sum", "prod", "mean", "dot", "inner", "vdot", "outer", "trace", "stack", "concatenate", "hstack", "vstack", "roll", "diff", "cumsum",
    "reshape", "ravel", "transpose", "squeeze", "expand_dims", "flip", "take", "tensordot", "einsum", "diag", "diagonal", "broadcast_to",
    "tile", "repeat", "atleast_1d", "kron", "cross", "append", "delete", "moveaxis", "swapaxes", "copy",
])  # fmt: skip


def number(value: Any) -> Any:
    """The SymPy number equal to a float to the last bit, or an integer where it is one."""
    if isinstance(value, bool | np.bool_):
        return sp.true if value else sp.false
    if isinstance(value, int | np.integer):
        return sp.Integer(int(value))
    if not isinstance(value, float | np.floating):
        raise TypeError(
            f"got a constant of type {type(value).__name__}, expected real numbers; type float(...) around it"
        )
    plain = float(value)
    if not math.isfinite(plain):
        raise ValueError(f"got the constant {plain}, expected finite numbers")
    return sp.Integer(int(plain)) if plain.is_integer() and abs(plain) < 2**53 else sp.Float(plain)


def expressions(value: Any) -> np.ndarray[Any, np.dtype[np.object_]]:
    """An object array of SymPy expressions from a traced array, numbers, or any nesting of both."""
    if isinstance(value, Traced):
        return value.data
    array = np.asarray(value, dtype=object)
    out = np.empty(array.shape, dtype=object)
    for index, item in np.ndenumerate(array):
        out[index] = (
            item.data.item() if isinstance(item, Traced) else item if isinstance(item, sp.Basic) else number(item)
        )
    return out


def _refuse(operation: str) -> Callable[[Any], NoReturn]:
    def refuse(self: Any, *arguments: Any) -> NoReturn:
        raise BranchError(f"{operation} needs the value of x, but the function is traced once for every x; {_HINT}")

    return refuse


def _elementwise(ufunc: np.ufunc) -> Any:
    """The same function on arrays of expressions."""
    function = _ELEMENTWISE.get(ufunc.__name__)
    if function is None:
        known = ", ".join(sorted(_ELEMENTWISE))
        raise TypeError(
            f"np.{ufunc.__name__} cannot be traced; the elementwise functions are {known}; for other functions type Potential.from_functions(...)"
        )
    return np.frompyfunc(lambda *arguments: function(*arguments), ufunc.nin, 1)


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """Expressions (shape any) that answer to NumPy's functions, operators and indexing, and refuse to be looked at."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = np.asarray(data, dtype=object)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        out = keywords.pop("out", None)
        if out is not None and not (len(out) == 1 and out[0] is inputs[0] and isinstance(out[0], Traced)):
            raise TypeError("out= cannot be traced: expressions have no memory; type y = f(x) instead of f(x, out=y)")
        arrays = [expressions(value) for value in inputs]
        if method == "reduce":
            return _reduced(ufunc.__name__, arrays[0], **_known(f"{ufunc.__name__}.reduce", _reduced, keywords))
        _known(ufunc.__name__, lambda: None, keywords)
        if method not in ("__call__", "outer"):
            raise TypeError(f"np.{ufunc.__name__}.{method} cannot be traced; write the loop out")
        function = np.matmul if ufunc.__name__ == "matmul" else _elementwise(ufunc)
        found = Traced(getattr(function, method)(*arrays))
        return found if out is None else out[0]._overwritten(found)

    def _overwritten(self, found: Traced) -> Traced:
        """What `self += ...` leaves: a new scalar, or the same array with new elements, which its views see."""
        if self.ndim == 0:
            return found
        self.data[...] = found.data
        return self

    def __array_function__(self, function: Callable[..., Any], kinds: Any, args: Any, keywords: Any) -> Any:
        own = _FUNCTIONS.get(function.__name__)
        if own is not None:
            return own(*args, **_known(function.__name__, own, keywords))
        if function.__name__ not in _STRUCTURAL:
            known = ", ".join(sorted([*_FUNCTIONS, *_STRUCTURAL]))
            raise TypeError(f"np.{function.__name__} cannot be traced; the array functions are {known}")
        return Traced(function(*[_plain(a) for a in args], **{k: _plain(v) for k, v in keywords.items()}))

    def __getitem__(self, index: Any) -> Traced:
        if isinstance(index, Traced) or (isinstance(index, tuple) and any(isinstance(i, Traced) for i in index)):
            raise BranchError(f"indexing by a traced value needs its value; {_HINT}")
        return Traced(self.data[index])

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Traced]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Traced({self.data.tolist()})"

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    T = property(lambda self: Traced(self.data.T))
    dtype = property(lambda self: np.dtype(np.object_))

    def astype(self, *_: Any, **__: Any) -> Traced:
        return self

    __bool__ = _refuse("a branch (if, and, or, not, max, min)")
    __float__ = _refuse("float(...) or a function of the math module (type np.exp for math.exp)")
    __int__ = _refuse("int(...)")
    __index__ = _refuse(
        "an index or a loop bound (keyword defaults are parameters; take structural integers from outside the function)"
    )
    __complex__ = _refuse("complex(...)")
    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    """Traced arrays inside an argument replaced by object arrays."""
    if isinstance(value, Traced):
        return value.data
    if isinstance(value, list | tuple):
        return type(value)(_plain(v) for v in value)
    return value


def _known(name: str, function: Callable[..., Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords, if the function takes them all: none may be dropped in silence."""
    unknown = sorted(set(keywords) - set(inspect.signature(function).parameters))
    if unknown:
        raise TypeError(
            f"np.{name} with {', '.join(unknown)}=... cannot be traced; type it as an expression of its own"
        )
    return keywords


def _reduced(name: str, array: Any, axis: Any = 0, keepdims: bool = False, initial: Any = None) -> Traced:
    if isinstance(axis, tuple):
        raise TypeError(f"np.{name}.reduce with axis={axis} cannot be traced; type one axis after the other")
    if axis is None:
        array, axis = array.ravel(), 0
    moved = [*([] if initial is None else [expressions(initial)]), *np.moveaxis(array, axis, 0)]
    if name in _SEVERAL and len(moved) > 1:
        out = np.asarray(np.frompyfunc(_SEVERAL[name], len(moved), 1)(*moved), dtype=object)
    else:
        out = np.asarray(reduce(np.frompyfunc(_ELEMENTWISE[name], 2, 1), moved), dtype=object)
    return Traced(np.expand_dims(out, axis) if keepdims else out)


def _where(condition: Any, a: Any, b: Any) -> Traced:
    return Traced(np.frompyfunc(_choose, 3, 1)(*(expressions(v) for v in (condition, a, b))))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    matrix = isinstance(axis, tuple) or (axis is None and x.ndim == 2)
    if ord not in ((None, "fro") if matrix else (None, 2)):
        kind = "matrix" if matrix else "vector"
        raise TypeError(
            f"np.linalg.norm of a {kind} with ord={ord!r} cannot be traced; the Euclidean norm (ord=None) can"
        )
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _polyval(coefficients: Any, x: Any) -> Any:
    return reduce(lambda total, c: total * x + c, list(coefficients), 0.0 * x)


def _extreme(name: str) -> Callable[..., Any]:
    return lambda a, axis=None, keepdims=False, initial=None: _reduced(name, expressions(a), axis, keepdims, initial)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": _where, "norm": _norm, "clip": _clip, "polyval": _polyval,
    "max": _extreme("maximum"), "amax": _extreme("maximum"), "min": _extreme("minimum"), "amin": _extreme("minimum"),
}  # fmt: skip


def _reshape(self: Traced, *shape: Any) -> Traced:
    return Traced(self.data.reshape(*shape))


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *args, **keywords: getattr(np, name)(self, *args, **keywords)


_METHODS = ["sum", "prod", "mean", "dot", "max", "min", "ravel", "cumsum", "trace", "take", "squeeze", "copy", "clip", "transpose", "repeat"]  # fmt: skip
# NumPy's object loops (functions of np.array([x[0], x[1]])) look for a method of the ufunc's name.
for _name in [*_METHODS, *(name for name in _ELEMENTWISE if hasattr(np, name))]:
    setattr(Traced, _name, _method(_name))
Traced.reshape = _reshape  # type: ignore[attr-defined]
