"""The ordered line integral method: a front that starts at an attractor and visits the nodes of a grid in the order of their least action.

Nodes are unknown, considered (a value is known that may still fall), on the front, or done. A considered node is reached along straight
segments from single nodes of the front, and from the segments between neighbours on it; the action of a segment is taken by the midpoint rule.
Along the front V is quadratic, with the second difference of a third node on the line. Where V is quadratic and the drift linear the method is then
exact: the midpoint rule keeps quadratic invariants.
Source: Dahiya and Cameron, J. Sci. Comput. 75, 1351 (2018), OLIM-MID, whose V is linear along the front (errors of first order).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sgdyn.codegen.jit import helper, kernel

UNKNOWN, CONSIDERED, FRONT, DONE = 0, 1, 2, 3
SLACK = 0.25
"""How much worse than the present value, in |w||v| over the squared distance in nodes, a single node may be for the segments beside it to be tried."""
ITERATIONS, TOLERANCE = 40, 1e-6
"""Of the search for a minimum on a segment of the front: its steps at most, and the slope, relative to the change of the action, that is zero."""

TABLE, VALUES, STATES, CELLS = types.float64[:, :, ::1], types.float64[::1], types.int8[::1], types.int64[::1]


@helper
def _segment_action(table: Any, width0: Any, width1: Any, i: Any, j: Any, k: Any, m: Any) -> Any:
    """(|w||v| - w.v)/2 of the segment from node (i, j) to (k, m), w and v its drift and its vector in units of the noise."""
    w = table[i + k, j + m]
    d0, d1 = (k - i) * width0, (m - j) * width1
    v0, v1 = w[2] * d0, w[3] * d0 + w[4] * d1
    size = np.sqrt((w[0] * w[0] + w[1] * w[1]) * (v0 * v0 + v1 * v1))
    return 0.5 * (size - w[0] * v0 - w[1] * v1), size


@helper
def _leaps(table: Any, center: Any, i: Any, j: Any, k: Any, m: Any) -> Any:
    """Whether a segment may leap over a zero of the drift, which the midpoint rule lets it do for nothing: the drift turns round, and is small.

    Around the attractor itself V is convex, and nothing can be gained.
    """
    w, u, v = table[i + k, j + m], table[2 * i, 2 * j], table[2 * k, 2 * m]
    if u[0] * v[0] + u[1] * v[1] >= 0:
        return False
    if max(abs(0.5 * (i + k) - center[0]), abs(0.5 * (j + m) - center[1])) <= max(abs(i - k), abs(j - m)):
        return False
    return (u[0] - v[0]) ** 2 + (u[1] - v[1]) ** 2 > 4 * (w[0] * w[0] + w[1] * w[1])


@helper
def _along(a: Any, c: Any, d: Any, e: Any, first: Any, rise: Any, bend: Any, s: Any) -> Any:
    """Value and slope of the action through the point s between two nodes: tables a + s c, vectors d + s e, action first + s rise there."""
    b0, b1 = a[0] + s * c[0], a[1] + s * c[1]
    m0, m1, m2 = a[2] + s * c[2], a[3] + s * c[3], a[4] + s * c[4]
    x, y = d[0] + s * e[0], d[1] + s * e[1]
    v0, v1 = m0 * x, m1 * x + m2 * y
    u0 = c[2] * x + m0 * e[0]
    u1 = c[3] * x + c[4] * y + m1 * e[0] + m2 * e[1]
    drift, way = np.sqrt(b0 * b0 + b1 * b1), np.sqrt(v0 * v0 + v1 * v1)
    value = first + s * rise - 0.5 * s * (1 - s) * bend + 0.5 * (drift * way - b0 * v0 - b1 * v1)
    slope = rise - 0.5 * (1 - 2 * s) * bend - 0.5 * (c[0] * v0 + c[1] * v1 + b0 * u0 + b1 * u1)
    slope += 0.5 * drift * (v0 * u0 + v1 * u1) / way
    if drift > 0:
        slope += 0.5 * way * (b0 * c[0] + b1 * c[1]) / drift
    return value, slope


@helper
def _bend(V: Any, state: Any, n0: Any, n1: Any, i: Any, j: Any, k: Any, m: Any) -> Any:
    """The second difference of V along two neighbours on the front: the smaller one of those that known nodes on both sides give."""
    bend = np.inf
    p, q = 2 * i - k, 2 * j - m
    if 0 <= p < n0 and 0 <= q < n1 and state[p * n1 + q] >= FRONT:
        bend = V[p * n1 + q] + V[k * n1 + m] - 2 * V[i * n1 + j]
    p, q = 2 * k - i, 2 * m - j
    if 0 <= p < n0 and 0 <= q < n1 and state[p * n1 + q] >= FRONT:
        other = V[p * n1 + q] + V[i * n1 + j] - 2 * V[k * n1 + m]
        if abs(other) < abs(bend):
            bend = other
    return bend if np.isfinite(bend) else 0.0


@helper
def _through(
    table: Any, width0: Any, width1: Any, V: Any, state: Any, n0: Any, n1: Any, one: Any, other: Any, target: Any
) -> Any:
    """The least action of the target through the inside of the segment between two nodes; infinite where its ends are better."""
    i, j, k, m, y0, y1 = one // n1, one % n1, other // n1, other % n1, target // n1, target % n1
    a = table[i + y0, j + y1]
    z = table[k + y0, m + y1]
    c = (z[0] - a[0], z[1] - a[1], z[2] - a[2], z[3] - a[3], z[4] - a[4])
    d = ((y0 - i) * width0, (y1 - j) * width1)
    e = ((i - k) * width0, (j - m) * width1)
    rise, bend = V[other] - V[one], _bend(V, state, n0, n1, i, j, k, m)
    low, high = 0.0, 1.0
    _, below = _along(a, c, d, e, V[one], rise, bend, low)
    _, above = _along(a, c, d, e, V[one], rise, bend, high)
    if not (below < 0 < above):
        return np.inf
    value, last = np.inf, 0
    for _ in range(ITERATIONS):
        s = (low * above - high * below) / (
            above - below
        )  # false position; an end that stays twice counts half (Illinois)
        value, slope = _along(a, c, d, e, V[one], rise, bend, s)
        if abs(slope) <= TOLERANCE * (abs(rise) + abs(value - V[one])):
            break
        if slope > 0:
            high, above = s, slope
            below = 0.5 * below if last == 1 else below
            last = 1
        else:
            low, below = s, slope
            above = 0.5 * above if last == -1 else above
            last = -1
    return value


@helper
def _rise(heap: Any, place: Any, V: Any, node: Any) -> None:
    """Move a node of the heap towards its top, as its value demands."""
    k = place[node]
    while k > 0 and V[heap[(k - 1) // 2]] > V[node]:
        heap[k] = heap[(k - 1) // 2]
        place[heap[k]] = k
        k = (k - 1) // 2
    heap[k] = node
    place[node] = k


@helper
def _pop(heap: Any, place: Any, V: Any, size: Any) -> Any:
    """The node of least value, taken off a heap of `size` nodes."""
    top, node, k = heap[0], heap[size - 1], 0
    while True:
        child = 2 * k + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and V[heap[child + 1]] < V[heap[child]]:
            child += 1
        if V[heap[child]] >= V[node]:
            break
        heap[k] = heap[child]
        place[heap[k]] = k
        k = child
    heap[k] = node
    place[node] = k
    return top


@helper
def _has_near(state: Any, n0: Any, n1: Any, node: Any, kind: Any) -> Any:
    """Whether one of the eight neighbours is of that kind."""
    i, j = node // n1, node % n1
    for k in range(max(i - 1, 0), min(i + 2, n0)):
        for m in range(max(j - 1, 0), min(j + 2, n1)):
            if state[k * n1 + m] == kind:
                return True
    return False


@helper
def _around(table: Any, widths: Any, V: Any, state: Any, n0: Any, n1: Any, node: Any, target: Any) -> Any:
    """The least action of the target through the segments from a node of the front to its neighbours on it."""
    i, j, least = node // n1, node % n1, np.inf
    for k in range(max(i - 1, 0), min(i + 2, n0)):
        for m in range(max(j - 1, 0), min(j + 2, n1)):
            other = k * n1 + m
            if state[other] == FRONT and other != node:
                least = min(least, _through(table, widths[0], widths[1], V, state, n0, n1, node, other, target))
    return least


@helper
def _half_width(reach: Any, row: Any) -> Any:
    """How far a disc extends in a row."""
    return int(np.sqrt(reach * (reach + 1.0) - row * row))


@helper
def _reached(table: Any, widths: Any, center: Any, V: Any, state: Any, n0: Any, n1: Any, node: Any, target: Any) -> Any:
    """The least action of a target through a node of the front and, where they may be better, the segments beside it; or its present value."""
    i, j, k, m = node // n1, node % n1, target // n1, target % n1
    apart = max(abs(k - i), abs(m - j))
    if apart > 1 and _leaps(table, center, i, j, k, m):
        return V[target]
    action, size = _segment_action(table, widths[0], widths[1], i, j, k, m)
    found = V[node] + action
    if found < V[target] + SLACK * size / apart**2:
        found = min(found, _around(table, widths, V, state, n0, n1, node, target))
    return min(found, V[target])


@helper
def _enter(table: Any, widths: Any, center: Any, reach: Any, V: Any, state: Any, n0: Any, n1: Any, target: Any) -> None:
    """The first value of a node: the best of all nodes of the front within reach, and of the segments beside them."""
    k, m = target // n1, target % n1
    for i in range(max(k - reach, 0), min(k + reach + 1, n0)):
        wide = _half_width(reach, i - k)
        for j in range(max(m - wide, 0), min(m + wide + 1, n1)):
            if state[i * n1 + j] == FRONT:
                V[target] = _reached(table, widths, center, V, state, n0, n1, i * n1 + j, target)


@helper
def _meet(
    table: Any, widths: Any, center: Any, reach: Any, V: Any, state: Any, heap: Any, place: Any, size: Any, node: Any
) -> Any:
    """A node joins the front: the unknown nodes beside it are considered, the front nodes without a considered neighbour are done."""
    n0, n1 = (table.shape[0] + 1) // 2, (table.shape[1] + 1) // 2
    i, j = node // n1, node % n1
    for k in range(max(i - 1, 0), min(i + 2, n0)):
        for m in range(max(j - 1, 0), min(j + 2, n1)):
            other = k * n1 + m
            if state[other] == UNKNOWN:
                state[other], heap[size], place[other] = CONSIDERED, other, size
                size += 1
                _enter(table, widths, center, reach, V, state, n0, n1, other)
                _rise(heap, place, V, other)
    for k in range(max(i - 1, 0), min(i + 2, n0)):
        for m in range(max(j - 1, 0), min(j + 2, n1)):
            other = k * n1 + m
            if state[other] == FRONT and not _has_near(state, n0, n1, other, CONSIDERED):
                state[other] = DONE
    return size


@kernel(TABLE, VALUES, VALUES, VALUES, STATES, CELLS, CELLS, types.int64, types.int64, types.int64, returns=types.int64)
def advance(
    table: Any, widths: Any, center: Any, V: Any, state: Any, heap: Any, place: Any, size: Any, reach: Any, steps: Any
) -> Any:
    """Let so many nodes join the front, the least ones first; returns the number of nodes still considered, which begin the `heap`.

    table (2 n0 - 1, 2 n1 - 1, 5): the drift in units of the noise, L^-1 b, and L^-1 (lower triangle by rows), D = L L', at nodes and half-way
    between them. widths: the distances of nodes along both axes. center: the attractor's place, counted in nodes. V (n0 n1,): values, infinite where unknown. state, place (n0 n1,): see above,
    and where each node is on the heap. reach: how many nodes away a segment may begin.
    """
    n0, n1 = (table.shape[0] + 1) // 2, (table.shape[1] + 1) // 2
    while size > 0 and steps > 0:
        node = _pop(heap, place, V, size)
        size, steps = size - 1, steps - 1
        state[node] = FRONT
        i, j = node // n1, node % n1
        for k in range(max(i - reach, 0), min(i + reach + 1, n0)):
            wide = _half_width(reach, k - i)
            for m in range(max(j - wide, 0), min(j + wide + 1, n1)):
                if state[k * n1 + m] == CONSIDERED:
                    V[k * n1 + m] = _reached(table, widths, center, V, state, n0, n1, node, k * n1 + m)
                    _rise(heap, place, V, k * n1 + m)
        size = _meet(table, widths, center, reach, V, state, heap, place, size, node)
    return size
