"""Numbers that know their error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value, its standard error (or error bound, as `method` says), and how it was found.

    value, error: numbers or arrays of one shape. `samples`: the independent samples behind it, if any. `warnings`: what makes it less
    certain than the error says, each with a size. `float(e)` is the value; it prints as `49.9 ± 1.0  (2000 paths, dt=0.002)`.
    """

    value: Any
    error: Any
    method: str
    samples: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()

    def __float__(self) -> float:
        return float(self.value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.array(self.value, dtype=dtype)

    def pull(self, other: Any) -> Any:
        """(value - other)/error, the errors of two estimates added in squares."""
        reference, spread = (other.value, other.error) if isinstance(other, Estimate) else (other, 0.0)
        return (np.asarray(self.value) - reference) / np.hypot(self.error, spread)

    def agrees(self, other: Any, errors: float = 4.0) -> bool:
        """True if every component of the pull is at most `errors` in size."""
        return bool(np.all(np.abs(self.pull(other)) <= errors))

    def __str__(self) -> str:
        number = (
            rounded(float(self.value), float(self.error))
            if np.ndim(self.value) == 0
            else f"{self.value} ± {self.error}"
        )
        return f"{number}  ({self.method})" + "".join(f"\n  note: {warning}" for warning in self.warnings)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The distribution of the samples, or the value with its error bar (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def rounded(value: float, error: float) -> str:
    """`value ± error` with two digits of the error; many digits or extreme sizes as powers of ten."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return f"{value:.10g} ± {error:.2g}"
    size = math.floor(math.log10(abs(value))) if value else 0
    digits = 1 - math.floor(math.log10(error))
    if (size >= 6 or size < -4) and digits + size < 7:
        places = max(0, digits + size)
        return f"({value / 10.0**size:.{places}f} ± {error / 10.0**size:.{places}f})e{size:+03d}"
    if digits > 6:
        return f"{value:.{min(16, digits + size + 1)}g} ± {error:.1e}"
    return f"{value:.{max(0, digits)}f} ± {error:.{max(0, digits)}f}"


def of_samples(samples: Any, method: str, warnings: tuple[str, ...] = ()) -> Estimate:
    """The mean of independent samples (n, ...) with its standard error."""
    array = np.asarray(samples, dtype=np.float64)
    if len(array) < 2:
        raise ValueError(
            f"got {len(array)} independent sample, expected at least 2: one sample has no error; type a larger n_paths"
        )
    error = array.std(axis=0, ddof=1) / math.sqrt(len(array))
    mean = array.mean(axis=0)
    if array.ndim == 1:
        return Estimate(float(mean), float(error), method, array, warnings)
    return Estimate(mean, error, method, array, warnings)
