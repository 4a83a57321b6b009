"""Where a run is looked at: points, the sums of what lies near them, and which of them enough lies near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sgdyn.fit.bandwidths import mesh
from sgdyn.fit.continuation import continued
from sgdyn.fit.local_moments import DEGREE, Pieces, Stretch, kernel_sums, local_fit, support

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Responses = Callable[[Stretch], Floats]

LEAST, LEAST_PARTS = 40.0, 12
"""A point is known as well as by so many transitions from it, from so many of the parts that the jackknife leaves out."""
FINEST, FEWEST, NODES_PER_BANDWIDTH = (65, 25, 11), 9, 1.5


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Sums (part, row, node) with bandwidth h (k,) at nodes (node, k) in standard coordinates, a mesh of `axes` or chosen."""

    nodes: Floats
    axes: tuple[Floats, ...] | None
    h: Floats
    sums: Floats

    @property
    def known(self) -> Flags:
        """Where the run says as much as `LEAST` points at the node would (node,)."""
        parts = (self.sums[:, 0] > 1.0).sum(axis=0)
        return np.asarray((parts >= LEAST_PARTS) & (support(self.sums.sum(axis=0), self.nodes) >= LEAST))

    def cut(self, axes: tuple[Floats, ...], which: Flags) -> Neighbourhoods:
        """The nodes of a smaller mesh."""
        return Neighbourhoods(self.nodes[which], axes, self.h, self.sums[..., which])

    def table(self) -> RegularGridInterpolator:
        """The responses between the nodes of a mesh, those of the nearest known node where too little is known."""
        assert self.axes is not None
        values = continued(self.axes, self.known, local_fit(self.sums.sum(axis=0), self.nodes, DEGREE)[0])[0]
        return RegularGridInterpolator(self.axes, values.reshape(*[len(a) for a in self.axes], -1))


def at_nodes(run: Pieces, nodes: Floats, h: Floats, responses: Responses) -> Neighbourhoods:
    """Chosen nodes."""
    return Neighbourhoods(nodes, None, h, kernel_sums(run, nodes, h, responses))


def over_grid(run: Pieces, h: Floats, narrower: Floats, responses: Responses) -> Neighbourhoods:
    """Nodes over the run, as many as the narrower bandwidth asks for.

    Raises ValueError where hardly any of them is known.
    """
    z = np.concatenate([part.z for part in run.parts])
    low, high = z.min(axis=0), z.max(axis=0)
    counts = np.clip(
        np.ceil(NODES_PER_BANDWIDTH * (high - low) / narrower).astype(int) + 1, FEWEST, FINEST[run.dim - 1]
    )
    axes = tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True))
    found = replace(at_nodes(run, mesh(axes), h, responses), axes=axes)
    if found.known.sum() < FEWEST:
        raise ValueError(
            f"got {len(z)} transitions, too few of them near each other, expected {LEAST:.0f} within a bandwidth at {FEWEST} points; record longer, or "
            "type a larger bandwidth=..."
        )
    return found


def without_means(run: Pieces, where: Neighbourhoods) -> Pieces:
    """The run with its residual increments, those without their mean at the start point.

    Source: Fan and Yao, Biometrika 85, 645 (1998): the noise is then known as well as if the drift were given.
    """
    at = where.table()
    parts = []
    for part in run.parts:
        mean = at(np.clip(part.z, [a[0] for a in where.axes or ()], [a[-1] for a in where.axes or ()]))
        lags = len(part.ahead)
        parts.append(replace(part, rest=part.ahead - np.moveaxis(mean.reshape(len(mean), lags, -1), 1, 0)))
    return replace(run, parts=tuple(parts))


def box_of(known: Flags, axes: tuple[Floats, ...]) -> tuple[tuple[Floats, ...], Flags]:
    """The axes cut down to the smallest box around the known nodes, and which nodes are left (node,)."""
    table = known.reshape([len(a) for a in axes])
    spans = [_span(table, a) for a in range(len(axes))]
    which = np.zeros(table.shape, dtype=bool)
    which[np.ix_(*spans)] = True
    return tuple(a[s] for a, s in zip(axes, spans, strict=True)), which.ravel()


def _span(known: Flags, axis: int) -> NDArray[np.intp]:
    found = np.flatnonzero(known.any(axis=tuple(a for a in range(known.ndim) if a != axis)))
    return np.arange(found[0], found[-1] + 1)
