"""Time the peers: `python benchmarks/peers/measure.py --threads 2`, with the Python of an environment that has them installed.

Prints a JSON line for each (library, problem, precision, threads): nanoseconds per path-step, wall and process CPU time, median of three
after one run that is not counted (it compiles), the load average when it ended (other jobs make wall times longer: above the number of
threads they mean little), and the moments of the last states, to see that the work is the same. Each case has a
process of its own, one at a time. Slow libraries get fewer paths and steps: their time per path-step does not depend on them by then.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPEATS, TIMEOUT = 3, 300

SERIAL = ("raw_numpy", "with_sdeint")  # measured with one thread only

# library: {problem: (paths, steps)}, precisions
CASES: dict[str, tuple[dict[str, tuple[int, int]], tuple[str, ...]]] = {
    "raw_numpy": ({"B1": (20_000, 1000), "B2": (5_000, 500), "B3": (5_000, 1000)}, ("float64", "float32")),
    "raw_torch": ({"B1": (20_000, 1000), "B2": (5_000, 500), "B3": (10_000, 1000)}, ("float64", "float32")),
    "raw_numba": ({"B1": (20_000, 1000), "B2": (2_000, 1000), "B3": (5_000, 1000)}, ("float64",)),
    "raw_jax": ({"B1": (20_000, 1000), "B2": (5_000, 500), "B3": (5_000, 1000)}, ("float64", "float32")),
    "with_diffrax": (
        {"B1": (10_000, 1000), "B2": (2_000, 500), "B3": (5_000, 1000), "SRA1": (10_000, 500)},
        ("float64", "float32"),
    ),
    "with_torchsde": (
        {"B1": (20_000, 500), "B2": (2_000, 500), "B3": (10_000, 500), "SRA1": (10_000, 500)},
        ("float64",),
    ),
    "with_sdeint": ({"B1": (50, 1000), "B2": (50, 1000), "B3": (20, 1000)}, ("float64",)),
    "with_pyito": ({"B1": (10_000, 1000), "B2": (2_000, 500), "B3": (5_000, 1000)}, ("float64",)),
    "with_pychastic": ({"B1": (5_000, 500), "B2": (200, 100), "B3": (1_000, 500)}, ("float32",)),
}


def measure(library: str, problem: str, precision: str, threads: int, paths: int, steps: int) -> dict[str, object]:
    """One case in this process; {"skipped": why} where there is nothing to run."""
    import numpy as np

    run = importlib.import_module(f"benchmarks.peers.{library}").build(problem, paths, steps, threads, precision)
    if run is None:
        return {"skipped": "not installed, or without this problem, precision or number of threads"}
    states = np.asarray(run(), dtype=np.float64)
    cpu, wall = [], []
    for _ in range(REPEATS):
        c, w = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    nanoseconds = 1e9 / (paths * steps)
    return {
        "wall_ns": round(statistics.median(wall) * nanoseconds, 2),
        "cpu_ns": round(statistics.median(cpu) * nanoseconds, 2),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "mean": round(float(states.mean()), 5),
        "second_moment": round(float((states**2).mean()), 5),
    }


def in_a_process(library: str, problem: str, precision: str, threads: int, paths: int, steps: int) -> dict[str, object]:
    """`measure` in a fresh process that is told the thread count in every way there is."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"JAX_PLATFORMS": "cpu"}
    case = json.dumps([library, problem, precision, threads, paths, steps])
    command = [sys.executable, "-m", "benchmarks.peers.measure", "--worker", case]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"skipped": f"more than {TIMEOUT} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"skipped": "failed: " + (lines[-1] if lines else f"exit status {done.returncode}")}
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="measure with one thread and with this many")
    parser.add_argument("--library", choices=CASES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--problem", choices=("B1", "B2", "B3", "SRA1"), action="append", help="only this one")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*json.loads(options.worker))))
        return
    for library in options.library or CASES:
        problems, precisions = CASES[library]
        for problem, (paths, steps) in problems.items():
            if options.problem and problem not in options.problem:
                continue
            for precision in precisions:
                for threads in (1,) if library in SERIAL else sorted({1, options.threads}):
                    head = {"library": library, "problem": problem, "precision": precision, "threads": threads}
                    result = in_a_process(library, problem, precision, threads, paths, steps)
                    print(json.dumps(head | {"paths": paths, "steps": steps} | result), flush=True)


if __name__ == "__main__":
    main()
