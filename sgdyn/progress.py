"""A progress bar that appears only when work takes long and somebody is watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

PATIENCE = 1.0


class Progress(Protocol):
    def __call__(self, done: float) -> None: ...


class _Bar:
    """Shows itself after `PATIENCE` seconds; `shown=True` at once, `shown=False` never."""

    def __init__(self, title: str, shown: bool | None) -> None:
        self.title, self.started = title, time.monotonic()
        self.bar: Any = None
        self.task: Any = None
        self.wanted = sys.stderr.isatty() if shown is None else shown
        self.patience = 0.0 if shown else PATIENCE
        self.forced = shown

    def __call__(self, done: float) -> None:
        if self.bar is None and self.wanted and time.monotonic() - self.started > self.patience:
            self._open()
        if self.bar is not None:
            self.bar.update(self.task, completed=done)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars

        self.bar = Bars(console=Console(stderr=True, force_terminal=self.forced), transient=True)
        self.task = self.bar.add_task(self.title, total=1.0)
        self.bar.start()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


@contextmanager
def progress(title: str, shown: bool | None = None) -> Iterator[Progress]:
    """A function of the fraction done; True shows the bar at once, False never, None if standard error is a terminal and work takes long."""
    bar = _Bar(title, shown)
    try:
        yield bar
    finally:
        bar.close()
