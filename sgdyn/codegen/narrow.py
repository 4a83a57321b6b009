"""What vector values of 32-bit numbers can do besides arithmetic."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sgdyn.codegen.vector import (
    BROAD_FLOAT,
    BROAD_WORD,
    FLOAT,
    FLOAT32,
    LANES,
    LLVM_TYPES,
    MASK32,
    WORD,
    WORD32,
    Vector,
    call_intrinsic,
    instruction,
    shuffled,
)


@instruction(FLOAT32, FLOAT32, FLOAT32, FLOAT32)
def fma32(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once."""
    return call_intrinsic(builder, "fma", x, y, z)


@instruction(FLOAT32, FLOAT32)
def sqrt32(builder: Any, x: Any) -> Any:
    """The square root; NaN below zero."""
    return call_intrinsic(builder, "sqrt", x)


@instruction(FLOAT32, MASK32, FLOAT32, FLOAT32)
def select32(builder: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where mask, y elsewhere."""
    return builder.select(mask, x, y)


@instruction(WORD32, FLOAT32)
def bits32(builder: Any, x: Any) -> Any:
    """The IEEE 754 words of 32 floats."""
    return builder.bitcast(x, LLVM_TYPES[WORD32])


@instruction(FLOAT32, WORD32)
def from_bits32(builder: Any, x: Any) -> Any:
    """32 floats from their IEEE 754 words."""
    return builder.bitcast(x, LLVM_TYPES[FLOAT32])


@instruction(WORD32, WORD32, WORD32)
def shift_signed(builder: Any, x: Any, n: Any) -> Any:
    """x >> n of two's-complement integers, the sign repeated."""
    return builder.ashr(x, n)


@instruction(FLOAT32, WORD32)
def signed_float(builder: Any, x: Any) -> Any:
    """Two's-complement integers as floats."""
    return builder.sitofp(x, LLVM_TYPES[FLOAT32])


@intrinsic
def store_pairs(context: Any, array: Any, row: Any, position: Any, words: Any) -> Any:
    """Store the low halves of eight even-numbered and then eight odd-numbered words in their natural order; not bounds-checked."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        merged = _merged(
            builder, *(shuffled(builder, values[3], [half + i for i in range(LANES)]) for half in (0, LANES))
        )
        place = _place(inner, builder, array, *values[:3])
        builder.store(merged, builder.bitcast(place, merged.type.as_pointer()), align=4)
        return inner.get_dummy_value()

    return types.void(array, types.int64, types.int64, BROAD_WORD), lower


@intrinsic
def store_low(context: Any, array: Any, row: Any, position: Any, words: Any) -> Any:
    """Store the low halves of sixteen words; not bounds-checked."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        low = builder.trunc(values[3], ir.VectorType(ir.IntType(32), 2 * LANES))
        place = _place(inner, builder, array, *values[:3])
        builder.store(low, builder.bitcast(place, low.type.as_pointer()), align=4)
        return inner.get_dummy_value()

    return types.void(array, types.int64, types.int64, BROAD_WORD), lower


def _place(context: Any, builder: Any, array: Any, value: Any, row: Any, position: Any) -> Any:
    """Where `array[row, position]` stands."""
    view = context.make_array(array)(context, builder, value)
    return builder.gep(view.data, [builder.add(builder.mul(row, builder.extract_value(view.shape, 1)), position)])


def _merged(builder: Any, even: Any, odd: Any) -> Any:
    low, half = (ir.Constant(LLVM_TYPES[WORD], [number] * LANES) for number in (0xFFFFFFFF, 32))
    words = builder.or_(builder.and_(even, low), builder.shl(odd, half))
    return builder.bitcast(words, ir.VectorType(ir.IntType(32), 2 * LANES))


def _quarter(result: Vector, operand: Vector, number: int, extend: str) -> Any:
    """Eight of 32 numbers, with twice the bits."""

    @instruction(result, operand)
    def quarter(builder: Any, x: Any) -> Any:
        part = shuffled(builder, x, list(range(number * LANES, (number + 1) * LANES)))
        return getattr(builder, extend)(part, LLVM_TYPES[result])

    return quarter


float_quarters = tuple(_quarter(FLOAT, FLOAT32, number, "fpext") for number in range(4))
word_quarters = tuple(_quarter(WORD, WORD32, number, "zext") for number in range(4))


@instruction(FLOAT32, FLOAT, FLOAT, FLOAT, FLOAT)
def narrowed(builder: Any, first: Any, second: Any, third: Any, fourth: Any) -> Any:
    """32 floats from four times eight, rounded."""
    kind = ir.VectorType(ir.FloatType(), LANES)
    parts = [builder.fptrunc(part, kind) for part in (first, second, third, fourth)]
    both = [_joined(builder, *parts[:2]), _joined(builder, *parts[2:])]
    return _joined(builder, *both)


def _joined(builder: Any, first: Any, second: Any) -> Any:
    count = first.type.count + second.type.count
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count))))


@intrinsic
def load_widened(context: Any, array: Any, row: Any, position: Any) -> Any:
    """`array[row, position : position + LANES]` of a C-contiguous float32 array as eight floats of 64 bits; not bounds-checked."""
    return _widening(FLOAT, array)


@intrinsic
def load_widened_broad(context: Any, array: Any, row: Any, position: Any) -> Any:
    """`array[row, position : position + 2 * LANES]` as floats of 64 bits."""
    return _widening(BROAD_FLOAT, array)


def _widening(vector: Vector, array: Any) -> Any:
    """The signature of such a load and what lowers it."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), vector.lanes)
        place = builder.bitcast(_place(inner, builder, array, *values), kind.as_pointer())
        return builder.fpext(builder.load(place, align=4), LLVM_TYPES[vector])

    return vector(array, types.int64, types.int64), lower
