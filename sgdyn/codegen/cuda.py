"""CUDA kernels of Euler-Maruyama steps, one thread a path: source from the same formulas as the vector code, all of it in registers.

One module for each (drift, kind of D, precision, kind of normals), with two kernels: `saving` stores points at chosen steps, `summing`
adds up x and x x' over steps and over the threads of a block.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from sgdyn.codegen import jit
from sgdyn.codegen.emit import cholesky
from sgdyn.codegen.expression import Expression
from sgdyn.codegen.writer import SCALAR, body

THREADS = 128
"""Threads of a block, a power of two."""
HOISTED = 64
"""Up to so many parameters are kept in registers; of more, each is loaded where it is used."""
GROUPS = {"double": 2, "single": 4}
"""Steps that one Philox call serves, by the kind of normals."""

_NUMBER = re.compile(r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|math\.nan)")
_HEADER = '''import math
import numpy as np
from numba import cuda
from sgdyn.sde.cuda_variates import {noise}_normals as normals

real = np.{precision}


@cuda.jit(device=True)
def block_sum(room, value):
    """The sum over the threads of a block, always in the same order."""
    i = cuda.threadIdx.x
    room[i] = value
    cuda.syncthreads()
    width = cuda.blockDim.x // 2
    while width > 0:
        if i < width:
            room[i] += room[i + width]
        cuda.syncthreads()
        width //= 2
    total = room[0]
    cuda.syncthreads()
    return total
'''
_FIELDS = "theta, phi, dt, scales, k0, k1, numbers, x, first, last"


@dataclass(frozen=True)
class Lines:
    """The straight-line code of a step.

    before: lines for all steps. inside: lines of one step, in x0, x1, ... drift, kick: texts of b(x) and sigma(x) z, one a component, in
    the normals `normal(k)` (kick "" where there is no noise).
    """

    before: list[str]
    inside: list[str]
    drift: list[str]
    kick: list[str]


@dataclass(frozen=True)
class Recipe:
    """How to write a step: dimension, normals it draws, a key that stands for the code, and `write(tolerance)`, called if it is not cached."""

    dim: int
    rank: int
    key: str
    write: Callable[[float], Lines]


def module(recipe: Recipe, precision: str, noise: str) -> ModuleType:
    """The kernels `saving` and `summing` of a step, from disk or made now; precision "float64" or "float32", noise "double" or "single"."""
    digest = hashlib.sha256(f"{recipe.key}\n{precision}\n{noise}".encode()).hexdigest()[:32]
    path = jit.cache_directory() / f"cuda_{digest}_{jit.fingerprint()}.py"
    if not path.exists():
        tolerance = jit.PIVOT_TOLERANCE * float(np.finfo(precision).eps / np.finfo(np.float64).eps)
        jit.write_once(path, source(recipe, recipe.write(tolerance), precision, noise))
    return jit.load(path)


def source(recipe: Recipe, lines: Lines, precision: str, noise: str) -> str:
    """The text of a module."""
    header = _HEADER.format(noise=noise, precision=precision)
    group = GROUPS[noise]
    kernels = [_saving(recipe, lines, group), _summing(recipe, lines, group)]
    return header + "".join("\n\n" + "\n".join(["@cuda.jit(cache=True)", *kernel]) + "\n" for kernel in kernels)


def normal(component: int) -> str:
    """How a kick spells the normals of the step."""
    return f"real(z{component})"


def parameters(name: str, count: int) -> tuple[list[str], list[str]]:
    """Lines that load the vector `name` before the steps, and the texts of its elements."""
    if count > HOISTED:
        return [], [f"{name}[{i}]" for i in range(count)]
    return [f"{name}{i} = {name}[{i}]" for i in range(count)], [f"{name}{i}" for i in range(count)]


def formula_lines(expression: Expression, kick: list[str], before: list[str]) -> Lines:
    """The drift is a formula (dim,); the kick of a constant D."""
    code = body(expression, SCALAR)
    return Lines(_typed([*before, *code.before]), _typed(code.inside), _typed(code.texts), kick)


def varying_lines(expression: Expression, tolerance: float) -> Lines:
    """The expression holds the drift (dim,) and after it D(x) (dim * dim,)."""
    dim, code = expression.dim, body(expression, SCALAR)
    matrix = Expression(dim, expression.count, expression.components[dim:].reshape(dim, dim))
    factor, kick = cholesky(matrix, code.texts[dim:], SCALAR, normal, tolerance)
    return Lines(_typed(code.before), _typed([*code.inside, *factor]), _typed(code.texts[:dim]), _typed(kick))


def affine_lines(dim: int, kick: list[str], before: list[str]) -> Lines:
    """The drift matrix x + offset with theta = (offset, matrix)."""
    loads, cells = parameters("theta", dim + dim * dim)
    rows = [cells[dim + i * dim : dim + (i + 1) * dim] for i in range(dim)]
    drift = [" + ".join([cells[i], *(f"{m}*x{j}" for j, m in enumerate(row))]) for i, row in enumerate(rows)]
    return Lines([*before, *loads], [], drift, kick)


def _typed(lines: Iterable[str]) -> list[str]:
    """Numbers in the precision of the state: one double among floats would make all that follows double."""
    return [_NUMBER.sub(r"real(\1)", line) for line in lines]


def _under(head: str, lines: Iterable[str]) -> list[str]:
    return [head, *("    " + line for line in lines)]


def _steps(recipe: Recipe, lines: Lines, group: int, after: list[str]) -> list[str]:
    """What a thread does with its path from the step `first` up to `last`; `after`: lines that follow every step."""
    axes, normals = range(recipe.dim), range(recipe.rank)
    moved = [
        f"y{i} = real(x{i} + dt*({b})" + (f" + scale*({kick}))" if kick else ")")
        for i, (b, kick) in enumerate(zip(lines.drift, lines.kick, strict=True))
    ]
    step = [
        *_under("if varying:", ["scale = scales[step]"]),
        *lines.inside,
        *moved,
        *(f"x{i} = y{i}" for i in axes),
        *after,
    ]
    queues = [[f"z{k}", *(f"w{k}_{i}" for i in range(1, group))] for k in normals]
    draw = [f"{', '.join(queue)} = normals(group, {k}, path, k0, k1)" for k, queue in enumerate(queues)]
    shift = [f"{', '.join(queue[:-1])} = {', '.join(queue[1:])}" for queue in queues]
    inner = [f"step = group*{group} + i", *_under("if first <= step < last:", step), *shift]
    return [
        "varying, scale, path = scales.shape[0] > 1, scales[0], numbers[p]",
        *lines.before,
        *(f"x{i} = x[{i}, p]" for i in axes),
        *_under(
            f"for group in range(first // {group}, (last + {group - 1}) // {group}):",
            [*draw, *_under(f"for i in range({group}):", inner)],
        ),
        *(f"x[{i}, p] = x{i}" for i in axes),
    ]


def _saving(recipe: Recipe, lines: Lines, group: int) -> list[str]:
    """`saving(..., kept, out)`: out[j, :, path] = x after kept[j] steps, kept increasing; [-1] for none."""
    following = ["saved += 1", "due = kept[saved] if saved < kept.shape[0] else -1"]
    stores = [f"out[saved, {i}, p] = x{i}" for i in range(recipe.dim)]
    walk = _steps(recipe, lines, group, _under("while due == step + 1:", [*stores, *following]))
    inside = _under("if p < x.shape[1]:", ["saved, due = 0, kept[0]", *walk])
    return _under(f"def saving({_FIELDS}, kept, out):", ["p = cuda.grid(1)", *inside])


def _summing(recipe: Recipe, lines: Lines, group: int) -> list[str]:
    """`summing(..., wait, every, sums)`: sums[:, block] += (x_i, then x_i x_j for j <= i), looked at after `wait` steps and every `every`."""
    dim = recipe.dim
    values = [f"x{i}" for i in range(dim)] + [f"np.float64(x{i})*x{j}" for i in range(dim) for j in range(i + 1)]
    look = ["left = every", *(f"a{k} += {value}" for k, value in enumerate(values))]
    walk = _steps(recipe, lines, group, ["left -= 1", *_under("if left == 0:", look)])
    start = [f"a{k} = 0.0" for k in range(len(values))]
    ends = []
    for k in range(len(values)):
        ends += [
            f"total = block_sum(room, a{k})",
            *_under("if cuda.threadIdx.x == 0:", [f"sums[{k}, cuda.blockIdx.x] += total"]),
        ]
    begin = ["p = cuda.grid(1)", f"room = cuda.shared.array({THREADS}, np.float64)", *start]
    return _under(
        f"def summing({_FIELDS}, wait, every, sums):",
        [*begin, *_under("if p < x.shape[1]:", ["left = wait", *walk]), *ends],
    )
