"""What a CUDA thread does with its path at a look: lines of code for every kind of observable.

A look k has the arguments values_k (the parameters of its quantity), constants_k (its own) and record_k (rows, paths), of which the first
rows lie in registers as state_k_0, state_k_1, ... between two launches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from sgdyn.codegen.expression import Expression
from sgdyn.codegen.writer import SCALAR, body

Values = list[str]


@dataclass(frozen=True)
class Look:
    """kind: of `KINDS`. key, make: the quantity, as of a formula; "" and None for the point itself. size: numbers that the quantity has.

    layout: of "lagged" the number of lags and the memory in looks; of "counts" (component, cells) of every axis, one after the other.
    """

    kind: str
    key: str
    make: Callable[[], Expression] | None
    size: int
    layout: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What stands for the code."""
        return f"{self.kind} {self.key} {self.size} {self.layout}"

    @property
    def state(self) -> int:
        """Rows of the record in registers."""
        m = self.size
        rows = {"products": m + m * (m + 1) // 2, "last": 1, "first": 2, "counts": 0, "arrivals": 1, "bridged": 2}
        return rows.get(self.kind, m)

    @property
    def cells(self) -> int:
        """Counters of "counts", the last for all that lies outside."""
        return prod(self.layout[1::2]) + 1 if self.kind == "counts" else 0

    @property
    def spare(self) -> int:
        """Normals of every step that it wants for itself."""
        return 2 if self.kind == "bridged" else 0

    @property
    def stops(self) -> bool:
        """Whether a path ends when it has been seen."""
        return self.kind in ("arrivals", "bridged")


def quantity(k: int, look: Look, dim: int, typed: Callable[[list[str]], list[str]]) -> list[str]:
    """The device function of a quantity, () where it is the point itself; `typed`: writes numbers in the precision of the state."""
    if look.make is None:
        return []
    code = body(look.make(), SCALAR)
    lines = typed([*code.before, *code.inside, f"return ({', '.join(code.texts)},)"])
    arguments = ", ".join(["theta", *(f"x{i}" for i in range(dim))])
    return ["@cuda.jit(device=True)", f"def quantity_{k}({arguments}):", *("    " + line for line in lines)]


def before(k: int, look: Look) -> list[str]:
    """Lines before the first step of a launch."""
    shifts = look.size if look.kind in ("sums", "products", "lagged") else 0
    loads = [f"state_{k}_{i} = record_{k}[{i}, p]" for i in range(look.state)]
    loads += [f"shift_{k}_{i} = constants_{k}[{i}]" for i in range(shifts)]
    if look.stops:
        loads += [f"if state_{k}_0 >= 0.0:", "    last = first"]
    return loads


def after(k: int, look: Look) -> list[str]:
    """Lines after the last step of a launch."""
    return [f"record_{k}[{i}, p] = state_{k}_{i}" for i in range(look.state)]


def at(k: int, look: Look, dim: int, rank: int, shared: int | None) -> list[str]:
    """Lines of a look at x0, x1, ... after the step `step`; rank: normals of the step before the spare ones.

    shared: where the counters of "counts" begin in shared memory, None where they are counted in the record itself.
    """
    point = [f"x{i}" for i in range(dim)]
    values = [f"value_{k}_{i}" for i in range(look.size)] if look.make else point
    called = [f"{', '.join(values)}, = quantity_{k}({', '.join([f'values_{k}', *point])})"] if look.make else []
    if look.kind == "counts":
        return _counts(k, look, shared)
    if look.kind == "bridged":
        return [*called, *_bridged(k, values, rank)]
    return [*called, *_KINDS[look.kind](k, look, values)]


def _state(k: int, i: int) -> str:
    return f"state_{k}_{i}"


def _where(condition: str, *lines: str) -> list[str]:
    """The lines, only where the condition holds."""
    return [f"if {condition}:", *(f"    {line}" for line in lines)]


def _sums(k: int, look: Look, values: Values) -> list[str]:
    lines = [f"gap_{k}_{i} = np.float64({value}) - shift_{k}_{i}" for i, value in enumerate(values)]
    return lines + [f"{_state(k, i)} += gap_{k}_{i}" for i in range(look.size)]


def _products(k: int, look: Look, values: Values) -> list[str]:
    pairs = [(i, j) for i in range(look.size) for j in range(i + 1)]
    products = [f"{_state(k, look.size + n)} += gap_{k}_{i}*gap_{k}_{j}" for n, (i, j) in enumerate(pairs)]
    return _sums(k, look, values) + products


def _maxima(k: int, look: Look, values: Values) -> list[str]:
    states = [(value, _state(k, i)) for i, value in enumerate(values)]
    return [line for value, best in states for line in _where(f"{value} > {best}", f"{best} = np.float64({value})")]


def _last(k: int, look: Look, values: Values) -> list[str]:
    return _where(f"{values[0]} > 0", f"{_state(k, 0)} = np.float64(step + 1)*constants_{k}[0]")


def _first(k: int, look: Look, values: Values) -> list[str]:
    reached, open_ = _state(k, 0), _state(k, 1)
    into_first = _where(f"{open_} > 0.0 and {values[0]} > 0", f"{reached}, {open_} = 1.0, 0.0")
    return into_first + _where(f"{open_} > 0.0 and {values[1]} > 0", f"{open_} = 0.0")


def _lagged(k: int, look: Look, values: Values) -> list[str]:
    """As `watchers.lagged_products`; all but the sums stands in the record below them, too much for registers."""
    m, (lags, memory) = look.size, look.layout
    heads = m + memory * m
    ring = f"{m} + looked % {memory}*{m}"
    return [
        *_sums(k, look, values),
        *(f"record_{k}[{ring} + {i}, p] = gap_{k}_{i}" for i in range(m)),
        f"for lag in range({lags}):",
        f"    past = looked - int(constants_{k}[{m} + lag])",
        "    if past == -1:",
        *(f"        record_{k}[{heads + i} + lag*{m}, p] = {_state(k, i)}" for i in range(m)),
        "    if past >= 0:",
        f"        for one in range({m}):",
        f"            now = record_{k}[{ring} + one, p]",
        f"            for other in range({m}):",
        f"                record_{k}[{heads + lags * m} + (lag*{m} + one)*{m} + other, p] += now*record_{k}[{m} + past % {memory}*{m} + other, p]",
    ]


def _counts(k: int, look: Look, shared: int | None) -> list[str]:
    axes = list(zip(look.layout[::2], look.layout[1::2], strict=True))
    lines = [
        f"place_{k}_{a} = (np.float64(x{i}) - constants_{k}[{2 * a}])*constants_{k}[{2 * a + 1}]"
        for a, (i, _) in enumerate(axes)
    ]
    inside = " and ".join(f"0.0 <= place_{k}_{a} < {cells}" for a, (_, cells) in enumerate(axes))
    cell = "0"
    for a, (_, cells) in enumerate(axes):
        cell = f"({cell}*{cells} + int(place_{k}_{a}))"
    place = f"record_{k}, (row, cell)" if shared is None else f"counters, {shared} + cell"
    return [
        *lines,
        f"cell = {look.cells - 1}",
        *_where(inside, f"cell = {cell}"),
        f"cuda.atomic.add({place}, 1)",
    ]


def _arrivals(k: int, look: Look, values: Values) -> list[str]:
    return _where(f"{values[0]} > 0", *_arrived(k))


def _arrived(k: int) -> list[str]:
    return [f"{_state(k, 0)} = np.float64(step + 1)*constants_{k}[0]", "last = step + 1"]


def _bridged(k: int, values: Values, rank: int) -> list[str]:
    """As `watchers.bridged_arrivals`."""
    first, second, speed = f"np.float64(z{rank})", f"np.float64(z{rank + 1})", f"constants_{k}[1]"
    touched = f"({first}*{first} + {second}*{second})*({values[1]}*{speed}) > 4.0*{_state(k, 1)}*{values[0]}"
    arrived = _where(f"{values[0]} > 0 or ({_state(k, 1)} < 0.0 and {touched})", *_arrived(k))
    return [*arrived, f"{_state(k, 1)} = np.float64({values[0]})"]


_KINDS: dict[str, Callable[[int, Look, Values], list[str]]] = {
    "sums": _sums, "products": _products, "maxima": _maxima, "last": _last, "first": _first, "lagged": _lagged, "arrivals": _arrivals,
}  # fmt: skip
