"""The errors that carry something: a number that was refused, a place where a path was lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BranchError(TypeError):
    """A traced function decided something by the value of x."""


class BlowUpError(FloatingPointError):
    """A path left the finite numbers; `.path`, `.time` say which and when, `.dt` a step size that would be stable (or None)."""

    def __init__(self, message: str, *, path: int, time: float, dt: float | None) -> None:
        super().__init__(message)
        self.path, self.time, self.dt = path, time, dt

    def __reduce__(self) -> Any:
        return partial(type(self), path=self.path, time=self.time, dt=self.dt), self.args


class CensoredError(RuntimeError):
    """Some paths had not arrived when the clock ran out, so that their mean would be biased.

    `.times` (n,) holds the arrival times that are known (NaN for the others), `.waiting` the number of the others, `.limit` the time
    up to which they waited.
    """

    def __init__(self, message: str, *, times: NDArray[np.float64], waiting: int, limit: float) -> None:
        super().__init__(message)
        self.times, self.waiting, self.limit = times, waiting, limit

    def __reduce__(self) -> Any:
        return partial(type(self), times=self.times, waiting=self.waiting, limit=self.limit), self.args


class NotConvergedError(RuntimeError):
    """An iteration ended before its tolerance; the message says how far it came and what to type. `.reached`: where it ended, or None."""

    def __init__(self, message: str, *, reached: Any = None) -> None:
        super().__init__(message)
        self.reached = reached
