"""A progress bar that appears only when work takes long and somebody is watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

PATIENCE = 1.0


class Progress(Protocol):
    def __call__(self, done: float) -> None: ...


class Stages(Progress, Protocol):
    """The progress of work that is made of several pieces of work."""

    def stage(self, number: int, count: int) -> None:
        """Work number `number` of `count` begins; bars that are opened meanwhile become its share of this one."""


class _Bar:
    """Shows itself after `PATIENCE` seconds; `shown=True` at once, `shown=False` never."""

    def __init__(self, title: str, shown: bool | None) -> None:
        self.title, self.started = title, time.monotonic()
        self.bar: Any = None
        self.task: Any = None
        self.wanted = sys.stderr.isatty() if shown is None else shown
        self.patience = 0.0 if shown else PATIENCE
        self.forced = shown
        self.share: tuple[float, float] | None = None

    def __call__(self, done: float) -> None:
        if self.bar is None and self.wanted and time.monotonic() - self.started > self.patience:
            self._open()
        if self.bar is not None:
            self.bar.update(self.task, completed=done)

    def stage(self, number: int, count: int) -> None:
        self.share = (number / count, (number + 1) / count)
        self(self.share[0])

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars

        self.bar = Bars(console=Console(stderr=True, force_terminal=self.forced), transient=True)
        self.task = self.bar.add_task(self.title, total=1.0)
        self.bar.start()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


class _Part(_Bar):
    """The bar of a part of some work, shown as a share of the bar of the whole."""

    def __init__(self, whole: _Bar, share: tuple[float, float]) -> None:
        super().__init__("", False)
        self.whole, self.span = whole, share

    def __call__(self, done: float) -> None:
        first, last = self.span
        self.whole(first + (last - first) * min(max(done, 0.0), 1.0))


_around: ContextVar[_Bar | None] = ContextVar("_around", default=None)
"""The bar of the work that this is a part of."""


@contextmanager
def progress(title: str, shown: bool | None = None) -> Iterator[Stages]:
    """A function of the fraction done; True shows the bar at once, False never, None if standard error is a terminal and work takes long.

    Within a `stage` of another bar it moves that one instead.
    """
    whole = _around.get()
    bar = _Bar(title, shown) if whole is None or whole.share is None else _Part(whole, whole.share)
    before = _around.set(bar)
    try:
        yield bar
    finally:
        _around.reset(before)
        bar.close()
