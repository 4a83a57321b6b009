"""How fast are SDE ensembles? Ours, a naive Numba loop, NumPy and raw torch on the same problem in one run; ratios printed.

B1 of the engine: the double well U = x⁴/4 - x²/2, Euler-Maruyama, 10^5 paths x 10^3 steps (the peers on fewer paths, where they are slow).
ns per path-step and core: process CPU time over path-steps, median of five; and wall time with all threads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit, prange

import sgdyn as sg

DT, T, STEPS = 1e-2, 0.1, 1000
SCALE = float(np.sqrt(2 * T * DT))
REPEATS = 5


def ours(paths: int, threads: int) -> Callable[[], object]:
    process = sg.landscapes.double_well().problem(T)
    return lambda: sg.simulate(process, [0.0], t=STEPS * DT, dt=DT, n_paths=paths, seed=1, threads=threads).x


def ours_2d(paths: int, threads: int) -> Callable[[], object]:
    process = sg.landscapes.muller_brown().problem(10.0)
    return lambda: (
        sg.simulate(process, [-0.55, 1.44], t=STEPS * 1e-5, dt=1e-5, n_paths=paths, seed=1, threads=threads).x
    )


def ours_dense(paths: int, threads: int) -> Callable[[], object]:
    d = 10
    H = np.array([[0.5 ** abs(i - j) + ((i + 1) / 5 if i == j else 0) for j in range(d)] for i in range(d)])
    process = sg.Langevin(sg.quadratic(H), T=0.5, D=np.eye(d) + 0.3)
    return lambda: sg.simulate(process, np.zeros(d), t=STEPS * DT, dt=DT, n_paths=paths, seed=1, threads=threads).x


def ours_passage(paths: int, threads: int) -> Callable[[], object]:
    process = sg.landscapes.double_well().problem(T)

    def run() -> object:
        try:
            return sg.first_passage(
                process, [-1.0], lambda x: x[0] > 3, dt=DT, n_paths=paths, t_max=STEPS * DT, seed=1, threads=threads
            )
        except sg.CensoredError as error:
            return error

    return run


@njit(parallel=True, fastmath=True)
def _naive(paths: int) -> np.ndarray:  # type: ignore[type-arg]
    out = np.empty(paths)
    for p in prange(paths):
        x = 0.0
        for _ in range(STEPS):
            x += (x - x**3) * DT + SCALE * np.random.standard_normal()  # noqa: NPY002
        out[p] = x
    return out


def naive_numba(paths: int, threads: int) -> Callable[[], object]:
    import numba

    numba.set_num_threads(threads)
    return lambda: _naive(paths)


def numpy_loop(paths: int, threads: int) -> Callable[[], object]:
    def run() -> object:
        rng, x = np.random.Generator(np.random.SFC64(1)), np.zeros(paths)
        for _ in range(STEPS):
            x += (x - x * x * x) * DT + SCALE * rng.standard_normal(paths)
        return x

    return run


def torch_loop(paths: int, threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)

    def run() -> object:
        x = torch.zeros(paths)
        for _ in range(STEPS):
            x = x + (x - x * x * x) * DT + SCALE * torch.randn(paths)
        return x

    return run


PROBLEMS = {
    "double well, ours (float64, 52-bit normals)": (ours, 100_000),
    "double well, naive Numba loop (float64)": (naive_numba, 20_000),
    "double well, NumPy SFC64 (float64)": (numpy_loop, 20_000),
    "double well, torch loop (float32)": (torch_loop, 20_000),
    "double well, ours, first passage": (ours_passage, 100_000),
    "Müller-Brown as typed, ours": (ours_2d, 20_000),
    "10-d dense linear, ours": (ours_dense, 10_000),
}


def measure(build: Callable[[int, int], Callable[[], object]], paths: int, threads: int) -> tuple[float, float]:
    """(CPU, wall) nanoseconds per path-step."""
    run = build(paths, threads)
    run()
    cpu, wall = [], []
    for _ in range(REPEATS):
        c, w = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    scale = 1e9 / (paths * STEPS)
    return statistics.median(cpu) * scale, statistics.median(wall) * scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    lines = [f"| problem | 1 thread, CPU | {threads} threads, wall | over ours |", "|---|---|---|---|"]
    base = 0.0
    for name, (build, paths) in PROBLEMS.items():
        single, together = measure(build, paths, 1)[0], measure(build, paths, threads)[1]
        base = base or together
        ratio = f"{together / base:.1f}" if name.startswith("double well") else ""
        lines.append(f"| {name} | {single:.2f} | {together:.2f} | {ratio} |")
        print(lines[-1], flush=True)
    text = "ns per path-step, `make bench`, median of 5\n\n" + "\n".join(lines) + "\n"
    (Path(__file__).parent / "results" / "sde.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
