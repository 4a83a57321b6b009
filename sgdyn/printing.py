"""How results print: in a few words for each part, however large it is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from sgdyn.estimate import Estimate, rounded

FEW, LONG = 9, 60


class Printed:
    """A dataclass (with repr=False) that prints its name and parts: small arrays as they are, large ones by their shapes, other objects by their names."""

    def __repr__(self) -> str:
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}  # type: ignore[arg-type]
        shown = ", ".join(
            f"{name}={words(part)}" for name, part in parts.items() if part is not None and not _is_empty(part)
        )
        return f"{type(self).__name__}({shown})"


def words(part: Any) -> str:
    """One part in a few words."""
    if isinstance(part, str | bool | int | np.integer):
        return repr(part)
    if isinstance(part, float | complex | np.floating | np.complexfloating):
        return f"{part:.6g}"
    if hasattr(part, "shape") and hasattr(part, "dtype"):
        return _array(part)
    if isinstance(part, tuple | list | dict):
        return f"{len(part)} item{'s' * (len(part) != 1)}"
    if isinstance(part, Estimate) and np.ndim(part.value) == 0:
        return rounded(float(part.value), float(part.error))
    text = str(part).partition("\n")[0]
    return text if len(text) <= LONG and not text.startswith("<") else type(part).__name__


def _array(part: Any) -> str:
    if np.prod(part.shape) <= FEW and isinstance(part, np.ndarray):
        return np.array2string(part, precision=4, separator=", ").replace("\n", "")
    return f"array{tuple(part.shape)}"


def _is_empty(part: Any) -> bool:
    return isinstance(part, tuple | list | dict | str) and not part
