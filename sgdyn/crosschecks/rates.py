"""The slowest rate of relaxation by every theory that applies."""

from __future__ import annotations

import numpy as np

from sgdyn.crosschecks.question import Quantity, Question
from sgdyn.estimate import Estimate


def collocation(asked: Question) -> Estimate:
    rates = asked.chebyshev.rates(2)
    k = 1 if asked.chebyshev.boundary == ("reflecting", "reflecting") else 0
    return Estimate(float(rates.value[k]), float(rates.error[k]), rates.method)


def linear(asked: Question) -> Estimate:
    state = asked.linear
    value = float(np.linalg.eigvals(state.F).real.min())
    return Estimate(value, (1e-13 + state.error) * np.abs(state.F).sum(), "closed form")


def on_grid(asked: Question) -> Estimate:
    return asked.rate


SLOWEST_RATE = Quantity(
    {"Chebyshev": collocation, "linear": linear, "Fokker-Planck": on_grid},
    'sg.crosscheck(problem, "slowest_rate", grid=sg.Grid([(-2, 2, 200)]))',
)
