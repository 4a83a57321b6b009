"""Work spread over any `concurrent.futures` executor: threads, processes, a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import cloudpickle

from sgdyn.progress import Progress

PORTIONS = 32
Task = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def portions(n: int, unit: int = 1) -> list[tuple[int, int]]:
    """[begin, end) of at most 32 nearly equal portions of n paths, each a whole number of units but the last."""
    size = max(1, -(-n // (PORTIONS * unit))) * unit
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]


def spread(executor: Executor, tasks: Sequence[Task], tell: Progress) -> Iterator[Any]:
    """The results of the tasks in their order; Ctrl-C ends them early.

    Tasks travel as bytes of cloudpickle, which knows functions that were written in a notebook; so do the errors they raise.
    """
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"got executor={executor!r}, expected one of concurrent.futures; type executor=ThreadPoolExecutor(2)"
        )
    futures: list[Future[bytes]] = [executor.submit(_perform, cloudpickle.dumps(task)) for task in tasks]
    try:
        for number, future in enumerate(futures, 1):
            result, error = cloudpickle.loads(future.result())
            if error is not None:
                raise error
            yield result
            tell(number / len(futures))
    except KeyboardInterrupt:
        return
    finally:
        for future in futures:
            future.cancel()


def _perform(task: bytes) -> bytes:
    """Run a task where the executor has taken it."""
    function, arguments, options = cloudpickle.loads(task)
    try:
        return bytes(cloudpickle.dumps((function(*arguments, **options), None)))
    except Exception as error:
        return bytes(cloudpickle.dumps((None, error)))
