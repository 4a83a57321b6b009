"""What does the disk cache save? The same script in a first and a second process; and the import beside those of its parts."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import numpy as np, sgdyn as sg
@sg.potential(dim=2)
def U(x, a=1.0): return a * np.exp(-x[0]**2) + (x[0]**2 + x[1]**2) / 2 + np.cos(x[1])
sg.simulate(sg.Langevin(U, T=0.3), [0.1, 0.2], t=1, dt=0.01, n_paths=9, seed=1)
"""
AGAIN = SCRIPT.replace("np.cos(x[1])", "np.sin(x[0] * x[1])")


def seconds(code: str, cache: str) -> float:
    """CPU time, which other work on the machine stretches less than the time on the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "SGDYN_CACHE": cache}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        rows = [
            ("first process, empty cache", seconds(SCRIPT, cache)),
            ("second process, same potential", seconds(SCRIPT, cache)),
        ]
        rows += [("new potential, engine cached", seconds(AGAIN, cache))]
        imports = {
            name: statistics.median(seconds(f"import {name}", cache) for _ in range(5))
            for name in ("numpy, scipy, numba", "sgdyn")
        }
    rows += [(f"import {name}", value) for name, value in imports.items()]
    lines = [
        "whole processes, seconds of CPU",
        "",
        "| what | s |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in rows),
    ]
    print("\n".join(lines))
    (Path(__file__).parent / "results" / "cache.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
