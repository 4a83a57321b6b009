"""Ctrl-C after some seconds, and only while the block lasts."""

import _thread
import signal
import threading
from contextlib import contextmanager

AGAIN = 20.0
"""Python loses an interrupt that comes in a finalizer, as there are many while something is compiled."""


@contextmanager
def interrupted_after(seconds):
    over = threading.Event()

    def interrupt():
        pause = seconds
        while not over.wait(pause):
            _thread.interrupt_main()
            pause = AGAIN

    thread = threading.Thread(target=interrupt, daemon=True)
    with interruptible():
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def interruptible():
    """Ctrl-C raises KeyboardInterrupt; shells let jobs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
