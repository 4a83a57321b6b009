"""How fast are SDE ensembles? Ours, the limit of the hardware and three peers on the same problems in one run; ratios printed.

B1: double well U = x⁴/4 - x²/2, 10^5 paths x 10^3 steps. B2: 10-dimensional linear process with dense noise. B3: Müller-Brown as the
user types it. ns per path-step: process CPU time over path-steps on one thread, median of five; and wall time with all threads. The
limit is a vector C++ program of the same work with the same Philox words (`benchmarks/limit`), where there is a compiler. More peers:
`python benchmarks/peers/measure.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sgdyn as sg

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import limit
from benchmarks.peers import raw_numba, raw_numpy, raw_torch

DT, STEPS, REPEATS = 1e-2, 1000, 5
WELL = sg.landscapes.double_well().problem(0.1)
FLAT = sg.Langevin(sg.landscapes.double_well().U, T=0.1)
SURFACE = sg.landscapes.muller_brown().problem(15.0)
Run = Callable[[], Any]


def dense() -> sg.Langevin:
    """H and the noise factor of B2."""
    i = np.arange(10)
    H = 0.5 ** np.abs(i[:, None] - i) + np.diag((i + 1) / 5)
    L = np.tril(0.3 / (1 + i[:, None] - np.minimum(i, i[:, None])))
    return sg.Langevin(sg.quadratic(H), T=0.5, D=L @ L.T)


def ensemble(process: sg.Langevin, start: Any, dt: float = DT, **options: Any) -> Callable[[int, int], Run]:
    """Final points of an ensemble."""
    return lambda paths, threads: (
        lambda: sg.simulate(process, start, t=STEPS * dt, dt=dt, n_paths=paths, seed=1, threads=threads, **options).x
    )


def passage(paths: int, threads: int) -> Run:
    """Every step looks whether a path has arrived in a region that none reaches."""
    options = {"dt": DT, "n_paths": paths, "t_max": STEPS * DT, "seed": 1, "threads": threads, "noise": "single"}

    def run() -> Any:
        try:
            return sg.first_passage(WELL, [-1.0], lambda x: x[0] > 3, **options)
        except sg.CensoredError as error:
            return error

    return run


def moments(paths: int, threads: int) -> Run:
    """First and second moments of every step, no path stored."""
    options = {"t": STEPS * DT, "dt": DT, "n_paths": paths, "seed": 1, "threads": threads, "noise": "single"}
    return lambda: sg.observe(WELL, [0.0], {"c": sg.Covariance()}, **options)


def peer(module: Any, problem: str, precision: str) -> Callable[[int, int], Run | None]:
    """A peer's loop, None where it has none."""

    def build(paths: int, threads: int) -> Run | None:
        found: Run | None = module.build(problem, paths, STEPS, threads, precision)
        return found or module.build(problem, paths, STEPS, 1, precision)  # some have one thread whatever is asked for

    return build


ZERO = np.zeros(10)
CASES: list[tuple[str, str, Callable[[int, int], Run | None], int, tuple[str, str] | None]] = [
    ("B1", "sgdyn, 52-bit normals (default)", ensemble(WELL, [0.0]), 100_000, ("B1", "double")),
    ("B1", "sgdyn, float32-accurate normals", ensemble(WELL, [0.0], noise="single"), 100_000, ("B1", "single")),
    ("B1", "sgdyn, float32", ensemble(WELL, [0.0], noise="single", precision="float32"), 100_000, ("B1", "float32")),
    ("B1", "sgdyn, rng=fast, float32-accurate", ensemble(WELL, [0.0], noise="single", rng="fast"), 100_000, None),
    ("B1", "sgdyn, noise=weak", ensemble(WELL, [0.0], noise="weak"), 100_000, None),
    ("B1", "sgdyn, SRA1, float32-accurate", ensemble(WELL, [0.0], noise="single", method=sg.SRA1()), 50_000, ("SRA1", "single")),
    ("B1", "sgdyn, reflecting walls", ensemble(WELL, [0.0], noise="single", boundary=sg.box([(-1, 1)])), 50_000, ("walls", "single")),
    ("B1", "sgdyn, first passage", passage, 50_000, ("passage", "single")),
    ("B1", "sgdyn, moments of every step", moments, 50_000, ("moments", "single")),
    ("B1", "NumPy loop (SFC64)", peer(raw_numpy, "B1", "float64"), 20_000, None),
    ("B1", "torch loop, float32", peer(raw_torch, "B1", "float32"), 20_000, None),
    ("B1", "naive Numba loop", peer(raw_numba, "B1", "float64"), 20_000, None),
    ("B2", "sgdyn, 52-bit normals (default)", ensemble(dense(), ZERO), 10_000, ("B2", "double")),
    ("B2", "sgdyn, float32-accurate normals", ensemble(dense(), ZERO, noise="single"), 10_000, ("B2", "single")),
    ("B2", "NumPy loop (SFC64)", peer(raw_numpy, "B2", "float64"), 2_000, None),
    ("B3", "sgdyn, 52-bit normals (default)", ensemble(SURFACE, [-0.558, 1.442], 1e-4), 20_000, ("B3", "double")),
    ("B3", "sgdyn, float32-accurate normals", ensemble(SURFACE, [-0.558, 1.442], 1e-4, noise="single"), 20_000, ("B3", "single")),
    ("B3", "NumPy loop (SFC64)", peer(raw_numpy, "B3", "float64"), 2_000, None),
]  # fmt: skip


def measure(build: Callable[[int, int], Run | None], paths: int, threads: int) -> tuple[float, float] | None:
    """(CPU, wall) nanoseconds per path-step."""
    run = build(paths, threads)
    if run is None:
        return None
    run()
    cpu, wall = [], []
    for _ in range(REPEATS):
        c, w = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    scale = 1e9 / (paths * STEPS)
    return statistics.median(cpu) * scale, statistics.median(wall) * scale


def single_path() -> str:
    """One path of 10^6 steps, which nothing can be shared with."""
    run = lambda: sg.simulate(WELL, [0.0], t=1e6 * DT, dt=DT, seed=1, threads=1)  # noqa: E731
    run()
    begin = time.perf_counter()
    run()
    return f"one path x 10^6 steps: {(time.perf_counter() - begin) * 1e3:.0f} ns a step"


def high_dimension(d: int = 1000, k: int = 20, paths: int = 768, steps: int = 20) -> str:
    """d = 1000, D of rank 20: against the two matrix products alone."""
    rng = np.random.default_rng(0)
    H = rng.normal(size=(d, d))
    H = H @ H.T / d + np.eye(d)
    V = np.linalg.qr(rng.normal(size=(d, k)))[0]
    process = sg.Langevin(sg.quadratic(H), T=0.5, D=sg.LowRank(V, np.ones(k)))
    run = lambda: sg.simulate(process, np.zeros(d), t=steps * 1e-3, dt=1e-3, n_paths=paths, seed=1, threads=1)  # noqa: E731
    run()
    begin = time.process_time()
    run()
    ours = time.process_time() - begin
    x, z = rng.normal(size=(d, paths)), rng.normal(size=(k, paths))
    begin = time.process_time()
    for _ in range(steps):
        H @ x, V @ z
    products = time.process_time() - begin
    return f"d = {d}, D of rank {k}: {ours / products:.2f} times the CPU time of the matrix products alone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    chosen = parser.parse_args()
    threads = chosen.threads
    lines = [
        f"| problem | | 1 thread, CPU | {threads} threads, wall | limit, 1 thread | limit / ours |",
        "|---|---|---|---|---|---|",
    ]
    for problem, name, build, paths, bound in CASES:
        if chosen.only not in f"{problem} {name}":
            continue
        single, together = measure(build, paths, 1), measure(build, paths, threads)
        if single is None or together is None:
            continue
        found = limit.run(*bound, 1)["cpu_ns"] if bound and limit.build() else None
        ratio = "" if found is None else f"{found:.2f} | {found / single[0]:.2f}"
        lines.append(f"| {problem} | {name} | {single[0]:.2f} | {together[1]:.2f} | {ratio or ' | '} |")
        print(lines[-1], flush=True)
    notes = [] if chosen.only else [single_path(), high_dimension()]
    print(*notes, sep="\n")
    text = "ns per path-step, `make bench`, median of 5\n\n" + "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"
    if not chosen.only:
        (Path(__file__).parent / "results" / "sde.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
