"""How fast is the GPU? Path-steps a second of the double well (B1): Euler-Maruyama, one thread a path, observables reduced on the device.

Needs a CUDA device: `pip install "sgdyn[cuda]"`, then `python benchmarks/cuda.py`. Wall time of whole calls on a warm cache, median of five,
for moments looked at rarely and at every step, a histogram, and stored final points. The goal is 1e11 path-steps/s in float32 with normals of float32 accuracy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import sgdyn as sg

DT, T = 1e-2, 0.1
REPEATS = 5
GOAL = 1e11


def rate(run: Callable[[], object], path_steps: float) -> float:
    """Path-steps a second; the first run compiles."""
    run()
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return path_steps / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=2**22)
    parser.add_argument("--steps", type=int, default=20_000)
    given = parser.parse_args()
    process = sg.landscapes.double_well().problem(T)
    moments, density = {"moments": sg.Covariance()}, {"density": sg.Histogram(sg.Grid([(-2, 2, 200)]))}
    for precision, noise in (("float32", "single"), ("float64", "single"), ("float64", "double")):
        options = {
            "t": given.steps * DT,
            "dt": DT,
            "n_paths": given.paths,
            "seed": 1,
            "precision": precision,
            "noise": noise,
            "device": "cuda",
        }
        runs = {
            "moments every 100 steps": lambda o=options: sg.observe(process, [0.0], moments, every=100, **o),
            "moments every step": lambda o=options: sg.observe(process, [0.0], moments, **o),
            "histogram every step": lambda o=options: sg.observe(process, [0.0], density, **o),
            "final points": lambda o=options: sg.simulate(process, [0.0], **o),
        }
        print(f"{precision} state, {noise} normals")
        for name, run in runs.items():
            speed = rate(run, given.paths * given.steps)
            print(f"  {name}: {speed:.3g} path-steps/s, {speed / GOAL:.2f} of the goal of {GOAL:.0e}")


if __name__ == "__main__":
    main()
