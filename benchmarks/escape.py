"""Rare events side by side: `python -m benchmarks.escape`.

Mean times to the other well over barriers of 10, 12 and 15 T: adaptive multilevel splitting and forward flux against the double integral in one
dimension (x⁴/4 - x²/2, from -1 to 1; twelve digits), and against the grid solver in two (the same with a stiff direction that is ten times
stiffer at the saddle, from (-1, 0) to x0 = 0; its error is that of two grids). dt = 0.005, seed 1, 2 threads. Direct simulation is not
run: its seconds are those of as many path-steps as an equal relative error takes, (value/error)² times value/dt, at the speed
measured for `simulate` of the same process. Nothing is tuned; what is compiled is compiled before. Wall seconds are upper bounds: other
work shared the two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sgdyn as sg

DT, THREADS, BARRIERS = 0.005, 2, (10, 12, 15)
WELL = sg.landscapes.double_well()


@sg.potential(dim=2)
def narrowing(x):
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + 2 * (1 + 9 * np.exp(-2 * x[0] ** 2)) * x[1] ** 2


def line(T: float) -> tuple[Any, list[float], Callable[[Any], Any], sg.Estimate]:
    process = WELL.problem(T)
    return process, [-1.0], lambda x: x[0] > 1, sg.mean_first_passage_1d(process, -1, 1)


def plane(T: float) -> tuple[Any, list[float], Callable[[Any], Any], sg.Estimate]:
    process = sg.Langevin(narrowing, T)
    generator = sg.fokker_planck(process, sg.Grid([(-1.8, 1.8, 200), (-0.6, 0.6, 120)]))
    return process, [-1.0, 0.0], lambda x: x[0] > 0, generator.mean_first_passage(lambda x: x[0] > 0, [-1.0, 0.0])


METHODS: dict[str, dict[str, Any]] = {"splitting": {}, "forward flux": {"method": sg.ForwardFlux()}}


def speed(process: Any, start: list[float]) -> float:
    """Wall seconds per path-step of direct simulation."""
    run = lambda: sg.simulate(process, start, t=20, dt=DT, n_paths=4096, seed=0, threads=THREADS)  # noqa: E731
    run()
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) / (4096 * 20 / DT)


def rows(name: str, build: Callable[[float], Any]) -> list[str]:
    found = []
    for barrier in BARRIERS:
        process, start, region, exact = build(0.25 / barrier)
        pace = speed(process, start)
        for method, options in METHODS.items():
            wall, cpu = time.perf_counter(), time.process_time()
            time_out = sg.mean_escape_time(
                process, start, region, dt=DT, seed=1, threads=THREADS, show_progress=False, **options
            )
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            direct = pace * float(time_out) / DT * (float(time_out) / time_out.error) ** 2
            found.append(
                f"| {name}, {barrier} T | {method} | {float(exact):.5g} | {float(time_out):.4g} ± {time_out.error:.2g} | "
                f"{time_out.pull(exact):+.1f} | {wall:.1f} | {cpu:.1f} | {direct:.2g} |"
            )
            print(found[-1], flush=True)
    return found


def main() -> None:
    warm = WELL.problem(0.05)
    for options in METHODS.values():
        sg.mean_escape_time(warm, [-1.0], lambda x: x[0] > 1, dt=DT, seed=0, show_progress=False, **{**options, "repetitions": 2})  # fmt: skip
    header = [
        "| barrier | method | reference | found | pull | wall s | CPU s | direct simulation, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines = header + rows("one dimension", line) + rows("narrowing valley", plane)
    text = f"{(__doc__ or '').strip()}\n\n" + "\n".join(lines) + "\n"
    (Path(__file__).parent / "results" / "escape.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
