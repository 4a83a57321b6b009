"""The problems B1, B2, B3 as other libraries solve them, one module for each library.

Each module has `build(problem, paths, steps, threads, precision) -> callable | None`: the callable runs the whole ensemble by Euler-Maruyama
(for "SRA1" by a strong order 1.5 method on B1) and returns the last states as (paths, components) or (paths,); None means that the library
is not installed or does not have the problem. `measure.py` times them all, each in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[[], object]
