"""Fields written down in symbols, with the machine code made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen import contracts, jit

if TYPE_CHECKING:
    from sgdyn.codegen.expression import Expression

Floats = NDArray[np.float64]

UNROLLED = 64
"""Up to this many components a formula becomes straight-line block code; above, NumPy code."""


class Once:
    """A function without arguments that is called at most once."""

    def __init__(self, function: Callable[[], Expression]) -> None:
        self.function = function

    def __call__(self) -> Expression:
        return self.result

    @cached_property
    def result(self) -> Expression:
        return self.function()


@dataclass(frozen=True, eq=False)
class Formula:
    """A field with its symbols. `key` names its content; `make` gives the symbols and is called only where no code is cached.

    clocks: the places in theta of parameters called `t`, which simulations set to the time.
    """

    dim: int
    shape: tuple[int, ...]
    theta: Floats
    key: str
    make: Callable[[], Expression]
    clocks: tuple[int, ...] = ()

    def __call__(self, x: ArrayLike) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # both branches of np.where are evaluated
            values: Floats = _evaluator("numpy", self)(checks.points(x, self.dim), self.theta)
        return values

    def __getstate__(self) -> dict[str, Any]:
        """What is written down, without the compiled code: another process finds that on disk."""
        return {name: getattr(self, name) for name in ("dim", "shape", "theta", "key", "make", "clocks")}

    def torch(self, x: Any) -> Any:
        """The field at a torch tensor (..., dim); torch.autograd and torch.func differentiate it."""
        return _evaluator("torch", self)(x, self.theta.tolist())

    @cached_property
    def block(self) -> Any:
        """The compiled block function (`jit.FIELD_BLOCK`), None above `UNROLLED` components."""
        small = max(self.dim, int(np.prod(self.shape))) <= UNROLLED
        return _evaluator("block", self) if small else None

    @cached_property
    def noise_block(self) -> Any:
        """Of a matrix field D: the compiled `noise(x, theta, z, out)`, out = L(x) z with L L' = D (`jit.NOISE_BLOCK`)."""
        return _evaluator("noise", self) if int(np.prod(self.shape)) <= UNROLLED else None

    @cached_property
    def factor_block(self) -> Any:
        """Of a matrix field sigma (dim, rank): the compiled `noise(x, theta, z, out)`, out = sigma(x) z (`jit.NOISE_BLOCK`)."""
        return _evaluator("factor", self) if int(np.prod(self.shape)) <= UNROLLED else None

    def euler_block(self) -> Any:
        """Of a drift: the compiled Euler-Maruyama step for diagonal noise (`contracts.STEP_BLOCK`), drift and update in one pass."""
        return _evaluator("euler", self)

    def narrow_block(self) -> Any:
        """The same step for blocks of `LANES` paths."""
        return _evaluator("narrow", self)

    def lean_block(self, precision: str) -> Any:
        """Of a drift: the compiled Euler-Maruyama steps for diagonal noise from float32 normals (`contracts.LEAN_STEPS`)."""
        return _evaluator("lean" if precision == "float64" else "lean32", self)

    @cached_property
    def dependence(self) -> NDArray[np.bool_]:
        """Which components contain which coordinates, as they are written down: (*shape, dim)."""
        return self.make().dependence()

    def gradient(self) -> Formula:
        """The field of derivatives, index of differentiation last."""
        return self.derived("gradient", (*self.shape, self.dim), lambda e: e.derivative())

    def trace(self) -> Formula:
        """The sum over the last two indices set equal."""
        return self.derived("trace", self.shape[:-2], lambda e: e.trace())

    def negated(self) -> Formula:
        """Minus the field."""
        return combined("negative", [self], self.shape, lambda f: -f)

    def in_phase_space(self, friction: float) -> Formula:
        """Of a gradient: the drift (v, -grad U(x) - friction v) at the points (x, v)."""

        def make() -> Expression:
            from sgdyn.codegen.expression import Expression, coordinates, parameters

            force = self.make()
            v, (gamma,) = np.array(coordinates(2 * self.dim)[self.dim :], dtype=object), parameters(1, force.count)
            return Expression(2 * self.dim, force.count + 1, np.concatenate([v, -force.components - gamma * v]))

        theta = np.append(self.theta, friction)
        return Formula(2 * self.dim, (2 * self.dim,), theta, _digest(self.key, "phase space"), Once(make), self.clocks)

    def derived(self, name: str, shape: tuple[int, ...], rule: Callable[[Expression], Expression]) -> Formula:
        """Another field with the same parameters, by a rule on expressions that `name` stands for."""
        return replace(self, shape=shape, key=_digest(self.key, name), make=Once(lambda: rule(self.make())))


_LOADED: dict[tuple[str, str], Any] = {}
_SIGNATURES = {
    "block": jit.FIELD_BLOCK.signature,
    "noise": jit.NOISE_BLOCK.signature,
    "factor": jit.NOISE_BLOCK.signature,
    "euler": contracts.STEP_BLOCK.signature,
    "narrow": contracts.STEP_BLOCK.signature,
    "lean": contracts.LEAN_STEPS["float64"].signature,
    "lean32": contracts.LEAN_STEPS["float32"].signature,
}


def _evaluator(kind: str, formula: Formula) -> Any:
    """The function generated for a formula: from memory, from disk, or made now."""
    if (kind, formula.key) not in _LOADED:
        path = jit.cache_directory() / f"{kind}_{formula.key[:32]}_{jit.fingerprint()}.py"
        if not path.exists():
            from sgdyn.codegen import emit

            jit.write_once(path, getattr(emit, f"{kind}_source")(formula.make()))
        function = jit.load(path).evaluate
        _LOADED[kind, formula.key] = jit.compiled(function, _SIGNATURES[kind]) if kind in _SIGNATURES else function
    return _LOADED[kind, formula.key]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def traced(function: Callable[..., Any], dim: int, given: Mapping[str, Floats] | None = None) -> Formula:
    """The formula of a plain NumPy function of x (dim,) whose keyword defaults, or `given` values, are its parameters."""
    from sgdyn.codegen import expression

    values = dict(given) if given is not None else expression.defaults(function)
    written = expression.trace(function, dim, values)
    return Formula(dim, written.shape, expression.flattened(values), written.digest(), lambda: written, _clocks(values))


def _clocks(values: Mapping[str, Floats]) -> tuple[int, ...]:
    """Where a number called t stands among the parameters."""
    names = list(values)
    if "t" not in names or np.size(values["t"]) != 1:
        return ()
    return (sum(np.size(values[name]) for name in names[: names.index("t")]),)


def combined(
    name: str, fields: Sequence[Formula], shape: tuple[int, ...], rule: Callable[..., Any], extra: Sequence[float] = ()
) -> Formula:
    """A field whose components are `rule(*components of the fields, *symbols for extra)`; `name` stands for the rule in the cache."""

    def make() -> Expression:
        from sgdyn.codegen.expression import Expression, parameters

        starts = np.cumsum([0, *[f.theta.size for f in fields]])
        symbols = parameters(len(extra), first=int(starts[-1]))
        parts = [f.make().shifted(int(s)) for f, s in zip(fields, starts[:-1], strict=True)]
        return Expression(fields[0].dim, int(starts[-1]) + len(extra), np.asarray(rule(*parts, *symbols), dtype=object))

    theta = np.concatenate([*[f.theta for f in fields], np.asarray(extra, dtype=np.float64)])
    sizes = " ".join(str(f.theta.size) for f in fields)
    key = _digest("combined", name, str(shape), sizes, str(len(extra)), *[f.key for f in fields])
    starts = np.cumsum([0, *[f.theta.size for f in fields]])
    clocks = tuple(int(start) + clock for f, start in zip(fields, starts, strict=False) for clock in f.clocks)
    return Formula(fields[0].dim, shape, theta, key, Once(make), clocks)


def constants(values: ArrayLike, dim: int) -> Formula:
    """A field that is the same everywhere; its values are parameters, so that new values compile nothing."""
    array = np.asarray(values, dtype=np.float64)
    return traced(lambda x, values: values, dim, {"values": array})
