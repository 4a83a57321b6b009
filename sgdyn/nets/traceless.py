"""Calling models and data sets of users without leaving a trace: random states, and what tensors hold."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """The global random states of Python, NumPy and torch are afterwards what they were before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state of others is to be restored
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def random_states(device: torch.device) -> tuple[Any, ...]:
    """Something that differs after random numbers were drawn from a global generator of Python, NumPy or torch."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    here = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.empty(0)
    return random.getstate(), repr(numpy[2:]), bytes_of(numpy[1]), bytes_of(torch.get_rng_state()), bytes_of(here)


def bytes_of(value: Any) -> bytes:
    """Shape, type and content of a tensor or an array."""
    tensor = torch.as_tensor(value).detach().cpu().contiguous()
    head = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return head + (tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")


def digest(*values: Tensor | str) -> str:
    """SHA-256 of texts and of tensors with their shapes and types, the first 16 hexadecimal digits."""
    content = hashlib.sha256()
    for value in values:
        part = value.encode() if isinstance(value, str) else bytes_of(value)
        content.update(len(part).to_bytes(8, "little") + part)
    return content.hexdigest()[:16]
