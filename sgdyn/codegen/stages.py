"""Runge-Kutta steps for additive noise, written out for one drift: all stages of a few paths in one pass."""

from __future__ import annotations

from typing import Any

from sgdyn.codegen import jit
from sgdyn.codegen.contracts import STEP_BLOCK
from sgdyn.codegen.formula import Formula

WRITTEN_OUT = 16
"""The most components of a drift of which all stages are written out."""
_LOADED: dict[tuple[str, int], Any] = {}


def staged_block(drift: Formula, stages: int) -> Any:
    """The compiled step (`contracts.STEP_BLOCK`) with psi = (A dt, b, c, roots of D_ii).

    A (stages + 1, stages), b and c (stages + 1): what the points, and last the step, take of the drifts, of xi and of eta. Takes
    the normals of several steps, one below the other.
    """
    if (drift.key, stages) not in _LOADED:
        path = jit.cache_directory() / f"stages{stages}_{drift.key[:32]}_{jit.fingerprint()}.py"
        if not path.exists():
            jit.write_once(path, _source(drift, stages))
        _LOADED[drift.key, stages] = jit.compiled(jit.load(path).evaluate, STEP_BLOCK.signature)
    return _LOADED[drift.key, stages]


def _source(drift: Formula, stages: int) -> str:
    from sgdyn.codegen.vector import LANES
    from sgdyn.codegen.writer import BLOCK, body

    code, dim = body(drift.make(), BLOCK), drift.dim
    known = [line.split(" = ")[0] for line in code.before]
    arguments = ", ".join([*(f"x{i}" for i in range(dim)), *known])
    function = [
        "@jit.helper",
        f"def drift_at({arguments}):",
        *_indented(code.inside, 1),
        f"    return ({', '.join(f'0.0*x0 + {t}' for t in code.texts)},)",
    ]
    head = "def evaluate(drift, theta, noise, phi, extra, psi, x, variates, work, constants):"
    before = [*code.before, "scale = constants[1]*math.sqrt(constants[0])", *_tableau(stages, dim)]
    loop = [f"for row in range(0, variates.shape[0], {2 * dim}):", f"    for p in range(0, x.shape[1], {LANES}):"]
    loop += _indented(_stages(stages, dim, known), 2)
    imports = f"{BLOCK.header}from sgdyn.codegen import jit\n"
    return "\n".join([imports, "", *function, "", "", head, *_indented([*before, *loop], 1)]) + "\n"


def _tableau(stages: int, dim: int) -> list[str]:
    """Names for the elements of psi; capitals, as the writer makes small ones."""
    rows, size = stages + 1, (stages + 1) * stages
    lines = [f"A{i}_{j} = psi[{i * stages + j}]" for i in range(rows) for j in range(min(i, stages))]
    lines += [f"B{i} = psi[{size + i}]" for i in range(rows)] + [f"C{i} = psi[{size + rows + i}]" for i in range(rows)]
    return lines + [f"S{k} = scale*psi[{size + 2 * rows + k}]" for k in range(dim)]


def _stages(stages: int, dim: int, known: list[str]) -> list[str]:
    """From the loads of one vector of paths to the stores."""
    lines = []
    for k in range(dim):
        lines += [f"y{k} = ve.load(x, {k}, p)", f"u{k} = ve.load(variates, row + {k}, p)*S{k}"]
        lines.append(f"w{k} = ve.load(variates, row + {dim + k}, p)*S{k}")
    for i in range(stages + 1):
        for k in range(dim):
            text = f"ve.fma(w{k}, C{i}, ve.fma(u{k}, B{i}, y{k}))"
            for j in range(min(i, stages)):
                text = f"ve.fma(f{j}[{k}], A{i}_{j}, {text})"
            lines.append(f"z{k} = {text}" if i < stages else f"ve.store(x, {k}, p, {text})")
        if i < stages:
            lines.append(f"f{i} = drift_at({', '.join([*(f'z{k}' for k in range(dim)), *known])})")
    return lines


def _indented(lines: list[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]
