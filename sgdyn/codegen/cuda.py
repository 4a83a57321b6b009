"""CUDA kernels of Euler-Maruyama steps, one thread a path: source from the same formulas as the vector code, all of it in registers.

One module for each (drift, kind of D, precision, kind of normals, observables), with three kernels: `saving` stores points at chosen steps,
`watching` lets observables look at them, `grouping` adds up what they have recorded over groups of paths.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from sgdyn.codegen import cuda_looks, jit
from sgdyn.codegen.cuda_looks import Look
from sgdyn.codegen.emit import cholesky
from sgdyn.codegen.expression import Expression
from sgdyn.codegen.writer import SCALAR, body

THREADS = 128
"""Threads of a block, a power of two."""
SHARED = 10_000
"""Counters of a block in shared memory; histograms of more cells are counted in the device's memory."""
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


@cuda.jit(cache=True)
def grouping(record, width, unit, groups, out):
    """out[row, group] = the sum of record[row, path] over the paths of a group: units of `width`, the first of the group `unit`."""
    room = cuda.shared.array({threads}, np.float64)
    row, group = cuda.blockIdx.x, cuda.blockIdx.y
    part, total = (group - unit + groups) % groups, 0.0
    while part*width < record.shape[1]:
        for place in range(cuda.threadIdx.x, width, {threads}):
            if part*width + place < record.shape[1]:
                total += record[row, part*width + place]
        part += groups
    total = block_sum(room, total)
    if cuda.threadIdx.x == 0:
        out[row, group] = total
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


def module(recipe: Recipe, precision: str, noise: str, looks: Sequence[Look] = (), alone: bool = True) -> ModuleType:
    """The kernels of a step, from disk or made now; precision "float64" or "float32", noise "double" or "single".

    alone: every path is a group of its own, which has counters of its own.
    """
    key = "\n".join([recipe.key, precision, noise, f"{alone} {THREADS} {SHARED}", *(look.name for look in looks)])
    path = jit.cache_directory() / f"cuda_{hashlib.sha256(key.encode()).hexdigest()[:32]}_{jit.fingerprint()}.py"
    if not path.exists():
        tolerance = jit.PIVOT_TOLERANCE * float(np.finfo(precision).eps / np.finfo(np.float64).eps)
        jit.write_once(path, source(recipe, recipe.write(tolerance), precision, noise, looks, alone))
    return jit.load(path)


def source(
    recipe: Recipe, lines: Lines, precision: str, noise: str, looks: Sequence[Look] = (), alone: bool = True
) -> str:
    """The text of a module."""
    header, group = _HEADER.format(noise=noise, precision=precision, threads=THREADS), GROUPS[noise]
    quantities = [cuda_looks.quantity(k, look, recipe.dim, _typed) for k, look in enumerate(looks)]
    kernels = [_saving(recipe, lines, group), *([_watching(recipe, lines, group, looks, alone)] if looks else [])]
    parts = [*(q for q in quantities if q), *(["@cuda.jit(cache=True)", *kernel] for kernel in kernels)]
    return header + "".join("\n\n" + "\n".join(part) + "\n" for part in parts)


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


def _steps(
    recipe: Recipe, lines: Lines, group: int, after: list[str], spare: int = 0, stops: bool = False
) -> list[str]:
    """What a thread does with its path from the step `first` up to `last`; `after`: lines that follow every step, and may lower `last`.

    spare: normals that they want for themselves. stops: they may lower it.
    """
    axes, normals = range(recipe.dim), range(recipe.rank + spare)
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
            [
                *(_under(f"if group*{group} >= last:", ["break"]) if stops else []),
                *draw,
                *_under(f"for i in range({group}):", inner),
            ],
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


def _watching(recipe: Recipe, lines: Lines, group: int, looks: Sequence[Look], alone: bool) -> list[str]:
    """`watching(...)`: looks after `wait` steps and every `every`; a block of threads has paths of one unit, and so of one group.

    width: paths of a unit. unit: the first one's number, modulo the number of groups. looked: looks before this launch.
    """
    starts = _shared(looks, alone)
    watch = [
        line
        for k, (look, shared) in enumerate(zip(looks, starts, strict=True))
        for line in cuda_looks.at(k, look, recipe.dim, recipe.rank, shared)
    ]
    looking = ["left -= 1", *_under("if left == 0:", ["left = every", *watch, "looked += 1"])]
    walk = _steps(recipe, lines, group, looking, max(look.spare for look in looks), any(look.stops for look in looks))
    inside = ["left = wait", *(line for k, look in enumerate(looks) for line in cuda_looks.before(k, look)), *walk]
    inside += [line for k, look in enumerate(looks) for line in cuda_looks.after(k, look)]
    own = ", ".join(f"values_{k}, constants_{k}, record_{k}" for k in range(len(looks)))
    clear, flush = _counters(looks, starts)
    return _under(
        f"def watching({_FIELDS}, wait, every, looked, width, unit, groups, {own}):",
        [
            f"across = (width + {THREADS - 1}) // {THREADS}",
            f"place = cuda.blockIdx.x % across*{THREADS} + cuda.threadIdx.x",
            "p = cuda.blockIdx.x // across*width + place",
            f"row = {'p' if alone else '(unit + cuda.blockIdx.x // across) % groups'}",
            *clear,
            *_under("if place < width and p < x.shape[1]:", inside),
            *flush,
        ],
    )


def _shared(looks: Sequence[Look], alone: bool) -> list[int | None]:
    """Where the counters of every look begin in shared memory; None for what is not there."""
    starts: list[int | None] = []
    used = 0
    for look in looks:
        fits = look.cells > 0 and not alone and used + look.cells <= SHARED
        starts.append(used if fits else None)
        used += look.cells if fits else 0
    return starts


def _counters(looks: Sequence[Look], starts: Sequence[int | None]) -> tuple[list[str], list[str]]:
    """Lines that clear the counters of a block, and that add them to those of its group."""
    shared = [
        (k, look.cells, start) for k, (look, start) in enumerate(zip(looks, starts, strict=True)) if start is not None
    ]
    if not shared:
        return [], []
    size = sum(cells for _, cells, _ in shared)
    clear = [
        f"counters = cuda.shared.array({size}, np.int32)",
        *_under(f"for cell in range(cuda.threadIdx.x, {size}, {THREADS}):", ["counters[cell] = 0"]),
        "cuda.syncthreads()",
    ]
    flush = ["cuda.syncthreads()"]
    for k, cells, start in shared:
        add = _under(
            f"if counters[{start} + cell] > 0:", [f"cuda.atomic.add(record_{k}, (row, cell), counters[{start} + cell])"]
        )
        flush += _under(f"for cell in range(cuda.threadIdx.x, {cells}, {THREADS}):", add)
    return clear, flush
