"""Fokker-Planck solvers side by side: `python -m benchmarks.fokker_planck`.

The double well U = (x² - 1)² + 2 y² at T = 1/3 in the box [-2, 2]² with reflecting walls and D = [[1, .8], [.8, 1]], drift -D grad U: the
stationary density (exactly exp(-U/T)) and the density at t = 1 from a normal density at (-1, 0) of width .3. Errors are L1 distances at the
midpoints of the cells; the reference at t = 1 is ours, extrapolated from 200² and 300² cells (nine points, extrapolated from 100² and 300²,
differ from it by 1.7e-5). CPU seconds of one process, the median of several calls after a first one (fplanck: of three): not in them are
imports, grids and meshes (fplanck's is) and what is compiled for a new equation, ours and py-pde's; of py-pde nothing but its steps is
counted. Of the others assembly, factors and steps are. Ours also checks that the box is of one piece and finds the residual, and looks for mass at walls and cells
that are too wide; it solves on no further grid.

"SciPy, lattice" is our scheme written out for this one D by hand: rates, and so errors, are the same. "SciPy, 9 points" is what comes to mind.

"sgdyn, Gibbs" knows that the process was made by `Langevin.gibbs` and reads its stationary density off: nothing is solved, and its steady
column is no comparison. "sgdyn, drift alone" is given the drift as the others are, and solves; steady states are compared with it. Its
error is rounding because U is a polynomial of degree four: otherwise it is of second order. The steps of FiPy and py-pde were tuned.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.interpolate import RectBivariateSpline
from scipy.sparse import linalg

import sgdyn as sg
from benchmarks.peers import fokker_planck as peers

D, T, BOX = peers.D, peers.T, peers.BOX


@sg.potential(dim=2)
def double_well(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2


@sg.potential(dim=3)
def trough(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2 + 2 * x[2] ** 2


PROBLEM = sg.Langevin.gibbs(double_well, T=T, D=D)


REPEATS, LONGEST = 11, 1.0


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its CPU time after a first call: the median of eleven, of fewer where it is long."""
    times: list[float] = []
    run()
    while len(times) < REPEATS and sum(times) < LONGEST:
        begin = time.process_time()
        found = run()
        times.append(time.process_time() - begin)
    return found, statistics.median(times)


@cache
def grid(n: int) -> sg.Grid:
    return sg.Grid([(-BOX, BOX, n)] * 2)


def gibbs(n: int) -> Any:
    weights = np.exp(-double_well(grid(n).centers) / T)
    return weights / weights.sum() / (2 * BOX / n) ** 2


def force(x):
    """-D grad U."""
    return -D @ np.array([4 * x[0] * (x[0] ** 2 - 1), 4 * x[1]])


DRIFT_ALONE = sg.Langevin.from_drift(force, T=T, D=D, dim=2)


def ours(n: int, problem: Any = PROBLEM) -> tuple[Any, Any]:
    cells = grid(n)
    steady = lambda: sg.fokker_planck(problem, cells).stationary().values  # noqa: E731
    begin = sg.Density(cells, peers.start(n))
    moved = lambda: sg.fokker_planck(problem, cells).evolve(begin, 1.0).values  # noqa: E731
    return timed(steady), timed(moved)


ISOTROPIC = sg.Langevin.from_drift(lambda x: -np.array([4 * x[0] * (x[0] ** 2 - 1), 4 * x[1]]), T=T, D=1.0, dim=2)


@cache
def reference(problem: Any = PROBLEM) -> Any:
    """p/exp(-U/T) at t = 1, smooth in x and y."""
    splines = []
    for n in (200, 300):
        begin = sg.Density(grid(n), peers.start(n))
        values = sg.fokker_planck(problem, grid(n)).evolve(begin, 1.0).values / gibbs(n)
        splines.append(RectBivariateSpline(*grid(n).midpoints, values, kx=5, ky=5, s=0))
    coarse, fine = splines
    return lambda x: fine(x, x) + (fine(x, x) - coarse(x, x)) / (1.5**2 - 1)


def error_at_one(values: Any, problem: Any = PROBLEM) -> float:
    n = len(values)
    exact = reference(problem)(grid(n).midpoints[0]) * gibbs(n)
    return float(np.abs(values - exact).sum() * (2 * BOX / n) ** 2)


def error_of_steady(values: Any) -> float:
    return float(np.abs(values - gibbs(len(values))).sum() * (2 * BOX / len(values)) ** 2)


def plain(operator: Callable[[int], Any], n: int) -> tuple[Any, Any]:
    """What anyone would write with SciPy: a null vector by one factorisation, 100 steps of TR-BDF2."""

    def steady() -> Any:
        L = operator(n).tocsr()
        pinned, rest = L.shape[0] // 2, np.delete(np.arange(L.shape[0]), L.shape[0] // 2)
        side = -L[rest][:, [pinned]].toarray().ravel()
        p = np.insert(linalg.splu(L[rest][:, rest].tocsc()).solve(side), pinned, 1.0)
        return (p / p.sum()).reshape(n, n) / (2 * BOX / n) ** 2

    def moved() -> Any:
        L, g, dt = operator(n), 2 - np.sqrt(2), 0.01
        factors = linalg.splu((sparse.eye_array(n * n) - 0.5 * g * dt * L).tocsc())
        p = peers.start(n).ravel()
        for _ in range(100):
            q = factors.solve(p + 0.5 * g * dt * (L @ p))
            p = factors.solve(q / (g * (2 - g)) - p * (1 - g) ** 2 / (g * (2 - g)))
        return p.reshape(n, n)

    return timed(steady), timed(moved)


def nine_points(n: int) -> Any:
    """Central differences of the flux T D grad p + D grad U p on faces: conserves mass, keeps neither sign nor exp(-U/T)."""
    h = 2 * BOX / n
    edges = np.linspace(-BOX, BOX, n + 1)[1:-1]
    centers = grid(n).midpoints[0]
    step = sparse.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)) / h
    mean = abs(step) * (0.5 * h)
    slope = sparse.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1]).tolil() / (2 * h)
    slope[0, :2], slope[-1, -2:] = [-1 / h, 1 / h], [-1 / h, 1 / h]
    one = sparse.eye_array(n)
    total = None
    for axis in (0, 1):
        sides = (lambda a, b: sparse.kron(a, b)) if axis == 0 else (lambda a, b: sparse.kron(b, a))
        mesh = np.meshgrid(edges, centers, indexing="ij") if axis == 0 else np.meshgrid(centers, edges, indexing="ij")
        pull = double_well.grad(np.stack(mesh, -1)) @ D[axis]
        flux = T * (D[axis, axis] * sides(step, one) + D[0, 1] * sides(mean, slope))
        flux = flux + sparse.diags_array(pull.ravel()) @ sides(mean, one)
        part = -sides(step.T, one) @ flux
        total = part if total is None else total + part
    return total.tocsr()


def lattice(n: int) -> Any:
    """Scharfetter-Gummel rates along (1, 0), (0, 1), (1, 1), of which D = .2 e1 e1' + .2 e2 e2' + .8 (e1 + e2)(e1 + e2)'."""
    h, number = 2 * BOX / n, np.arange(n * n).reshape(n, n)
    U = double_well(grid(n).centers)
    parts = []
    for (a, b), weight in (((1, 0), 0.2), ((0, 1), 0.2), ((1, 1), 0.8)):
        here, there = np.s_[: n - a, : n - b], np.s_[a:, b:]
        w = ((U[there] - U[here]) / T).ravel()
        safe = np.where(np.abs(w) < 1e-8, 1e-8, w)
        forth = weight * T / h**2 * safe / np.expm1(safe)
        parts.append((number[here].ravel(), number[there].ravel(), forth, forth * np.exp(w)))
    i, j, forth, back = (np.concatenate(p) for p in zip(*parts, strict=True))
    L = sparse.csr_array((np.r_[forth, back], (np.r_[j, i], np.r_[i, j])), shape=(n * n,) * 2)
    return L - sparse.diags_array(np.asarray(L.sum(axis=0)).ravel())


def row(name: str, n: int, steady: Any, moved: Any) -> tuple[str, int, float | None, float | None, float, float]:
    found = (
        name, n, None if steady is None else steady[1], None if steady is None else error_of_steady(steady[0]), moved[1], error_at_one(moved[0]),
    )  # fmt: skip
    print(shown(found), flush=True)
    return found


def shown(found: tuple[Any, ...]) -> str:
    name, n, steady, off, moved, error = found
    first = "- | -" if steady is None else f"{steady:.3g} | {off:.1e}"
    return f"| {name} | {n}² | {first} | {moved:.3g} | {error:.1e} |"


def ratios(rows: list[tuple[Any, ...]]) -> list[str]:
    """Against each: the time it takes over that of our quickest run with the drift alone that is at least as exact."""
    mine = [r for r in rows if r[0] == "sgdyn, drift alone"]
    lines = []
    for name, n, steady, off, moved, error in rows:
        if name.startswith("sgdyn"):
            continue
        quick = min((r for r in mine if r[5] <= 1.02 * error), key=lambda r: r[4])
        text = f"- {name}, {n}²: t = 1 at equal error takes {moved / quick[4]:.2g} times as long as ours on {quick[1]}² cells"
        if steady is not None:
            same = steady / next(r for r in mine if r[1] == n)[2]
            near = min((r for r in mine if r[3] <= off), key=lambda r: r[2], default=None)
            # where both errors are rounding, grids of different size are not to be compared
            text += f"; the steady state {same:.2g} times on the same grid"
            text += "" if off < 1e-10 or near is None else f", {steady / near[2]:.2g} times at equal error"
        lines.append(text)
    return lines


def diagonal() -> list[str]:
    """Beside fplanck, which has no D with elements off the diagonal: D = 1."""
    lines = ["| D = 1 | cells | steady: s | L1 error | t = 1: s | L1 error |", "|---|---|---|---|---|---|"]
    solvers = (
        ("sgdyn, drift alone", lambda n: ours(n, ISOTROPIC), (16, 32, 50, 100)),
        ("fplanck", peers.fplanck, (50, 100)),
    )
    for name, solver, counts in solvers:
        for n in counts:
            steady, moved = solver(n)
            off, error = error_of_steady(steady[0]), error_at_one(moved[0], ISOTROPIC)
            lines.append(shown((name, n, steady[1], off, moved[1], error)))
            print(lines[-1], flush=True)
    return [*lines, ""]


def sizes() -> list[str]:
    """Assembly of large grids, and passage times on them."""
    turning = sg.Langevin.gibbs(
        double_well, T=T, D=lambda x: np.array([[1.02 + np.cos(3 * x[0]), np.sin(3 * x[0])], [np.sin(3 * x[0]), 1.02 - np.cos(3 * x[0])]])
    )  # fmt: skip
    full = sg.Langevin.gibbs(trough, T=T, D=[[1, 0.6, 0.4], [0.6, 1, 0.3], [0.4, 0.3, 1]])
    lines = ["| | assemble | mean passage time to x > 1 | |", "|---|---|---|---|"]
    for name, problem, cells in (
        ("100², D of above", PROBLEM, grid(100)),
        ("400², D of above", PROBLEM, grid(400)),
        ("400², D(x) turns, 1 : 100", turning, grid(400)),
        ("64³, full D", full, sg.Grid([(-BOX, BOX, 64)] * 3)),
    ):
        generator, assembly = timed(lambda: _assembled(problem, cells))  # noqa: B023
        well = [-1.0] + [0.0] * (cells.dim - 1)
        found, solution = timed(lambda: generator.mean_first_passage(lambda x: x[0] > 1, well))  # noqa: B023
        lines.append(
            f"| {name} | {assembly:.2f} s | {solution:.2f} s with its error, from two to three grids | {found} |"
        )
        print(lines[-1], flush=True)
    return [*lines, "", "High-precision value for the D of above (p-FEM): 51.7101035064."]


def _assembled(problem: Any, cells: sg.Grid) -> Any:
    generator = sg.fokker_planck(problem, cells)
    assert generator.rates.nnz
    return generator


def load() -> str:
    """How busy the machine is."""
    return f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores"


HEAD = ["| | cells | steady: s | L1 error | t = 1: s | L1 error |", "|---|---|---|---|---|---|"]


def write(rows: list[tuple[Any, ...]], beside: list[str], large: list[str], notes: list[str]) -> None:
    text = "\n".join([
        (__doc__ or "").strip().split("\n\n", 1)[1], "", *(f"{line}  " for line in notes), "", *HEAD, *map(shown, rows), "", *ratios(rows), "", *beside, *large, "",
    ])  # fmt: skip
    (Path(__file__).parent / "results" / "fokker_planck.md").write_text(text, encoding="utf-8")


def main() -> None:
    notes = [f"Load at the beginning: {load()}."]
    print(*HEAD, sep="\n")
    counts = (13, 16, 20, 26, 32, 40, 50, 70, 100, 200)
    rows = [row("sgdyn, drift alone", n, *ours(n, DRIFT_ALONE)) for n in counts]
    rows += [row("sgdyn, Gibbs", n, *ours(n)) for n in (50, 100, 200)]
    for name, operator in (("SciPy, 9 points", nine_points), ("SciPy, lattice", lattice)):
        rows += [row(name, n, *plain(operator, n)) for n in (50, 100, 200)]
    beside: list[str] = []
    large: list[str] = []
    # what takes long to compile or to run comes last, and what is known is written after each
    for name, peer, n in (
        ("py-pde", peers.pypde, 50), ("FiPy", peers.fipy, 50), ("FiPy", peers.fipy, 100), ("fplanck", diagonal, 0), ("", sizes, 0), ("py-pde", peers.pypde, 100),
    ):  # fmt: skip
        try:
            if peer is diagonal:
                beside = diagonal()
            elif peer is sizes:
                large = sizes()
            else:
                rows.append(row(name, n, *peer(n)))
        except ImportError as missing:
            notes.append(f"{name}: skipped ({missing}).")
        write(rows, beside, large, [*notes, f"Load at the end: {load()}."])
    print(*ratios(rows), *notes, sep="\n")


if __name__ == "__main__":
    main()
