"""From formulas to source code: NumPy over leading axes, torch, and block functions on vector values."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sgdyn.codegen.expression import Expression
from sgdyn.codegen.jit import PIVOT_TOLERANCE
from sgdyn.codegen.vector import LANES
from sgdyn.codegen.writer import BLOCK, BLOCK32, NUMPY, TORCH, Body, Dialect, body


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
    cells = [f"number(x, {t}).expand(x.shape[:-1])," for t in code.texts]
    gather = [
        "cells = [",
        *["    " + c for c in cells],
        "]",
        f"return torch.stack(cells, -1).reshape(x.shape[:-1] + {expression.shape})",
    ]
    values = "theta = torch.tensor(theta, dtype=x.dtype, device=x.device)"
    return f"{TORCH.header}\n\ndef evaluate(x, theta):\n" + _indent(
        [values, *code.before, *loads, *code.inside, *gather], 1
    )


def block_source(expression: Expression) -> str:
    """`evaluate(x[dim, n], theta, out[size, n])`, n a multiple of `LANES`."""
    code = body(expression, BLOCK)
    stores = [f"ve.store(out, {k}, p, {t})" for k, t in enumerate(code.texts)]
    return _block("x, theta, out", code, stores)


def euler_source(expression: Expression) -> str:
    """Steps x += dt b(x) + sqrt(2 T dt) s z with s = psi (`contracts.STEP_BLOCK`), one for every `dim` rows of variates."""
    return _euler(expression, BLOCK, STEP_ARGUMENTS, "ve.load_broad(variates, row + {}, p)")


def narrow_source(expression: Expression) -> str:
    """The same steps for blocks of `LANES` paths."""
    return _euler(expression, BLOCK, STEP_ARGUMENTS, "ve.load(variates, row + {}, p)", "ve.load", LANES)


def lean_source(expression: Expression) -> str:
    """The same steps from float32 normals (`contracts.LEAN_STEPS`), equal to the last bit."""
    return _euler(expression, BLOCK, LEAN_ARGUMENTS, "na.load_widened_broad(z, row + {}, p)")


def lean32_source(expression: Expression) -> str:
    """The same steps of float32 points from float32 normals (`contracts.LEAN_STEPS`)."""
    return _euler(expression, BLOCK32, LEAN_ARGUMENTS, "ve.load(z, row + {}, p)", "ve.load", 4 * LANES)


STEP_ARGUMENTS = "drift, theta, noise, phi, extra, psi, x, variates, work, constants"
LEAN_ARGUMENTS = "theta, psi, x, z, work, constants"


def _euler(
    expression: Expression, dialect: Dialect, arguments: str, normal: str, load: str = "ve.load_broad", lanes: int = 2 * LANES
) -> str:  # fmt: skip
    """load, lanes: how points are loaded, and how many paths at once."""
    code, dim, fma = body(expression, dialect), expression.dim, FMA[dialect]
    scales = [
        "dt = constants[0]",
        "scale = constants[1]*math.sqrt(dt)",
        *[f"s{i} = scale*psi[{i}]" for i in range(dim)],
    ]
    old = [f"x{i} = {load}(x, {i}, p)" for i in range(dim) if i not in code.used]
    stores = [
        f"ve.store(x, {i}, p, {fma}({normal.format(i)}, s{i}, {fma}({t}, dt, x{i})))" for i, t in enumerate(code.texts)
    ]
    whole = Body([*code.before, *scales], [*old, *code.inside], code.texts, code.used)
    rows = arguments.split(", ")[-3]
    outer = f"for row in range(0, {rows}.shape[0], {dim}):"
    return _block(arguments, whole, stores, outer, header=dialect.header, load=load, lanes=lanes)


def factor_source(expression: Expression) -> str:
    """`evaluate(x[dim, n], theta, z[rank, n], out[dim, n])`: out = sigma(x) z for a matrix field sigma (dim, rank)."""
    code = body(expression, BLOCK)
    dim, rank = expression.shape
    terms = [[f"({code.texts[i * rank + j]})*ve.load(z, {j}, p)" for j in range(rank)] for i in range(dim)]
    return _block("x, theta, z, out", code, [f"ve.store(out, {i}, p, {' + '.join(t)})" for i, t in enumerate(terms)])


def noise_source(expression: Expression) -> str:
    """`evaluate(x[dim, n], theta, z[dim, n], out[dim, n])`: out = L(x) z with L L' = D(x), L lower triangular.

    A zero pivot gives a zero column (exact for semidefinite D), a negative one NaN, which the engine reports.
    """
    code = body(expression, BLOCK)
    lines, kicks = cholesky(expression, code.texts, BLOCK, lambda k: f"ve.load(z, {k}, p)")
    stores = [f"ve.store(out, {i}, p, {kick})" for i, kick in enumerate(kicks)]
    return _block("x, theta, z, out", code, [*lines, *stores])


def cholesky(
    expression: Expression, cells: list[str], dialect: Dialect, normal: Callable[[int], str], tolerance: float = PIVOT_TOLERANCE
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Lines that factor the symmetric matrix with these cells (C order), and the texts of L z for normals so spelled."""
    dim = expression.shape[-1]
    texts = dict(zip(np.ndindex(expression.shape), cells, strict=True))
    present = {index: expression.components[index] != 0 for index in texts}
    lines = []
    for j in range(dim):
        terms = [f" - l{j}_{k}*l{j}_{k}" for k in range(j) if present[j, k]]
        size = dialect.choose(f"(d{j} >= 0.0)", f"d{j}", f"-d{j}")
        lines += [
            f"d{j} = 0.0*{normal(j)} + {texts[j, j]}",
            f"q{j} = d{j}{''.join(terms)}",
            f"e{j} = {tolerance}*{size}",
        ]
        root, zero = f"{dialect.root}(q{j})", dialect.choose(f"(q{j} >= -e{j})", "0.0", "math.nan")
        lines += [
            f"l{j}_{j} = {dialect.choose(f'(q{j} > e{j})', root, zero)}",
            f"r{j} = {dialect.choose(f'(q{j} > e{j})', f'1.0/l{j}_{j}', '0.0')}",
        ]
        for i in range(j + 1, dim):
            inner = [f" - l{i}_{k}*l{j}_{k}" for k in range(j) if present[i, k] and present[j, k]]
            present[i, j] = present[i, j] or bool(inner)
            if present[i, j]:
                lines.append(f"l{i}_{j} = ({texts[i, j]}{''.join(inner)})*r{j}")
    rows = [[f"l{i}_{j}*{normal(j)}" for j in range(i + 1) if j == i or present[i, j]] for i in range(dim)]
    return lines, [" + ".join(row) for row in rows]


FMA = {BLOCK: "ve.fma", BLOCK32: "na.fma32"}


def _block(
    arguments: str, code: Body, stores: list[str], *outer: str, header: str = BLOCK.header, load: str = "ve.load", lanes: int = LANES
) -> str:  # fmt: skip
    """A function that runs over the paths, inside of the `outer` loops."""
    loads = [f"x{i} = {load}(x, {i}, p)" for i in code.used]
    text = f"{header}\n\ndef evaluate({arguments}):\n" + _indent(code.before, 1)
    for depth, line in enumerate([*outer, f"for p in range(0, x.shape[1], {lanes}):"], 1):
        text += _indent([line], depth)
    return text + _indent([*loads, *code.inside, *stores], len(outer) + 2)
