"""How fast is the GPU? Path-steps a second of the double well (B1): Euler-Maruyama, one thread a path, moments reduced on the device.

Needs a CUDA device: `pip install "sgdyn[cuda]"`, then `python benchmarks/cuda.py`. Wall time of whole calls on a warm cache, median of five,
and the same for stored final points. The goal is 1e11 path-steps/s in float32 with normals of float32 accuracy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import sgdyn as sg
from sgdyn.sde.cuda import observe_moments

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
    for precision, noise in (("float32", "single"), ("float64", "single"), ("float64", "double")):
        options = {
            "t": given.steps * DT,
            "dt": DT,
            "n_paths": given.paths,
            "seed": 1,
            "precision": precision,
            "noise": noise,
        }
        moments = rate(lambda options=options: observe_moments(process, [0.0], **options), given.paths * given.steps)
        points = rate(
            lambda options=options: sg.simulate(process, [0.0], device="cuda", **options), given.paths * given.steps
        )
        print(
            f"{precision} state, {noise} normals: {moments:.3g} path-steps/s with moments, {points:.3g} with final points"
        )
        if precision == "float32":
            print(f"  {moments / GOAL:.2f} of the goal of {GOAL:.0e}")


if __name__ == "__main__":
    main()
