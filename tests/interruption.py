"""Ctrl-C after some seconds, and only while the block lasts."""

import _thread
import threading
from contextlib import contextmanager


@contextmanager
def interrupted_after(seconds):
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
