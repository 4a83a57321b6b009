"""Kramers' time in one dimension with the next order in T, for any drift and any D(x)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad

from sgdyn.escape.expansions import derivatives, saddle_term, well_term
from sgdyn.escape.regimes import check_barrier, mean_time
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


def kramers_line(problem: Langevin, well: float, saddle: float, order: int) -> Estimate:
    """The mean time from a well over a saddle to the other side, one dimension, overdamped.

        tau = 2 pi / (T D(m) sqrt(Psi''_m |Psi''_s|)) e^{Psi_s - Psi_m} (1 + c_m + c_s),   Psi' = -b/(T D)

    For constant D = 1: c_m = T(5 U'''²/24 U''³ - U''''/8 U''²), c_s = T(5 U'''²/24 |U''|³ + U''''/8 U''²). order=1 leaves c out, and its
    size is the error; with order=2 the error is c² + (T/barrier)², the scale of the second-order term (for x⁴/4 - x²/2 at barriers of 2.5 to
    10 T the true one is 0.4 to 0.7 of it). Source: Gardiner, Stochastic Methods, 5.5.2, by Laplace's method to the next order.
    """

    def strength(x: ArrayLike) -> Floats:
        return np.asarray(problem.T * problem.D(np.asarray(x)[..., None])[..., 0, 0])

    def slope(x: ArrayLike) -> Floats:
        return np.asarray(-problem.drift(np.asarray(x)[..., None])[..., 0] / strength(x))

    if abs(saddle - well) <= 1e-8 * (1 + abs(well)):
        raise ValueError(f"got the well and the saddle at one point, {well:.6g}, expected a minimum and a maximum; type sg.critical_points(U, box)")  # fmt: skip
    h = 0.1 * abs(saddle - well)
    at_well, at_saddle = (derivatives(slope, x, h, 3) for x in (well, saddle))
    if not at_well[1] > 0 > at_saddle[1]:
        raise ValueError(
            f"got curvatures {at_well[1] * problem.T:.3g} at the well and {at_saddle[1] * problem.T:.3g} at the saddle, expected a minimum and a maximum"
        )
    height = quad(lambda x: float(slope(x)), well, saddle, epsabs=1e-12, epsrel=1e-12, limit=400)[0]
    check_barrier(height)
    weight = derivatives(lambda x: 1 / strength(x), well, h, 2)
    term = well_term(at_well, weight) + saddle_term(at_saddle)
    log_time = np.log(2 * np.pi * weight[0]) - 0.5 * np.log(at_well[1] * abs(at_saddle[1])) + height
    if order == 1:
        return mean_time(log_time, abs(term) + height**-2, height, "Kramers, error: the term of order T")
    if term <= -0.5:
        raise ValueError(
            f"got a correction of {term:.2g} of order T, expected one that is small; type a smaller T, or sg.mean_first_passage_1d"
        )
    error = term**2 + height**-2
    return mean_time(
        log_time + np.log1p(term), error / (1 + term), height, "Kramers with the term of order T, error: of order T²"
    )
