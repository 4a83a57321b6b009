"""Runge-Kutta steps for additive noise, written out for one drift and one tableau: all stages of a few paths in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sgdyn.codegen import jit
from sgdyn.codegen.contracts import LEAN_STEPS, STEP_BLOCK
from sgdyn.codegen.formula import Formula
from sgdyn.codegen.vector import LANES

WRITTEN_OUT = 16
"""The most components of a drift of which all stages are written out."""


@dataclass(frozen=True)
class Form:
    """One way to write the steps out: its contract, arguments, the name of the normals, how to load them and multiply and add, and lanes."""

    contract: Any
    arguments: str
    normals: str
    load: str
    fma: str
    lanes: int


_LEAN = "theta, psi, x, z, work, constants"
FORMS = {
    "ordinary": Form(STEP_BLOCK, "drift, theta, noise, phi, extra, psi, x, variates, work, constants", "variates", "ve.load", "ve.fma", LANES),
    "float64": Form(LEAN_STEPS["float64"], _LEAN, "z", "na.load_widened", "ve.fma", LANES),
    "float32": Form(LEAN_STEPS["float32"], _LEAN, "z", "ve.load", "na.fma32", 4 * LANES),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tableau:
    """A dt (stages + 1, stages), b and c (stages + 1,): what the points, and last the step, take of the drifts, of xi and of eta."""

    A: Any
    b: Any
    c: Any

    @property
    def table(self) -> Any:
        """(A dt, b, c), a row for every point and the step."""
        return np.column_stack([self.A, self.b, self.c])

    def steps(self, drift: Formula, form: str) -> Any:
        """The compiled steps (`contracts`) with psi = (table, roots of D_ii); what is zero in the table is left out.

        They take the normals xi and eta of several steps, one below the other.
        """
        used = self.table != 0
        key = (form, drift.key[:32], "".join("x" if term else "0" for term in used.ravel()))
        if key not in _LOADED:
            path = jit.cache_directory() / f"stages_{'_'.join(key)}_{jit.fingerprint()}.py"
            if not path.exists():
                jit.write_once(path, _source(form, drift, used))
            _LOADED[key] = jit.compiled(jit.load(path).evaluate, FORMS[form].contract.signature)
        return _LOADED[key]


_LOADED: dict[tuple[str, str, str], Any] = {}


def _source(name: str, drift: Formula, used: Any) -> str:
    from sgdyn.codegen.writer import BLOCK, BLOCK32, body

    form, dialect = FORMS[name], BLOCK32 if name == "float32" else BLOCK
    code, dim = body(drift.make(), dialect), drift.dim
    known = [line.split(" = ")[0] for line in code.before]
    function = [
        "@jit.helper",
        f"def drift_at({', '.join([*(f'x{i}' for i in range(dim)), *known])}):",
        *_indented([*code.inside, f"return ({', '.join(code.texts)},)"], 1),
    ]
    before = [*code.before, "scale = constants[1]*math.sqrt(constants[0])", *_coefficients(used, dim)]
    loop = [
        f"for row in range(0, {form.normals}.shape[0], {2 * dim}):",
        f"    for p in range(0, x.shape[1], {form.lanes}):",
        *_indented(_stages(form, used, dim, known), 2),
    ]
    head = f"{dialect.header}from sgdyn.codegen import jit\n"
    return (
        "\n".join([head, *function, "", "", f"def evaluate({form.arguments}):", *_indented([*before, *loop], 1)]) + "\n"
    )


def _coefficients(used: Any, dim: int) -> list[str]:
    """Names for the elements of psi; capitals, as the writer makes small ones."""
    rows, columns = used.shape
    lines = [f"S{k} = scale*psi[{rows * columns + k}]" for k in range(dim)]
    for i, j in np.argwhere(used):
        place = f"psi[{i * columns + j}]"
        if j < columns - 2:
            lines.append(f"A{i}_{j} = {place}")
        else:
            lines += [f"{'BC'[j - columns + 2]}{i}_{k} = S{k}*{place}" for k in range(dim)]
    return lines


def _stages(form: Form, used: Any, dim: int, known: list[str]) -> list[str]:
    """From the loads of one vector of paths to the stores."""
    rows, lines = len(used), []
    for k in range(dim):
        lines += [f"y{k} = ve.load(x, {k}, p)", f"u{k} = {form.load}({form.normals}, row + {k}, p)"]
        lines.append(f"w{k} = {form.load}({form.normals}, row + {dim + k}, p)")
    for i in range(rows):
        for k in range(dim):
            terms = [f"u{k}, B{i}_{k}", f"w{k}, C{i}_{k}", *(f"f{j}[{k}], A{i}_{j}" for j in range(rows - 1))]
            text = f"y{k}"
            for term, present in zip(terms, np.roll(used[i], 2), strict=True):
                text = f"{form.fma}({term}, {text})" if present else text
            lines.append(f"z{i}_{k} = {text}" if i < rows - 1 else f"ve.store(x, {k}, p, {text})")
        if i < rows - 1:
            lines.append(f"f{i} = drift_at({', '.join([*(f'z{i}_{k}' for k in range(dim)), *known])})")
    return lines


def _indented(lines: list[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]
