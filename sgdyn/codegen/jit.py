"""How Python functions become machine code: one set of options, one disk cache, nothing compiled before it is called."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from functools import cache, cached_property, wraps
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import platformdirs
from numba import njit, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.errors import NumbaExperimentalFeatureWarning
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

MATRIX, VECTOR = types.float64[:, ::1], types.float64[::1]
MATRIX32, VECTOR32 = types.float32[:, ::1], types.float32[::1]
FIELD_BLOCK = types.FunctionType(types.void(MATRIX, VECTOR, MATRIX))
"""`field(x[dim, n], theta, out[size, n])`: any tensor field on a block of n paths."""
NOISE_BLOCK = types.FunctionType(types.void(MATRIX, VECTOR, MATRIX, MATRIX))
"""`noise(x[dim, n], theta, z[rank, n], out[dim, n])`: sigma(x) z."""

PIVOT_TOLERANCE = 1e-13
"""A Cholesky pivot below this fraction of its diagonal element is the rounding error of a zero."""

# No "reassoc": a number must not depend on the block it was computed in. No "nnan": a blow-up must be seen.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}
helper: Callable[[Callable[..., Any]], Any] = njit(forceinline=True, **_OPTIONS)
exact_helper: Callable[[Callable[..., Any]], Any] = njit(forceinline=True, nogil=True, error_model="numpy")


STACK_ALIGNMENT = 64
_LOADING = threading.RLock()


class _AlignedLower(Lower):  # type: ignore[misc]
    """Machine code whose stack begins with a cache line.

    Left to itself LLVM decides too late to align it (there is no frame pointer any more), and every other vector that is spilled lies
    across two lines: by chance of the callers' stacks a kernel takes a tenth longer, or a third.
    """

    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        self.function.attributes.alignstack = STACK_ALIGNMENT
        self.function.attributes.add("nounwind")  # llvmlite writes the alignment only beside another attribute


@register_pass(mutates_CFG=True, analysis_only=False)
class _AlignedLowering(NativeLowering):  # type: ignore[misc]
    _name = "aligned_lowering"
    lowering_class = _AlignedLower


class AlignedCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's usual passes, with that machine code."""

    def define_pipelines(self) -> list[Any]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_AlignedLowering if each is NativeLowering else each, why) for each, why in manager.passes]
        manager.finalize()
        return [manager]


def cache_directory() -> Path:
    """Where generated sources and compiled code are kept: `$SGDYN_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("SGDYN_CACHE")
    directory = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("sgdyn", appauthor=False))
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


@cache
def fingerprint() -> str:
    """A digest of the sources that compiled code depends on.

    Numba's cache looks only at the file a function stands in, so that a changed helper in another file would go unnoticed.
    Kernels that stand elsewhere may call only what stands here and in their own file.
    """
    package = Path(__file__).parent.parent
    sources = sorted(
        [
            *package.glob("codegen/*.py"),
            *package.glob("sde/**/*.py"),
            package / "randomness.py",
            package / "tabulation.py",
        ]
    )
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


@cache
def _digest_with(source: Path) -> str:
    """Of the sources that compiled code depends on and of one more file that holds kernels."""
    return hashlib.sha256(fingerprint().encode() + source.read_bytes()).hexdigest()[:16]


def write_once(path: Path, text: str) -> None:
    """Write a content-addressed file so that no other process ever sees half of it."""
    if path.exists():
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(text)
    Path(part.name).replace(path)


def load(path: Path) -> ModuleType:
    """The module generated into `path`, registered in `sys.modules`: Numba's cache loader looks for it there."""
    name = f"sgdyn_generated_{path.stem}"
    with _LOADING:  # another thread must not see a module that is not executed yet
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[name]


def compiled(function: Callable[..., Any], signature: Any) -> Any:
    """`function` compiled for one signature, from disk if it was compiled before."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", NumbaExperimentalFeatureWarning
        )  # functions as values, which are pinned by tests
        return njit(signature, cache=True, pipeline_class=AlignedCompiler, **_OPTIONS)(function)


def _stamped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, filed under the fingerprint of the package and of its own file instead of under that file."""
    digest = _digest_with(Path(function.__code__.co_filename))
    stamp = cache_directory() / f"kernels_{digest}.py"
    write_once(stamp, f'"""Marks the cache of the kernels whose sources have the digest {digest}."""\n')
    code = function.__code__.replace(co_filename=str(stamp))
    return wraps(function)(FunctionType(code, function.__globals__, function.__name__))


class Kernel:
    """A function that is compiled for its one signature at its first call, and found on disk by later processes."""

    def __init__(self, function: Callable[..., Any], signature: Any) -> None:
        self._function, self._signature = function, signature
        self.__doc__ = function.__doc__

    def __reduce__(self) -> Any:
        return _named, (self._function.__module__, self._function.__name__)

    @cached_property
    def compiled(self) -> Any:
        return compiled(_stamped(self._function), self._signature)

    def __call__(self, *arguments: Any) -> Any:
        return self.compiled(*arguments)


def _named(module: str, name: str) -> Kernel:
    """The kernel of a module, for another process."""
    found: Kernel = getattr(importlib.import_module(module), name)
    return found


def kernel(*arguments: Any, returns: Any = types.void) -> Callable[[Callable[..., Any]], Kernel]:
    """Declare a compiled function of these Numba argument types."""
    return lambda function: Kernel(function, returns(*arguments))
