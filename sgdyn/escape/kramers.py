"""The mean time of escape from a well over saddles, by the asymptotic theory that fits the process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.bouchet_reygner import bouchet_reygner
from sgdyn.escape.expansions import LARGEST_TENSOR
from sgdyn.escape.fluctuation import instantons
from sgdyn.escape.kramers_line import kramers_line
from sgdyn.escape.langer import langer, setting
from sgdyn.escape.neighbours import stranger_note
from sgdyn.escape.newton import polished
from sgdyn.escape.regimes import summed
from sgdyn.escape.surfaces import DriftSurface, PotentialSurface
from sgdyn.escape.turnover import melnikov_meshkov
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


def kramers_time(
    problem: Langevin | Momentum, well: ArrayLike, saddle: ArrayLike, *, order: int = 2, path: ArrayLike | None = None
) -> Estimate:
    """The mean time 1/k from a well to the other side of a saddle for high barriers, by the theory that fits the process.

        tau = prefactor e^{barrier/T}

    Langevin in one dimension: Kramers with the next order in T (order=1: without). `Langevin.gibbs`, D = 1, curls with c . grad U = div c = 0,
    D(x) that keeps exp(-U/T): Langer (Eyring-Kramers), with soft directions across the saddle as Berglund and Gentz. `Momentum`: Mel'nikov
    and Meshkov for all friction in one dimension, Kramers-Langer in more. Other drifts with constant D (D that is not a multiple of 1,
    `from_drift`): Bouchet and Reygner along the fluctuation path, which is found as a graph over the chord from well to saddle, or given
    as `path` (points, dim).

    well (dim,) and saddle (dim,), or several saddles (n, dim), whose rates are added: positions of `Momentum` without velocities, moved to the
    critical points next to them. The time to the saddle's separatrix is half of it, and the slowest rate of a symmetric double well twice
    the inverse. The error is the size of the term that is neglected, named in `method`; a barrier below 5 T is warned of,
    and so are saddles that are not next to the well.

    Raises ValueError for barriers below T, points that are no well or saddle, a saddle given twice, degenerate saddles that are no pitchfork,
    and processes that no theory here covers (state-dependent D that does not keep exp(-U/T), in more than one dimension).
    """
    if not isinstance(problem, Langevin | Momentum):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, T=..., D=...)")
    if order not in (1, 2):
        raise ValueError(f"got order={order!r}, expected 1 (leading) or 2 (with the term of order T)")
    dim = problem.U.dim if isinstance(problem, Momentum) else problem.dim
    start = checks.vector("well", well, dim)
    tops = np.atleast_2d(checks.finite("saddle", saddle))
    if dim == 1:
        tops = tops.reshape(-1, 1)
    if tops.shape[-1] != dim:
        raise ValueError(f"got saddle of shape {np.shape(saddle)}, expected ({dim},), or (n, {dim}) for several")
    _check_distinct(tops)
    times = [_noted(time, problem, start, top) for top in tops for time in _over(problem, start, top, order, path)]
    return summed(times, times[0].method.partition(",")[0])


def _check_distinct(saddles: Floats) -> None:
    """Raises ValueError where one saddle is given twice: its rate would count twice."""
    scale = 1 + float(np.abs(saddles).max())
    for k, x in enumerate(saddles):
        if k and np.linalg.norm(saddles[:k] - x, axis=1).min() < 1e-3 * scale:
            raise ValueError(
                f"got the saddle {np.array2string(x, precision=6)} twice, expected every saddle once: rates are added; leave one out"
            )


def _noted(time: Estimate, problem: Langevin | Momentum, well: Floats, saddle: Floats) -> Estimate:
    """The same with a warning where the saddle is not next to the well."""
    if len(well) > LARGEST_TENSOR:
        return time
    drift = (Langevin(problem.U) if isinstance(problem, Momentum) else problem).drift
    try:
        m, s = (polished(DriftSurface(drift), x, name) for x, name in ((well, "well"), (saddle, "saddle")))
    except (NotConvergedError, ValueError):  # a degenerate saddle, which the theory has judged already
        return time
    return replace(time, warnings=(*stranger_note(drift, m, s), *time.warnings))


def _over(problem: Langevin | Momentum, well: Floats, saddle: Floats, order: int, path: Any) -> list[Estimate]:
    """The mean times of the ways over one saddle."""
    if isinstance(problem, Langevin) and problem.dim == 1:
        line = DriftSurface(problem.drift)
        m, s = (polished(line, x, name)[0] for x, name in ((well, "well"), (saddle, "saddle")))
        return [kramers_line(problem, float(m), float(s), order)]
    if problem.U is not None and path is None:
        surface = PotentialSurface(problem.U)
        m, s = polished(surface, well, "well"), polished(surface, saddle, "saddle")
        _check_well(surface.hessian(m), m)
        if isinstance(problem, Momentum) and problem.U.dim == 1:
            return [melnikov_meshkov(problem, float(m[0]), float(s[0]))]
        found = setting(problem, m, s)
        if found is not None:
            return [langer(found, m, s, problem)]
    return _irreversible(problem, well, saddle, path)


def _check_well(H: Floats, x: Floats) -> None:
    lowest = float(np.linalg.eigvalsh(H)[0])
    if lowest <= 0:
        raise ValueError(
            f"got a well with the Hessian eigenvalue {lowest:.3g} at {np.array2string(x, precision=6)}, expected a minimum; type sg.critical_points(U, box).minima"
        )


def _irreversible(problem: Langevin | Momentum, well: Floats, saddle: Floats, path: Any) -> list[Estimate]:
    """Bouchet and Reygner's times along a given path, or along all fluctuation paths of least action."""
    if isinstance(problem, Momentum):
        raise ValueError(
            "got a Momentum process whose D is no multiple of 1, expected one that keeps exp(-(U + v²/2)/T): its noise reaches velocities alone, "
            "for which no fluctuation path is implemented; type D=1, or sg.first_passage(...)"
        )
    drift = DriftSurface(problem.drift)
    m, s = polished(drift, well, "well"), polished(drift, saddle, "saddle")
    if path is not None:
        given = checks.points(checks.finite("path", path), problem.dim, "path")
        return [bouchet_reygner(problem, given)]
    return [bouchet_reygner(problem, way) for way in instantons(problem, m, s)]
