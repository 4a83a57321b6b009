"""Whether a saddle borders on a well: where the drift leads from its two sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from sgdyn.escape.expansions import LARGEST_TENSOR
from sgdyn.escape.surfaces import jacobian
from sgdyn.fields import Field

Floats = NDArray[np.float64]

NEAR = 0.02
"""A path within this share of the distance between well and saddle has arrived."""
LONGEST = 300.0
"""In units of the growth time at the saddle."""


def stranger_note(drift: Field, well: Floats, saddle: Floats) -> tuple[str, ...]:
    """What to say of a saddle from which both ways down end elsewhere: the well is not next to it. Nothing above 12 dimensions."""
    distance = float(np.linalg.norm(saddle - well))
    if len(well) > LARGEST_TENSOR or distance == 0:
        return ()
    values, vectors = np.linalg.eig(jacobian(drift, saddle))
    k = int(np.argmax(values.real))
    if values[k].real <= 0:
        return ()
    step, time = 1e-3 * distance * vectors[:, k].real, LONGEST / float(values[k].real)
    if not all(_rests_elsewhere(drift, saddle + sign * step, well, NEAR * distance, time) for sign in (1, -1)):
        return ()
    place, start = (np.array2string(x, precision=4) for x in (saddle, well))
    return (
        f"from the saddle {place} both ways down lead elsewhere than to the well {start}: this time leaves out the wells between; type the "
        "saddles next to the well, which sg.critical_points(U, box).graph shows",
    )


def _rests_elsewhere(drift: Field, x: Floats, well: Floats, near: float, time: float) -> bool:
    """Whether the drift takes x to rest without having come near the well."""

    def arrives(_: float, y: Floats) -> float:
        return float(np.linalg.norm(y - well)) - near

    arrives.terminal = True  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        flow = solve_ivp(lambda _, y: drift(y), (0, time), x, "LSODA", events=arrives, rtol=1e-6, atol=1e-3 * near)
        if len(flow.t_events[0]) or not flow.success:
            return False
        speeds = np.linalg.norm(drift(flow.y.T), axis=1)
    return bool(speeds[-1] < 1e-3 * speeds.max())
