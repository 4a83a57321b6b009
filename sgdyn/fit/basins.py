"""Basins of a run by their cores, and in which one each replica was last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.region import Region

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

NOWHERE = -1
Membership = Callable[[Floats], NDArray[np.bool_]]


@dataclass(frozen=True)
class Cores:
    """Disjoint sets of points, one in the middle of each basin."""

    names: tuple[str, ...]
    members: tuple[Membership, ...]

    def at(self, x: Floats) -> Places:
        """The number of the core that points (..., k) lie in, -1 between them. Raises ValueError where two overlap."""
        inside = np.array([member(x) for member in self.members])
        if np.any(inside.sum(axis=0) > 1):
            place = tuple(np.argwhere(inside.sum(axis=0) > 1)[0])
            first, second = np.flatnonzero(inside[(slice(None), *place)])[:2]
            raise ValueError(
                f"got basins {self.names[first]!r} and {self.names[second]!r} that share the point {np.array2string(x[place], precision=4)}, expected disjoint ones; "
                "type smaller ones, around the minima: what lies between belongs to the one that was visited last"
            )
        return np.where(inside.any(axis=0), inside.argmax(axis=0), NOWHERE)


def cores(basins: Any, dim: int, margin: float) -> Cores:
    """Basins by names or in a sequence: predicates and regions as they are, minima (k,) by the part of space that is nearest by far.

    The core of the minimum c_i are the points with (x - c_i).(c_j - c_i) < margin |c_j - c_i|² for all others j: half spaces, whose borders lie
    at the part `margin` of the way to the others. Raises ValueError for fewer than two basins, minima beside predicates, and minima that are equal.
    """
    named = _named(basins)
    if len(named) < 2:
        raise ValueError(
            f"got {len(named)} basin, expected at least 2; type [lambda x: x[0] < -0.5, lambda x: x[0] > 0.5]"
        )
    functions = [isinstance(each, Region) or callable(each) for each in named.values()]
    if all(functions):
        return Cores(tuple(named), tuple(Region.of(each, dim).contains for each in named.values()))
    if any(functions):
        raise ValueError("got minima beside predicates, expected all basins of one kind")
    return Cores(tuple(named), _around(named, dim, margin))


def _named(basins: Any) -> dict[str, Any]:
    if isinstance(basins, Mapping):
        return {str(name): basin for name, basin in basins.items()}
    if not isinstance(basins, Sequence | np.ndarray):
        raise TypeError(
            f"got basins={basins!r}, expected predicates, regions or minima; type [lambda x: x[0] < 0, lambda x: x[0] > 1]"
        )
    return {str(number): basin for number, basin in enumerate(basins)}


def _around(minima: Mapping[str, Any], dim: int, margin: float) -> tuple[Membership, ...]:
    if not 0 < checks.number("margin", margin) < 0.5:
        raise ValueError(f"got margin={margin:g}, expected a number between 0 and 0.5, where cores meet")
    centers = np.array([checks.vector(f"basin {name!r}", minimum, dim) for name, minimum in minima.items()])
    ways = centers[None, :, :] - centers[:, None, :]
    lengths = np.sum(ways**2, axis=2)
    if np.any((lengths == 0).sum(axis=1) > 1):
        raise ValueError("got two basins with the same minimum, expected different ones")
    return tuple(
        partial(_nearest_by_far, center=c, ways=np.delete(w, i, 0), limits=margin * np.delete(n, i))
        for i, (c, w, n) in enumerate(zip(centers, ways, lengths, strict=True))
    )


def _nearest_by_far(x: Floats, center: Floats, ways: Floats, limits: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.all((x - center) @ ways.T < limits, axis=-1))


def last_visited(places: Places) -> Places:
    """Of cores at successive times (replica, time): the last one that was visited by each time, -1 before the first."""
    times = np.where(places != NOWHERE, np.arange(places.shape[1]), 0)
    latest = np.maximum.accumulate(times, axis=1)
    return np.asarray(np.take_along_axis(places, latest, axis=1))
