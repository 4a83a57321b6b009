"""Vector values for Numba: eight paths in one variable.

LLVM's loop vectoriser gives up on straight-line code over more than about eight rows (it cannot prove that they are disjoint) and
on loops that mix 32- and 64-bit lanes. Code written on these types is vector code whatever its length: `a * b + 1.0` on two `FLOAT`s is
eight multiply-adds, split by LLVM into whatever registers the machine has.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import models, register_model
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

LANES = 8
"""Paths in one vector value: two AVX2 registers (enough independent work to hide latency), or one AVX-512 register."""


class Vector(types.Type):
    """`LANES` numbers of one scalar Numba type; four times as many where they have 32 bits, whose long chains of operations need more
    independent work beside them to hide their latency."""

    def __init__(self, element: Any, lanes: int = 0) -> None:
        self.element = element
        self.lanes = lanes or (LANES if element.bitwidth == 64 else 4 * LANES)
        super().__init__(name=f"Vector({element}, {self.lanes})")


FLOAT, WORD, MASK = Vector(types.float64), Vector(types.uint64), Vector(types.boolean, LANES)
FLOAT32, WORD32, MASK32 = Vector(types.float32), Vector(types.uint32), Vector(types.boolean, 4 * LANES)
BROAD_FLOAT, BROAD_WORD, BROAD_MASK = (Vector(kind, 2 * LANES) for kind in (types.float64, types.uint64, types.boolean))
BROADER = {FLOAT: BROAD_FLOAT, WORD: BROAD_WORD, MASK: BROAD_MASK}
"""Twice the paths, for the hottest loops: four AVX2 registers side by side hide the latency of one another better than two."""

_ELEMENTS = (
    (FLOAT, ir.DoubleType()), (WORD, ir.IntType(64)), (MASK, ir.IntType(1)),
    (BROAD_FLOAT, ir.DoubleType()), (BROAD_WORD, ir.IntType(64)), (BROAD_MASK, ir.IntType(1)),
    (FLOAT32, ir.FloatType()), (WORD32, ir.IntType(32)), (MASK32, ir.IntType(1)),
)  # fmt: skip
LLVM_TYPES = {kind: ir.VectorType(element, kind.lanes) for kind, element in _ELEMENTS}


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, LLVM_TYPES[vector])


@lower_cast(types.Boolean, Vector)
@lower_cast(types.Number, Vector)
def _cast_number(context: Any, builder: Any, source: Any, target: Vector, value: Any) -> Any:
    return _splat(builder, target, context.cast(builder, value, source, target.element))


def _splat(builder: Any, vector: Vector, scalar: Any) -> Any:
    """Copies of an LLVM scalar in all lanes."""
    kind, lanes = LLVM_TYPES[vector], vector.lanes
    if isinstance(scalar, ir.Constant):
        return ir.Constant(kind, [scalar.constant] * lanes)
    undefined, index = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, scalar, ir.Constant(index, 0))
    return shuffled(builder, first, [0] * lanes)


def shuffled(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """The numbers of an LLVM vector at these lanes."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _accepts(wanted: tuple[Vector, ...], given: tuple[Any, ...]) -> bool:
    """One vector at least, the others the wanted vector or a number to be splatted."""
    if len(wanted) != len(given) or not any(isinstance(g, Vector) for g in given):
        return False
    return all(
        g == w or isinstance(g, types.Boolean if w.element == types.boolean else types.Number)
        for w, g in zip(wanted, given, strict=True)
    )


def _teach(function: Any, result: Vector, arguments: tuple[Vector, ...], emit: Callable[..., Any]) -> None:
    """Let Numba compile `function(*arguments)` to the LLVM instructions of `emit(builder, *values)`."""

    @infer_global(function)
    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, given: tuple[Any, ...], keywords: Any) -> Any:
            return signature(result, *arguments) if _accepts(arguments, given) else None

    @lower_builtin(function, *arguments)
    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return emit(builder, *values)


def instruction(result: Vector, *arguments: Vector) -> Callable[[Callable[..., Any]], Any]:
    """The decorated emitter becomes a function that compiled code can call, on broad vectors as well; plain numbers among its arguments
    are splatted."""

    def decorate(emit: Callable[..., Any]) -> Any:
        def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            return emit(builder, *values)

        def typed(context: Any, *given: Any) -> Any:
            for kinds in ((result, *arguments), tuple(BROADER.get(kind, kind) for kind in (result, *arguments))):
                if _accepts(kinds[1:], given):
                    return kinds[0](*kinds[1:]), lower
            return None

        return intrinsic(wraps(emit)(typed))

    return decorate


def _operators(result: Vector, operand: Vector, arity: int, methods: dict[Any, str]) -> None:
    for function, method in methods.items():
        _teach(function, result, (operand,) * arity, lambda b, *values, method=method: getattr(b, method)(*values))


_REAL = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
_INTEGER = {operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.lshift: "shl", operator.rshift: "lshr"}  # fmt: skip
_LOGICAL = {operator.and_: "and_", operator.or_: "or_", operator.xor: "xor"}
_ORDERS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}
for _float, _word, _mask in ((FLOAT, WORD, MASK), (BROAD_FLOAT, BROAD_WORD, BROAD_MASK), (FLOAT32, WORD32, MASK32)):
    _operators(_float, _float, 2, _REAL)
    _operators(_float, _float, 1, {operator.neg: "fneg"})
    _operators(_word, _word, 2, _INTEGER | _LOGICAL)
    _operators(_mask, _mask, 2, _LOGICAL)
    _operators(_mask, _mask, 1, {operator.invert: "not_"})
    for _function, _order in _ORDERS.items():
        _teach(_function, _mask, (_float, _float), lambda b, x, y, order=_order: b.fcmp_ordered(order, x, y))
    _teach(operator.ne, _mask, (_word, _word), lambda b, x, y: b.icmp_unsigned("!=", x, y))
    _teach(operator.ne, _mask, (_float, _float), lambda b, x, y: b.fcmp_unordered("!=", x, y))


def call_intrinsic(builder: Any, name: str, *values: Any) -> Any:
    """An LLVM floating-point intrinsic on whole vectors."""
    kind = values[0].type
    full = f"llvm.{name}.v{kind.count}f{64 if kind.element == ir.DoubleType() else 32}"
    function = builder.module.globals.get(full) or ir.Function(
        builder.module, ir.FunctionType(kind, [kind] * len(values)), full
    )
    return builder.call(function, values)


@instruction(FLOAT, FLOAT, FLOAT, FLOAT)
def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once."""
    return call_intrinsic(builder, "fma", x, y, z)


@instruction(FLOAT, FLOAT)
def sqrt(builder: Any, x: Any) -> Any:
    """The square root; NaN below zero."""
    return call_intrinsic(builder, "sqrt", x)


@instruction(FLOAT, FLOAT)
def absolute(builder: Any, x: Any) -> Any:
    """|x|."""
    return call_intrinsic(builder, "fabs", x)


@instruction(FLOAT, FLOAT)
def nearest(builder: Any, x: Any) -> Any:
    """The nearest integer, ties to even."""
    return call_intrinsic(builder, "rint", x)


@instruction(FLOAT, FLOAT, FLOAT)
def copysign(builder: Any, x: Any, y: Any) -> Any:
    """|x| with the sign of y."""
    return call_intrinsic(builder, "copysign", x, y)


@instruction(FLOAT, MASK, FLOAT, FLOAT)
def select(builder: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where mask, y elsewhere."""
    return builder.select(mask, x, y)


@instruction(WORD, FLOAT)
def bits(builder: Any, x: Any) -> Any:
    """The IEEE 754 words of floats."""
    return builder.bitcast(x, ir.VectorType(ir.IntType(64), x.type.count))


@instruction(FLOAT, WORD)
def from_bits(builder: Any, x: Any) -> Any:
    """Floats from their IEEE 754 words."""
    return builder.bitcast(x, ir.VectorType(ir.DoubleType(), x.type.count))


@intrinsic
def any_of(context: Any, mask: Any) -> Any:
    """True if one lane is."""

    def lower(_: Any, builder: Any, sig: Any, values: Any) -> Any:
        word = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("!=", builder.bitcast(values[0], word), ir.Constant(word, 0))

    return types.boolean(mask), lower


@intrinsic
def lanes(context: Any, vector: Any) -> Any:
    """How many numbers there are in a vector."""
    return types.int64(vector), lambda _, builder, sig, values: ir.Constant(ir.IntType(64), vector.lanes)


@intrinsic
def lane(context: Any, vector: Any, index: Any) -> Any:
    """One number of a vector."""

    def lower(_: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.extract_element(*values)

    return vector.element(vector, types.int64), lower


@intrinsic
def with_lane(context: Any, vector: Any, index: Any, value: Any) -> Any:
    """The same numbers with the one at `index` replaced."""

    def lower(_: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.insert_element(values[0], values[2], values[1])

    return vector(vector, types.int64, vector.element), lower


def _address(context: Any, builder: Any, array: Any, value: Any, index: Any, vector: Vector) -> Any:
    """Where the vector at `array[row, position]` stands."""
    view = context.make_array(array)(context, builder, value)
    place = builder.add(builder.mul(index[0], builder.extract_value(view.shape, 1)), index[1])
    return builder.bitcast(builder.gep(view.data, [place]), LLVM_TYPES[vector].as_pointer())


@intrinsic
def load(context: Any, array: Any, row: Any, position: Any) -> Any:
    """`array[row, position : position + LANES]` of a C-contiguous 2-D array; not bounds-checked."""

    return _loading(Vector(array.dtype), array)


@intrinsic
def load_broad(context: Any, array: Any, row: Any, position: Any) -> Any:
    """`array[row, position : position + 2 * LANES]` of numbers of 64 bits."""
    return _loading(Vector(array.dtype, 2 * LANES), array)


def _loading(vector: Vector, array: Any) -> Any:
    """The signature of a load and what lowers it."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        place = _address(inner, builder, array, values[0], values[1:], vector)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return vector(array, types.int64, types.int64), lower


@intrinsic
def item(context: Any, array: Any, position: Any) -> Any:
    """`array[position]` of a contiguous array, flattened; not bounds-checked, and negative numbers do not count from the end."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        view = inner.make_array(array)(inner, builder, values[0])
        return builder.load(builder.gep(view.data, [values[1]]))

    return array.dtype(array, types.int64), lower


@intrinsic
def put(context: Any, array: Any, position: Any, value: Any) -> Any:
    """Set what `item` reads, to the precision of the array."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        view = inner.make_array(array)(inner, builder, values[0])
        builder.store(inner.cast(builder, values[2], value, array.dtype), builder.gep(view.data, [values[1]]))
        return inner.get_dummy_value()

    return types.void(array, types.int64, value), lower


@intrinsic
def store(context: Any, array: Any, row: Any, position: Any, vector: Any) -> Any:
    """`array[row, position : position + LANES] = vector`, as many as it has lanes, or a number in `LANES` places; not bounds-checked."""
    kind = vector if isinstance(vector, Vector) else Vector(array.dtype)

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        place = _address(inner, builder, array, values[0], values[1:3], kind)
        builder.store(values[3], place, align=array.dtype.bitwidth // 8)
        return inner.get_dummy_value()

    return types.void(array, types.int64, types.int64, kind), lower
