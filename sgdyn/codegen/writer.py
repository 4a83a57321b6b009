"""From expressions to lines of code, in the dialects of NumPy, torch, block functions and plain Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean

from sgdyn.codegen.expression import Expression, coordinates, parameters

_FUNCTIONS = {
    "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "expm1": "expm1", "log1p": "log1p",
    "erf": "erf", "erfc": "erfc",
}  # fmt: skip
_MATH = {name: "a" + name[3:] for name in _FUNCTIONS.values() if name.startswith("arc")}


_TORCH_HEADER = """import math
import torch


def number(x, value):
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def choose(x, condition, a, b):
    return torch.where(torch.as_tensor(condition, device=x.device), number(x, a), number(x, b))
"""


@dataclass(frozen=True)
class Dialect:
    """How one target spells what the formulas say."""

    header: str
    function: Callable[[str], str]
    root: str
    power: str
    choose: Callable[[str, str, str], str]
    negate: str = "~"
    argument: Callable[[str], str] = str


NUMPY = Dialect(
    "import math\nimport numpy as np\nfrom scipy import special\n", lambda n: f"special.{n}" if n in ("erf", "erfc") else f"np.{n}",
    "np.sqrt", "np.power", lambda c, a, b: f"np.where({c}, {a}, {b})")  # fmt: skip
TORCH = Dialect(
    _TORCH_HEADER, lambda n: f"torch.{n}", "torch.sqrt", "torch.pow",
    lambda c, a, b: f"choose(x, {c}, {a}, {b})", argument=lambda a: f"number(x, {a})")  # fmt: skip
BLOCK = Dialect(
    "import math\nfrom sgdyn.codegen import elementary as el, narrow as na, vector as ve\n", lambda n: f"el.{n}", "ve.sqrt", "el.power",
    lambda c, a, b: f"ve.select({c}, {a}, {b})")  # fmt: skip
BLOCK32 = Dialect(
    "import math\nfrom sgdyn.codegen import elementary32 as el, narrow as na, vector as ve\n", lambda n: f"el.{n}", "na.sqrt32", "el.power",
    lambda c, a, b: f"na.select32({c}, {a}, {b})")  # fmt: skip
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
        return f"{self.dialect.function(name)}({', '.join(self.dialect.argument(self.text(a)) for a in e.args)})"

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


@dataclass
class GuardedWriter(Writer):
    """For automatic differentiation: in each branch of a choice the coordinates are 1 where the branch is not taken.

    Otherwise the derivative of what is not taken, where it is infinite or NaN, would be multiplied by zero and added. Every
    subexpression has a line of its own, for each nest of branches that can be hurt.
    """

    guards: tuple[str, ...] = ()
    written: dict[tuple[Any, tuple[str, ...]], str] = field(default_factory=dict)

    def text(self, e: Any) -> str:
        if (e, self.guards) not in self.written:
            self.written[e, self.guards] = self._coordinate(e) if e in self.known else self._line(super().text(e))
        return self.written[e, self.guards]

    def _line(self, text: str) -> str:
        return text if text.isidentifier() else self._new(text)

    def _coordinate(self, symbol: Any) -> str:
        if not self.guards:
            return str(symbol.name)
        *outer, inner = self.guards
        return self._new(self.dialect.choose(inner, self._under(tuple(outer), symbol), "1.0"))

    def _under(self, guards: tuple[str, ...], e: Any) -> str:
        before, self.guards = self.guards, guards
        text = self.text(e)
        self.guards = before
        return text

    def _piecewise(self, e: Any) -> str:
        before, parts = self.guards, []
        others: tuple[str, ...] = before
        for value, condition in e.args:
            chosen = self._new(f"torch.as_tensor({self.text(condition)}, device=x.device)")
            guards = (*others, chosen) if condition != sp.true else others
            guards = guards if _can_hurt(value) and len(guards) <= MOST_GUARDS else before
            parts.append((chosen, self._under(guards, value)))
            others = (*others, self._new(f"~{chosen}"))
        text = parts[-1][1]
        for chosen, value in reversed(parts[:-1]):
            text = self.dialect.choose(chosen, value, text)
        return text


MOST_GUARDS = 8
"""Choices nested deeper share their lines, or there would be two copies for every level."""


@lru_cache(maxsize=100_000)
def _can_hurt(e: Any) -> bool:
    """Whether the expression may have an infinite derivative or none somewhere."""
    whole = e.is_Pow and e.exp.is_Integer and e.exp > 0
    return not (whole or e.is_Atom or isinstance(e, _HARMLESS)) or any(_can_hurt(a) for a in e.args)


_HARMLESS = (
    sp.Add, sp.Mul, sp.sin, sp.cos, sp.tanh, sp.atan, sp.erf, sp.erfc, sp.Piecewise, ExprCondPair, sp.Max, sp.Min, sp.Abs, Boolean
)  # fmt: skip


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
    components = [sp.sympify(e) for e in expression.components.flat]
    # What depends on parameters alone must not raise where it is infinite: math.log(0.0) does, compiled or in NumPy it does not.
    outer = Writer(SCALAR if dialect in (BLOCK, BLOCK32) else dialect, known=set(theta))
    writer = (GuardedWriter if dialect is TORCH else Writer)(dialect, outer, known=set(x))
    shared, reduced = ([], components) if dialect is TORCH else sp.cse(components, symbols=sp.numbered_symbols("t"))
    for symbol, value in shared:
        writer.assign(symbol, value)
    texts = [writer.text(e) for e in reduced]
    occurring = set().union(*(e.free_symbols for e in components))
    loads = [f"{t} = theta[{i}]" for i, t in enumerate(theta) if t in occurring]
    return Body(loads + outer.lines, writer.lines, texts, [i for i, symbol in enumerate(x) if symbol in occurring])
