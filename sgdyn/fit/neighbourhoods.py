"""Where a run is looked at: points, the sums of what lies near them, and which of them enough lies near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.bandwidths import mesh
from sgdyn.fit.local_moments import DEGREE, Pieces, increments, kernel_sums, local_fit, squares

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST, LEAST_PARTS = 40.0, 12
"""A point is known where the weights of the run's points add up to so much, from so many of the parts that the jackknife leaves out."""
FINEST, FEWEST, NODES_PER_BANDWIDTH = (65, 25, 11), 9, 1.5


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """nodes (node, k) in standard coordinates, a mesh of `axes` or chosen; h (2, k): bandwidths of drift and noise; sums (part, row, node) of both."""

    nodes: Floats
    axes: tuple[Floats, ...] | None
    h: Floats
    drift: Floats
    noise: Floats

    @property
    def known(self) -> Flags:
        """Where enough of the run is near (node,)."""
        narrower = self.drift if np.prod(self.h[0]) < np.prod(self.h[1]) else self.noise
        weights = narrower[:, 0]
        return np.asarray((weights.sum(axis=0) >= LEAST) & ((weights > 1.0).sum(axis=0) >= LEAST_PARTS))

    def kept(self, which: Flags) -> Neighbourhoods:
        """Some of the nodes."""
        return Neighbourhoods(self.nodes[which], None, self.h, self.drift[..., which], self.noise[..., which])

    def moments(self, drift: Floats, noise: Floats, degree: int = DEGREE) -> tuple[Floats, Floats]:
        """Responses (node, response) of total sums: increments, and increments with their products."""
        return local_fit(drift, self.nodes, degree), local_fit(noise, self.nodes, degree)


def around(run: Pieces, nodes: Floats, h: Floats) -> Neighbourhoods:
    """Chosen nodes."""
    return Neighbourhoods(
        nodes, None, h, kernel_sums(run, nodes, h[0], increments), kernel_sums(run, nodes, h[1], squares)
    )


def over_grid(run: Pieces, h: Floats) -> Neighbourhoods:
    """Nodes over the run, as many as the narrower bandwidth asks for, cut down to the box around those that are known.

    Raises ValueError where hardly any is known.
    """
    z = np.concatenate([part.z for part in run.parts])
    low, high = z.min(axis=0), z.max(axis=0)
    wanted = np.ceil(NODES_PER_BANDWIDTH * (high - low) / h.min(axis=0)).astype(int) + 1
    counts = np.clip(wanted, FEWEST, FINEST[run.dim - 1])
    axes = tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True))
    whole = around(run, mesh(axes), h)
    known = whole.known.reshape(counts)
    if known.sum() < FEWEST:
        raise ValueError(
            f"got {len(z)} transitions, too few of them near each other, expected {LEAST:.0f} within a bandwidth; record longer, or type a larger "
            "bandwidth=..."
        )
    spans = [_span(known, a) for a in range(run.dim)]
    which = np.zeros(known.shape, dtype=bool)
    which[np.ix_(*spans)] = True
    cut = whole.kept(which.ravel())
    return Neighbourhoods(cut.nodes, tuple(a[s] for a, s in zip(axes, spans, strict=True)), h, cut.drift, cut.noise)


def _span(known: Flags, axis: int) -> NDArray[np.intp]:
    found = np.flatnonzero(known.any(axis=tuple(a for a in range(known.ndim) if a != axis)))
    return np.arange(found[0], found[-1] + 1)
