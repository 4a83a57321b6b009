"""Least actions and minimum energy paths: `minimum_action` and `string` against plain NumPy code for the same, and their memory.

The peer is the geometric minimum action method as its paper has it (semi-implicit steps, images spread out again after each), written out
here for D = 1; both give the action of Maier and Stein's system, whose value is known. Process CPU time, the median of `--repeat`; writes results/pathspace.md.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

import sgdyn as sg

Floats = NDArray[np.float64]

EXACT = 0.34004140333019 / 2
"""Maier-Stein, mu = 1, alpha = 10, from (-1, 0) to the origin (hp Ritz method), in the package's convention."""


def timed(run: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """The median CPU time and the last result."""
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        result = run()
        taken.append(time.process_time() - began)
    return float(np.median(taken)), result


def gmam(n: int, tau: float, steps: int, tolerance: float) -> float:
    """The action: Heymann and Vanden-Eijnden 2008, algorithm of section 3.1, D = 1.

    x_t = l² x'' - l (J - J') x' - J' b + l l' x', l = |b|/|x'|, x'' implicit.
    """
    s = np.linspace(0, 1, n + 1)
    x = np.stack([s - 1, 0.3 * np.sin(np.pi * s)], 1)
    for _ in range(steps):
        u, v = x[:, 0], x[:, 1]
        b = np.stack([u - u**3 - 10 * u * v**2, -(1 + u**2) * v], 1)
        J = np.array([[1 - 3 * u**2 - 10 * v**2, -20 * u * v], [-2 * u * v, -(1 + u**2)]]).transpose(2, 0, 1)
        slope = np.gradient(x, 1 / n, axis=0)
        speed = np.linalg.norm(b, axis=1) / np.linalg.norm(slope, axis=1)
        turning = np.einsum("nij,nj->ni", J - J.transpose(0, 2, 1), slope)
        push = (
            -speed[:, None] * turning
            - np.einsum("nji,nj->ni", J, b)
            + (speed * np.gradient(speed, 1 / n))[:, None] * slope
        )
        stiffness = tau * speed[1:-1] ** 2 * n**2
        band = np.zeros((3, n - 1))
        band[0, 1:], band[1], band[2, :-1] = -stiffness[:-1], 1 + 2 * stiffness, -stiffness[1:]
        right = x[1:-1] + tau * push[1:-1]
        right[0] += stiffness[0] * x[0]
        right[-1] += stiffness[-1] * x[-1]
        new = x.copy()
        new[1:-1] = solve_banded((1, 1), band, right)
        arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(new, axis=0), axis=1))])
        new = np.stack([np.interp(np.linspace(0, arc[-1], n + 1), arc, c) for c in new.T], 1)
        moved, x = np.abs(new - x).max() / tau, new
        if moved < tolerance:
            break
    middle, way = 0.5 * (x[1:] + x[:-1]), np.diff(x, axis=0)
    u, v = middle.T
    b = np.stack([u - u**3 - 10 * u * v**2, -(1 + u**2) * v], 1)
    return float(0.5 * (np.linalg.norm(b, axis=1) * np.linalg.norm(way, axis=1) - (b * way).sum(1)).sum())


def chain(dim: int, stiffness: float) -> sg.Potential:
    """Double wells in a row, joined by springs."""

    def value(x: Floats) -> Floats:
        return ((x**2 - 1) ** 2).sum(-1) / 4 + stiffness / 2 * (np.diff(x, axis=-1) ** 2).sum(-1)

    def grad(x: Floats) -> Floats:
        found, pull = x**3 - x, stiffness * np.diff(x, axis=-1)
        found[..., :-1] -= pull
        found[..., 1:] += pull
        return found

    return sg.Potential.from_functions(value, grad, dim=dim)


def front(dim: int, stiffness: float, n: int) -> Floats:
    """A kink that runs through the chain."""
    s = np.linspace(-0.1, 1.1, n + 1)[:, None]
    return np.tanh((s * dim - np.arange(dim)) / np.sqrt(2 * stiffness))


def valley(dim: int) -> tuple[sg.Potential, Floats, Floats]:
    """(x0² - 1)²/4 along a curved valley: barrier and least action are 1/4."""
    i = np.arange(1, dim)
    stiffness, bend = 1 + 3 * np.sin(i) ** 2, np.cos(3 * i) / np.sqrt(dim)

    def value(x: Floats) -> Floats:
        return (x[..., 0] ** 2 - 1) ** 2 / 4 + 0.5 * (stiffness * (x[..., 1:] - bend * x[..., :1] ** 2) ** 2).sum(-1)

    def grad(x: Floats) -> Floats:
        pull = stiffness * (x[..., 1:] - bend * x[..., :1] ** 2)
        first = x[..., 0] ** 3 - x[..., 0] - 2 * x[..., 0] * (pull @ bend)
        return np.concatenate([first[..., None], pull], -1)

    return sg.Potential.from_functions(value, grad, dim=dim), np.append(-1.0, bend), np.append(1.0, bend)


def plane(repeat: int) -> list[str]:
    """Rows of Maier and Stein's system."""
    problem = sg.landscapes.maier_stein(10.0).problem()
    s = np.linspace(0, 1, 51)
    bent = np.stack([s - 1, 0.3 * np.sin(np.pi * s)], 1)
    rows = []

    def add(name: str, run: Callable[[], Any], value: Callable[[Any], float]) -> None:
        seconds, found = timed(run, repeat)
        rows.append(f"| {name} | {seconds:.3f} | {abs(value(found) - EXACT):.1e} |")
        print(rows[-1], flush=True)

    sg.minimum_action(problem, [-1, 0], [0, 0], n=40)

    def action(found: Any) -> float:
        return float(found.cost)

    for n in (100, 200, 400):
        add(
            f"`minimum_action`, n={n}, five starts, both mirror images",
            lambda n=n: sg.minimum_action(problem, [-1, 0], [0, 0], n=n),
            action,
        )
    add(
        "`minimum_action`, n=200, from one bent start",
        lambda: sg.minimum_action(problem, [-1, 0], [0, 0], n=200, start=bent),
        action,
    )
    for n in (100, 200):
        add(
            f"NumPy gMAM, n={n}, tau = 0.1, moves below 1e-6",
            lambda n=n: gmam(n, 0.1, 20_000, 1e-6),
            float,
        )
    return rows


def many(repeat: int) -> list[str]:
    """Rows of many dimensions."""
    rows = []

    def add(name: str, run: Callable[[], Any], number: Callable[[Any], Any], exact: float) -> None:
        seconds, found = timed(run, repeat)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(f"| {name} | {seconds:.2f} | {float(number(found)):.6f} | {exact:.6f} | {peak:.0f} |")
        print(rows[-1], flush=True)

    barrier, action = lambda found: found.barrier, lambda found: found.cost
    for dim, stiffness, n in ((1000, 100.0, 32),):
        U, kink = chain(dim, stiffness), 4 / 3 * np.sqrt(stiffness / 2)
        start, ends = front(dim, stiffness, n), (-np.ones(dim), np.ones(dim))
        add(
            f"`string`, chain of {dim} double wells, k={stiffness:g}, n={n}, from a front",
            lambda U=U, start=start, ends=ends, n=n: sg.string(U, *ends, n=n, start=start, tolerance=1e-3),
            barrier,
            kink,
        )
    for dim in (1000, 10_000):
        U, a, b = valley(dim)
        add(
            f"`string`, curved valley in {dim} dimensions, n=32",
            lambda U=U, a=a, b=b: sg.string(U, a, b, n=32),
            barrier,
            0.25,
        )
        problem = sg.Langevin(U, 1.0)
        add(
            "`minimum_action`, the same, n=64",
            lambda p=problem, a=a, b=b: sg.minimum_action(p, a, b, n=64, starts=0),
            action,
            0.25,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    text = [
        "# Least actions and minimum energy paths\n",
        f"One thread, CPU seconds, median of {given.repeat}; `python benchmarks/pathspace.py --repeat {given.repeat}`\n",
        "Maier and Stein's system, mu = 1, alpha = 10, from (-1, 0) to the origin:\n",
        "| method | seconds | error of V = 0.1700207 |",
        "|---|---|---|",
        *plane(given.repeat),
        "\nMany dimensions (peak memory of the process so far, MiB; the kink's cost is that of the continuous chain):\n",
        "| case | seconds | value | exact | memory |",
        "|---|---|---|---|---|",
        *many(1),
        "",
    ]
    Path(__file__).with_name("results").joinpath("pathspace.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
