"""What the hardware can do: a vector C++ program of the same work with the same Philox words (limit.cpp), built with the machine's g++.

run("B1", "double", threads=2) gives {"cpu_ns": ..., "wall_ns": ..., "mean": ..., "second_moment": ..., ...}: process CPU and wall time over
path-steps, median of five, and what the last states have for moments, so that the work can be compared with that of `sgdyn.simulate`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import platformdirs

PROBLEMS = ("B1", "B2", "B3", "walls", "moments", "passage", "SRA1")
PRECISIONS = ("double", "single", "float32")
"""float64 with 52-bit normals, float64 with normals accurate to float32, float32 throughout."""

SOURCES = tuple(sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".cpp", ".h")))
FLAGS = ("-std=gnu++17", "-O3", "-march=native", "-pthread")


def build() -> Path | None:
    """The compiled program; None where there is no g++ or the machine lacks AVX2.

    Kept in the user's cache, by the hash of the sources and of what the processor can do.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    text = b"".join(path.read_bytes() for path in SOURCES) + " ".join(FLAGS).encode() + _processor()
    folder = platformdirs.user_cache_path("sgdyn", appauthor=False) / "limit"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / hashlib.sha256(text).hexdigest()[:16]
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        source = next(path for path in SOURCES if path.suffix == ".cpp")
        done = subprocess.run([compiler, *FLAGS, str(source), "-o", str(fresh)], capture_output=True, text=True)
        if done.returncode:
            if "needs AVX2" in done.stderr:
                return None
            raise RuntimeError(f"g++ did not compile {source}:\n{done.stderr}")
        fresh.replace(program)
    return program


def _processor() -> bytes:
    """What -march=native depends on: the flags of the first processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return b"".join(sorted({line for line in lines if line.startswith((b"flags", b"model name"))}))


def run(problem: str, precision: str, threads: int, key: tuple[int, int] | None = None) -> dict[str, Any]:
    """One case, measured. `key` is that of sgdyn.randomness.key(seed), if the words of a seed are wanted."""
    if problem not in PROBLEMS or precision not in PRECISIONS:
        raise ValueError(f"got {problem!r} and {precision!r}, expected one of {PROBLEMS} and one of {PRECISIONS}")
    program = build()
    if program is None:
        raise RuntimeError("the limit program needs g++ and a processor with AVX2")
    words = [] if key is None else [str(int(word)) for word in key]
    command = [str(program), problem, precision, str(threads), *words]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return result
