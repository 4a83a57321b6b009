"""Brownian motion inside a step: the dyadic tree of its increments, every one of them a function of (seed, stream, path, step, node).

The root, node 1, is the increment of the whole step; the children 2 k and 2 k + 1 of the node k are those of its halves. Given the
increment w of an interval of length h, that of its first half is w/2 + sqrt(h)/2 z with a standard normal z of its own (the midpoint
of a Brownian bridge). z is a Philox function of the node and of two normals that the step draws for nothing else, whose bits are key
and counter. So the path is there before anybody looks at it: it does not depend on which intervals are divided, nor in what order.

The 128 bits of the two normals hold about 100 of randomness (noise="double"; about 50 with "single"): two steps of an ensemble that
share a tree are not to be expected. Counters: (node, component // 2, the second normal), keys: the first normal; 2^31 nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.jit import MATRIX, exact_helper, kernel
from sgdyn.codegen.vector import LANES, any_of, bits, lane, load, select, sqrt, store
from sgdyn.randomness import HALF, LOW, WORDS, box_muller, philox
from sgdyn.sde.increments import normals

Floats = NDArray[np.float64]

KEYS = 2
"""Rows of normals that a step draws besides those of its increment."""
DEEPEST = 30
"""Nodes are numbers of 32 bits."""


@exact_helper
def node_normals(first: Any, second: Any, node: Any, pair: Any) -> Any:
    """The normals of the components 2 pair and 2 pair + 1 at the nodes of eight paths; first, second: the bits of their keys."""
    w0, w1, w2, w3 = philox(node, pair, second & LOW, second >> HALF, first & LOW, first >> HALF)
    return box_muller(w0 | (w1 << HALF), w2 | (w3 << HALF))


@exact_helper
def halve(w: Any, k: Any, p: Any, z: Any, length: Any, chosen: Any, level: Any, pending: Any) -> None:
    """The k-th component of the increments w on eight paths becomes that of their first halves where chosen; the rest goes to `pending`."""
    whole = load(w, k, p)
    left = whole * 0.5 + sqrt(length) * 0.5 * z
    right, rank = whole - left, w.shape[0]
    store(w, k, p, select(chosen, left, whole))
    for i in range(LANES):
        if lane(chosen, i):
            pending[(int(level[p + i]) + 1) * rank + k, p + i] = lane(right, i)


@exact_helper
def divide(w: Any, pending: Any, keys: Any, nodes: Any, lengths: Any, levels: Any, verdicts: Any) -> None:
    """Halve the intervals of the paths with verdicts < 0: w (rank, n) holds the first halves, pending[level * rank + k] second ones.

    keys (2, n), nodes, lengths, levels, verdicts (1, n): of the intervals before they are halved.
    """
    rank = w.shape[0]
    for p in range(0, w.shape[1], LANES):
        chosen = load(verdicts, 0, p) < 0.0
        if any_of(chosen):
            first, second, node, length = (
                bits(load(keys, 0, p)),
                bits(load(keys, 1, p)),
                load(nodes, 0, p),
                load(lengths, 0, p),
            )
            for pair in range((rank + 1) // 2):
                a, b = node_normals(first, second, node, np.uint64(pair))
                halve(w, 2 * pair, p, a, length, chosen, levels[0], pending)
                if 2 * pair + 1 < rank:
                    halve(w, 2 * pair + 1, p, b, length, chosen, levels[0], pending)


@kernel(WORDS, WORDS, MATRIX)
def fill_node_normals(keys: Any, nodes: Any, out: Any) -> None:
    """out (2 pairs, n) = the normals at nodes (1, n) of trees with keys (2, n)."""
    for pair in range(out.shape[0] // 2):
        for p in range(0, out.shape[1], LANES):
            a, b = node_normals(load(keys, 0, p), load(keys, 1, p), load(nodes, 0, p), np.uint64(pair))
            store(out, 2 * pair, p, a)
            store(out, 2 * pair + 1, p, b)


def normals_at(keys: Floats, level: int, rank: int) -> Floats:
    """The normals (n, 2^level, rank) of all nodes of a level of the trees with keys (n, 2)."""
    many, n = 2**level, len(keys)
    padded = -(n * many) % LANES
    words = np.pad(np.repeat(keys, many, axis=0), ((0, padded), (0, 0)), mode="edge").T
    nodes = np.pad(np.tile(np.arange(many, 2 * many, dtype=np.uint64), n), (0, padded))[None]
    out = np.empty((rank + rank % 2, n * many + padded))
    fill_node_normals(np.ascontiguousarray(words).view(np.uint64), nodes, out)
    return out.T[: n * many, :rank].reshape(n, many, rank)


def tree_increments(
    seed: int | np.random.SeedSequence | None, *, paths: int, steps: int, components: int, levels: int, stream: int = 0
) -> Floats:
    """The Brownian increments (path, step 2^levels, component) that `sg.Adaptive` sees, at its finest, in units of the root of a step.

    components: the rank of the noise. Those of fewer levels are sums of them, to rounding.
    """
    if not 0 <= levels <= DEEPEST:
        raise ValueError(f"got levels={levels}, expected 0 to {DEEPEST}")
    components = checks.count("components", components)
    drawn = normals(seed, paths=paths, steps=steps, components=components + KEYS, stream=stream).reshape(
        paths * steps, -1
    )
    w, keys = drawn[:, None, :components], np.ascontiguousarray(drawn[:, components:])
    for level in range(levels):
        left = w * 0.5 + np.sqrt(2.0**-level) * 0.5 * normals_at(keys, level, components)
        w = np.stack([left, w - left], axis=2).reshape(len(w), -1, components)
    return w.reshape(paths, -1, components)
