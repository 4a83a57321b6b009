"""Graph flows against entropic JKO (POT's unbalanced Sinkhorn with the free energy as its second marginal term) on the same grid.

Both are compared with the exponential of the generator on that grid, in L1. Process CPU time, the median of `--repeat`. Both are tuned: all
step numbers, for the entropic method with all regularisations, and only its best runs (none is both faster and more exact) are set against
the fastest graph flow that is at least as exact. Writes results/jko.md; needs POT.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ot
from numpy.typing import NDArray

import sgdyn as sg

Floats = NDArray[np.float64]

TIME, TEMPERATURE = 0.5, 1 / 3
TENSOR = np.array([[1.0, 0.8], [0.8, 1.0]])


def entropic(grid: sg.Grid, energy: Floats, start: Floats, tau: float, n: int, epsilon: float) -> Floats:
    """n steps argmin <C, P>/(2 tau) + epsilon KL(P|start x pi) + T KL(P'1|Gibbs), the first marginal kept: sinkhorn_unbalanced with
    reg_m = (infinity, T)."""
    x = grid.centers.reshape(-1, grid.dim)
    difference = x[:, None] - x[None]
    cost = np.einsum("abi,ij,abj->ab", difference, np.linalg.inv(TENSOR), difference) / (2 * tau)
    gibbs = np.exp(-(energy - energy.min()) / TEMPERATURE)
    gibbs /= gibbs.sum()
    p = start
    for _ in range(n):
        plan = ot.unbalanced.sinkhorn_unbalanced(
            p, gibbs, cost, epsilon, (float("inf"), TEMPERATURE), method="sinkhorn", reg_type="entropy",
            numItermax=20000, stopThr=1e-9,
        )  # fmt: skip
        p = plan.sum(axis=0)
        p = p / p.sum()
    return p


def timed(run: Callable[[], Floats], repeat: int) -> tuple[float, Floats]:
    """The median CPU time and the last result."""
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        result = run()
        taken.append(time.process_time() - began)
    return float(np.median(taken)), result


def rows(cells: int, steps: list[int], epsilons: list[float], repeat: int) -> list[tuple[str, float, float]]:
    """(method, seconds, L1 error)."""
    U = sg.landscapes.double_well_2d().U
    grid = sg.Grid([(-2, 2, cells)] * 2)
    problem = sg.Langevin.gibbs(U, T=TEMPERATURE, D=TENSOR)
    rho = sg.gaussian(grid, [-1, 0], 0.09 * np.eye(2)).normalised
    exact = sg.fokker_planck(problem, grid).evolve(rho, TIME).masses.ravel()
    energy, start = U(grid.centers.reshape(-1, 2)), rho.masses.ravel()
    found = []

    def add(name: str, run: Callable[[], Floats]) -> None:
        seconds, result = timed(run, repeat)
        found.append((name, seconds, float(np.abs(result - exact).sum())))
        print(f"{name:32} {seconds:8.3f} s  L1 {found[-1][2]:.2e}", flush=True)

    for order in (1, 2):
        for n in steps:
            add(
                f"Graph(order={order}), {n} steps",
                lambda n=n, order=order: sg.jko(
                    problem, rho, tau=TIME / n, n=n, method=sg.Graph(order), show_progress=False
                )[-1].masses.ravel(),
            )
    for n in steps:
        for epsilon in epsilons:
            add(
                f"entropic {epsilon:g}, {n} steps",
                lambda e=epsilon, n=n: entropic(grid, energy, start, TIME / n, n, e),
            )
    return found


def verdict(found: list[tuple[str, float, float]]) -> list[str]:
    """For the best entropic runs the fastest graph flow that is at least as exact."""
    graphs = [row for row in found if row[0].startswith("Graph")]
    others = [row for row in found if row[0].startswith("entropic") and np.isfinite(row[2])]
    lines = []
    for name, seconds, error in others:
        beaten = any(t <= seconds and e <= error and other != name for other, t, e in others)
        fits = [row for row in graphs if row[2] <= error]
        if beaten or not fits:
            continue
        best = min(fits, key=lambda row: row[1])
        lines.append(
            f"- {name} ({seconds:.3f} s, L1 {error:.1e}): {best[0]} ({best[1]:.3f} s, L1 {best[2]:.1e}), {seconds / best[1]:.1f} times faster"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.3, 0.2, 0.1, 0.05, 0.02])
    given = parser.parse_args()
    sg.jko(sg.Langevin(sg.potential(dim=1)(lambda x: 0.5 * x[0] ** 2), T=1.0), sg.gaussian(sg.Grid([(-2, 2, 8)]), [0.0], [[0.2]]), tau=0.1, n=1, method=sg.Graph())  # fmt: skip
    found = rows(given.cells, [1, 2, 5, 10, 20], given.epsilons, given.repeat)
    text = [
        "# JKO on a grid\n",
        f"2-D double well, T = 1/3, D = [[1, .8], [.8, 1]], {given.cells} x {given.cells} cells, to t = {TIME}; L1 against the generator's",
        f"exponential on the same grid; one thread, CPU seconds, median of {given.repeat}; `python benchmarks/jko.py --cells {given.cells} --repeat {given.repeat}`\n",
        "| method | seconds | L1 error |",
        "|---|---|---|",
        *(f"| {name} | {seconds:.3f} | {error:.2e} |" for name, seconds, error in found),
        "",
        "The best entropic runs (dense kernels, as POT has them), and the graph flow as exact:\n",
        *verdict(found),
        "",
    ]
    Path(__file__).with_name("results").joinpath("jko.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
