"""What the compiled pieces of a step promise each other.

The engine is compiled once. It is handed, as first-class functions, what differs between problems and methods: the drift, the noise,
a step of the method, and what is to be watched. One call serves a block of some hundred paths, so that calls cost nothing.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sgdyn.codegen.jit import FIELD_BLOCK, MATRIX, MATRIX32, NOISE_BLOCK, VECTOR, VECTOR32

FIELDS = (FIELD_BLOCK, VECTOR, NOISE_BLOCK, VECTOR, FIELD_BLOCK, VECTOR)
"""drift, theta, noise, phi, extra, psi: the last two are whatever more a method asks for (a Jacobian, a potential, matrices)."""

STEP_SIGNATURE = (*FIELDS, MATRIX, MATRIX, MATRIX, VECTOR)
STEP_BLOCK = types.FunctionType(types.void(*STEP_SIGNATURE))
"""`step(drift, theta, noise, phi, extra, psi, x, variates, work, constants)`: one step of x (dim, n) in place.

variates (rows, n) are standard normals (or what the method's gatherer makes of them); work (rows, n) is room; constants begin with
(dt, sqrt(2 T)), the method's own follow.
"""

LEAN_STEPS = {
    "float64": types.FunctionType(types.void(VECTOR, VECTOR, MATRIX, MATRIX32, MATRIX, VECTOR)),
    "float32": types.FunctionType(types.void(VECTOR, VECTOR32, MATRIX32, MATRIX32, MATRIX32, VECTOR)),
}
"""`steps(theta, psi, x, z, work, constants)`: steps of x (dim, n) in place, one for every so many rows of the float32 normals z, by the
precision of x; theta, psi, work and constants as those of `STEP_BLOCK`.
"""

GATHER_SIGNATURE = (MATRIX, MATRIX, types.int64, types.int64)
GATHER_BLOCK = types.FunctionType(types.void(*GATHER_SIGNATURE))
"""`gather(fresh, variates, i, refine)`: what the normals of the i-th of `refine` fine steps add to the variates of the step."""

WATCH_SIGNATURE = (MATRIX, types.int64, types.float64, FIELD_BLOCK, VECTOR, MATRIX, MATRIX)
WATCH_BLOCK = types.FunctionType(types.boolean(*WATCH_SIGNATURE))
"""`watch(x, step, dt, field, psi, spare, record)`: look at x after so many steps; when no watcher wants more, the block stops.

field, psi: what the watcher asked for, its own parameters after the field's. spare (rows, n): normals of the step that the method did
not use. record (rows, n): what it writes.
"""

CONFINE_SIGNATURE = (MATRIX, VECTOR)
CONFINE_BLOCK = types.FunctionType(types.void(*CONFINE_SIGNATURE))
"""`confine(x, limits)`: put paths that have left the domain where the boundary sends them."""


def address(function: Any, kind: types.FunctionType) -> int:
    """Where the machine code of a compiled function begins; Numba takes a tenth of a millisecond to find that out."""
    if (function, kind) not in _ADDRESSES:
        result = function.get_compile_result(kind.signature)
        _ADDRESSES[function, kind] = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
    return _ADDRESSES[function, kind]


_ADDRESSES: dict[tuple[Any, types.FunctionType], int] = {}


def function_at(kind: types.FunctionType) -> Any:
    """An intrinsic that makes a first-class function of an address in compiled code."""

    @intrinsic
    def made(context: Any, place: Any) -> Any:
        def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
            function = cgutils.create_struct_proxy(kind)(inner, builder)
            function.jit_addr = builder.inttoptr(values[0], inner.get_value_type(types.voidptr))
            return function._getvalue()

        return kind(types.int64), lower

    return made


@intrinsic
def call_address(context: Any, address: Any, number: Any, x: Any, z: Any, out: Any) -> Any:
    """Call the C function at an address with a number and, of each matrix, where it begins and how many rows it has; then the columns."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        word, arguments = ir.IntType(64), [values[1]]
        for kind, value in zip((x, z, out), values[2:], strict=True):
            view = inner.make_array(kind)(inner, builder, value)
            arguments += [builder.ptrtoint(view.data, word), builder.extract_value(view.shape, 0)]
        arguments.append(builder.extract_value(view.shape, 1))
        function = ir.FunctionType(ir.VoidType(), [word] * len(arguments))
        builder.call(builder.inttoptr(values[0], function.as_pointer()), arguments)
        return inner.get_dummy_value()

    return types.void(types.int64, types.int64, x, z, out), lower
