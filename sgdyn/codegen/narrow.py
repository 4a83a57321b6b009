"""What vector values of 32-bit numbers can do besides arithmetic."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sgdyn.codegen.vector import (
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


@instruction(WORD32, WORD, WORD, WORD, WORD)
def interleaved(builder: Any, even: Any, odd: Any, next_even: Any, next_odd: Any) -> Any:
    """The low halves of words in their natural order: eight even-numbered, eight odd-numbered, and the next sixteen."""
    both = [_merged(builder, even, odd), _merged(builder, next_even, next_odd)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), 4 * LANES), list(range(4 * LANES)))
    return builder.shuffle_vector(*both, mask)


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

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        view = inner.make_array(array)(inner, builder, values[0])
        index = builder.add(builder.mul(values[1], builder.extract_value(view.shape, 1)), values[2])
        place = builder.bitcast(builder.gep(view.data, [index]), ir.VectorType(ir.FloatType(), LANES).as_pointer())
        return builder.fpext(builder.load(place, align=4), LLVM_TYPES[FLOAT])

    return FLOAT(array, types.int64, types.int64), lower
