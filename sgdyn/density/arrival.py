"""The probability to have entered a region by a time, on a grid."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sgdyn import checks
from sgdyn.density.cuts import Cut, cut
from sgdyn.density.exponential import Exponential
from sgdyn.density.generator import Generator
from sgdyn.density.solution import Solution, start
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]


def reached(generator: Generator, region: object, t: float, x0: ArrayLike | None = None) -> Solution | Estimate:
    """See `Generator.reached`."""
    solution = _reached(generator, region, checks.positive("t", t))
    return solution if x0 is None else solution.at(start(x0, solution.cut))


def _reached(generator: Generator, region: object, t: float) -> Solution:
    ended = cut(generator, [region])
    ends, u = np.ones(1), _probabilities(ended, t)
    name = f"probability to have reached the region by t={t:g}"
    values = ended.spread(u, ends).reshape(ended.grid.shape)
    return Solution(name, values, (0.0, 1.0), ended, ends, partial(_reached, region=region, t=t))


def _probabilities(ended: Cut, t: float) -> Floats:
    """u (free,) of du/dt = (Q u + arrivals)/room, u = 0 at first: exp(t Q) on the indicator of one more state in which paths stay.

    Divided by the room that cut ways leave, second derivatives are consistent beside the boundary.
    """
    n, scale = len(ended.free), sparse.diags_array(1 / ended.room)
    inner, arrivals = scale @ ended.inner, (ended.arrivals[:, 0] / ended.room)[:, None]
    whole = sparse.block_array([[inner, sparse.csr_array(arrivals)], [None, sparse.csr_array((1, 1))]])
    flow = Exponential(sparse.csr_array(whole.T), leaks=True)  # it acts with the transposed of what it is given
    last = np.zeros(n + 1)
    last[n] = 1.0
    (found,), _ = flow(last, np.array([t]))
    return np.asarray(found[:n])
