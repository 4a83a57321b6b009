"""From formulas to source code: NumPy over leading axes, torch, and block functions on vector values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from sympy.logic.boolalg import Boolean

from sgdyn.codegen.expression import Expression, coordinates, parameters
from sgdyn.codegen.jit import PIVOT_TOLERANCE
from sgdyn.codegen.vector import LANES

_FUNCTIONS = {
    "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "expm1": "expm1", "log1p": "log1p",
    "erf": "erf", "erfc": "erfc",
}  # fmt: skip
_MATH = {name: "a" + name[3:] for name in _FUNCTIONS.values() if name.startswith("arc")}


@dataclass(frozen=True)
class Dialect:
    """How one target spells what the formulas say."""

    header: str
    function: Callable[[str], str]
    root: str
    power: str
    choose: Callable[[str, str, str], str]
    negate: str = "~"


NUMPY = Dialect(
    "import math\nimport numpy as np\nfrom scipy import special\n", lambda n: f"special.{n}" if n in ("erf", "erfc") else f"np.{n}",
    "np.sqrt", "np.power", lambda c, a, b: f"np.where({c}, {a}, {b})")  # fmt: skip
TORCH = Dialect(
    "import math\nimport torch\n", lambda n: f"torch.{n}", "torch.sqrt", "torch.pow",
    lambda c, a, b: f"torch.where(torch.as_tensor({c}), {a}, {b})")  # fmt: skip
BLOCK = Dialect(
    "import math\nfrom sgdyn.codegen import elementary as el, vector as ve\n", lambda n: f"el.{n}", "ve.sqrt", "el.power",
    lambda c, a, b: f"ve.select({c}, {a}, {b})")  # fmt: skip
SCALAR = Dialect(
    "", lambda n: f"math.{_MATH.get(n, n)}", "math.sqrt", "math.pow", lambda c, a, b: f"({a} if {c} else {b})", "not "
)


@dataclass
class Writer:
    """Prints expressions as straight-line code; what depends only on `outer.known` is written once, before the loop."""

    dialect: Dialect
    outer: Writer | None = None
    known: set[sp.Symbol] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    powers: dict[tuple[str, int], str] = field(default_factory=dict)

    def assign(self, symbol: sp.Symbol, expression: Any) -> None:
        """symbol = expression."""
        if self.outer is not None and expression.free_symbols <= self.outer.known:
            self.outer.assign(symbol, expression)
        else:
            self.lines.append(f"{symbol} = {self.text(expression)}")
            self.known.add(symbol)

    def text(self, e: Any) -> str:
        """The expression in the dialect's syntax; may add lines of its own before it."""
        if e.is_Symbol:
            return str(e.name)
        if not e.free_symbols:
            return _constant(e)
        if self.outer is not None and e.free_symbols <= self.outer.known:
            return self.outer._new(self.outer.text(e))
        if e.is_Relational:
            return f"({self.text(e.lhs)} {e.rel_op} {self.text(e.rhs)})"
        printer: Callable[[Any], str] = getattr(self, f"_{type(e).__name__.lower()}", self._function)
        return printer(e)

    def _function(self, e: Any) -> str:
        name = _FUNCTIONS.get(type(e).__name__)
        if name is None:
            raise TypeError(
                f"the formula contains {type(e).__name__}, which cannot be turned into code; type Potential.from_functions(...)"
            )
        return f"{self.dialect.function(name)}({', '.join(self.text(a) for a in e.args)})"

    def _add(self, e: Any) -> str:
        first, *rest = (self.text(a) for a in e.args)
        return "(" + first + "".join(f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in rest) + ")"

    def _mul(self, e: Any) -> str:
        coefficient, rest = e.as_coeff_Mul()
        if coefficient == -1:
            return "-" + self.text(rest)
        above = [self.text(a) for a in e.args if not _below(a)]
        below = [self.text(1 / a) for a in e.args if _below(a)]
        return ("*".join(above) or "1.0") + (f"/({'*'.join(below)})" if below else "")

    def _pow(self, e: Any) -> str:
        base, exponent = e.args
        if _below(e):
            return f"(1.0/({self.text(1 / e)}))"
        if exponent.is_number and exponent <= 64 and (2 * exponent).equals(int(2 * exponent)):
            whole, root = int(exponent), f"{self.dialect.root}({self.text(base)})"
            factors = [self._product(self.text(base), whole)] if whole else []
            return "*".join([*factors, root] if exponent > whole else factors)
        return f"{self.dialect.power}({self.text(base)}, {self.text(exponent)})"

    def _product(self, base: str, n: int) -> str:
        """base**n by squaring, each power computed once."""
        if n == 1:
            return base
        if (base, n) not in self.powers:
            left, right = (self._product(base, m) if m > 1 else self._atom(base) for m in (n // 2, n - n // 2))
            self.powers[base, n] = self._new(f"{left}*{right}")
        return self.powers[base, n]

    def _atom(self, base: str) -> str:
        if base.isidentifier():
            return base
        if (base, 1) not in self.powers:
            self.powers[base, 1] = self._new(base)
        return self.powers[base, 1]

    def _new(self, text: str) -> str:
        name = f"{'v' if self.outer else 'c'}{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def _piecewise(self, e: Any) -> str:
        *some, (last, _) = e.args
        text = self.text(last)
        for value, condition in reversed(some):
            text = self.dialect.choose(self.text(condition), self.text(value), text)
        return text

    def _abs(self, e: Any) -> str:
        return self.dialect.choose(f"({self.text(e.args[0])} >= 0.0)", self.text(e.args[0]), self.text(-e.args[0]))

    def _sign(self, e: Any) -> str:
        x = self.text(e.args[0])
        return self.dialect.choose(f"({x} > 0.0)", "1.0", self.dialect.choose(f"({x} < 0.0)", "-1.0", f"0.0*{x}"))

    def _max(self, e: Any) -> str:
        return self._extreme(e, ">=")

    def _min(self, e: Any) -> str:
        return self._extreme(e, "<=")

    def _extreme(self, e: Any, order: str) -> str:
        first, *rest = (self._atom(self.text(a)) for a in e.args)
        for other in rest:
            first = self._atom(self.dialect.choose(f"({first} {order} {other})", first, other))
        return first

    def _ite(self, e: Any) -> str:
        condition, yes, no = (self.text(a) for a in e.args)
        return f"(({condition} & {yes}) | (({self.dialect.negate}{condition}) & {no}))"

    def _and(self, e: Any) -> str:
        return "(" + " & ".join(self.text(a) for a in e.args) + ")"

    def _or(self, e: Any) -> str:
        return "(" + " | ".join(self.text(a) for a in e.args) + ")"

    def _not(self, e: Any) -> str:
        return f"({self.dialect.negate}{self.text(e.args[0])})"


def _below(e: Any) -> bool:
    """A factor to be written under the fraction line."""
    return bool(e.is_Pow and e.exp.is_number and e.exp < 0)


def _constant(e: Any) -> str:
    if isinstance(e, Boolean):
        return str(bool(e))
    value = complex(e)
    if value.imag or not np.isfinite(value.real):
        raise ValueError(
            f"the formula contains {e}, which is not a finite real number; check square roots, logarithms and divisions of constants"
        )
    return repr(value.real)


@dataclass(frozen=True)
class Body:
    """The straight-line code of an expression: lines before the loop, lines in it, one text a component, the coordinates that occur."""

    before: list[str]
    inside: list[str]
    texts: list[str]
    used: list[int]


def body(expression: Expression, dialect: Dialect) -> Body:
    """Common subexpressions first, then one text for each component in C order."""
    theta, x = parameters(expression.count), coordinates(expression.dim)
    shared, reduced = sp.cse([sp.sympify(e) for e in expression.components.flat], symbols=sp.numbered_symbols("t"))
    outer = Writer(SCALAR, known=set(theta))
    writer = Writer(dialect, outer, known=set(x))
    for symbol, value in shared:
        writer.assign(symbol, value)
    texts = [writer.text(e) for e in reduced]
    occurring = set().union(*(e.free_symbols for e in [*(value for _, value in shared), *reduced]))
    loads = [f"{t} = theta[{i}]" for i, t in enumerate(theta) if t in occurring]
    return Body(loads + outer.lines, writer.lines, texts, [i for i, symbol in enumerate(x) if symbol in occurring])


def _indent(lines: Iterable[str], depth: int) -> str:
    return "".join("    " * depth + line + "\n" for line in lines)


def numpy_source(expression: Expression) -> str:
    """`evaluate(x[..., dim], theta) -> [..., *shape]`."""
    code = body(expression, NUMPY)
    loads = [f"x{i} = x[..., {i}]" for i in code.used]
    stores = [
        f"out[(..., {''.join(f'{i}, ' for i in index)})] = {t}"
        for index, t in zip(np.ndindex(expression.shape), code.texts, strict=True)
    ]
    make = f"out = np.empty(x.shape[:-1] + {expression.shape})"
    return f"{NUMPY.header}\n\ndef evaluate(x, theta):\n" + _indent(
        [*code.before, *loads, *code.inside, make, *stores, "return out"], 1
    )


def torch_source(expression: Expression) -> str:
    """`evaluate(x[..., dim], theta) -> [..., *shape]`, differentiable."""
    code = body(expression, TORCH)
    loads = [f"x{i} = x[..., {i}]" for i in code.used]
    cells = [f"torch.as_tensor({t}, dtype=x.dtype, device=x.device).expand(x.shape[:-1])," for t in code.texts]
    gather = [
        "cells = [",
        *["    " + c for c in cells],
        "]",
        f"return torch.stack(cells, -1).reshape(x.shape[:-1] + {expression.shape})",
    ]
    return f"{TORCH.header}\n\ndef evaluate(x, theta):\n" + _indent([*code.before, *loads, *code.inside, *gather], 1)


def block_source(expression: Expression) -> str:
    """`evaluate(x[dim, n], theta, out[size, n])`, n a multiple of `LANES`."""
    code = body(expression, BLOCK)
    stores = [f"ve.store(out, {k}, p, {t})" for k, t in enumerate(code.texts)]
    return _block("x, theta, out", code, stores)


def euler_source(expression: Expression) -> str:
    """Steps x += dt b(x) + sqrt(2 T dt) s z with s = psi (`contracts.STEP_BLOCK`), one for every `dim` rows of variates."""
    code = body(expression, BLOCK)
    dim = expression.dim
    scales = ["dt = constants[0]", "scale = constants[1]*math.sqrt(dt)", *[f"s{i} = scale*psi[{i}]" for i in range(dim)]]
    old = [f"x{i} = ve.load(x, {i}, p)" for i in range(dim) if i not in code.used]
    stores = [f"ve.store(x, {i}, p, ve.fma(ve.load(variates, row + {i}, p), s{i}, ve.fma({t}, dt, x{i})))" for i, t in enumerate(code.texts)]
    whole = Body([*code.before, *scales], [*old, *code.inside], code.texts, code.used)
    return _block("drift, theta, noise, phi, extra, psi, x, variates, work, constants", whole, stores, f"for row in range(0, variates.shape[0], {dim}):")


def noise_source(expression: Expression) -> str:
    """`evaluate(x[dim, n], theta, z[dim, n], out[dim, n])`: out = L(x) z with L L' = D(x), L lower triangular.

    A zero pivot gives a zero column (exact for semidefinite D), a negative one NaN, which the engine reports.
    """
    code = body(expression, BLOCK)
    dim = expression.dim
    texts = dict(zip(np.ndindex(expression.shape), code.texts, strict=True))
    present = {index: expression.components[index] != 0 for index in texts}
    return _block("x, theta, z, out", code, _cholesky_lines(dim, texts, present))


def _cholesky_lines(dim: int, texts: dict[tuple[int, ...], str], present: dict[tuple[int, ...], bool]) -> list[str]:
    lines = []
    for j in range(dim):
        terms = [f" - l{j}_{k}*l{j}_{k}" for k in range(j) if present[j, k]]
        lines += [
            f"d{j} = 0.0*ve.load(z, {j}, p) + {texts[j, j]}",
            f"q{j} = d{j}{''.join(terms)}",
            f"e{j} = {PIVOT_TOLERANCE}*ve.absolute(d{j})",
        ]
        lines += [f"l{j}_{j} = ve.select(q{j} > e{j}, ve.sqrt(q{j}), ve.select(q{j} >= -e{j}, 0.0, math.nan))"]
        lines += [f"r{j} = ve.select(q{j} > e{j}, 1.0/l{j}_{j}, 0.0)"]
        for i in range(j + 1, dim):
            inner = [f" - l{i}_{k}*l{j}_{k}" for k in range(j) if present[i, k] and present[j, k]]
            present[i, j] = present[i, j] or bool(inner)
            if present[i, j]:
                lines.append(f"l{i}_{j} = ({texts[i, j]}{''.join(inner)})*r{j}")
    for i in range(dim):
        terms = [f"l{i}_{j}*ve.load(z, {j}, p)" for j in range(i + 1) if j == i or present[i, j]]
        lines.append(f"ve.store(out, {i}, p, {' + '.join(terms)})")
    return lines


def _block(arguments: str, code: Body, stores: list[str], *outer: str) -> str:
    """A function that runs over the paths, inside of the `outer` loops."""
    loads = [f"x{i} = ve.load(x, {i}, p)" for i in code.used]
    text = f"{BLOCK.header}\n\ndef evaluate({arguments}):\n" + _indent(code.before, 1)
    for depth, line in enumerate([*outer, f"for p in range(0, x.shape[1], {LANES}):"], 1):
        text += _indent([line], depth)
    return text + _indent([*loads, *code.inside, *stores], len(outer) + 2)
