"""Saddles with a soft direction across: detected, and integrated with their quartic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

SOFT = 0.05
"""Where the quartic is this share of T at a thermal distance, the Gaussian integral is off by about as much."""


@dataclass(frozen=True)
class Soft:
    """U = curvature y²/2 + quartic y⁴ along the soft direction, y in units in which D = 1 along it.

    log_det: minus twice the log of ∫ e^{-U/T} dy/sqrt(2 pi T), which takes the place of log curvature in log det H_s. `rest` is the log of
    the determinant without this direction. error: how much that changes where the quartic is T, a term of order sqrt(T).
    """

    curvature: float
    quartic: float
    log_det: float
    rest: float
    error: float


def soft_direction(hessian: Function, saddle: Floats, metric: Floats, T: float) -> Soft | None:
    """The soft direction of a saddle, None if there is none.

        C_4 = U_yyyy/24 - sum_{j != y} U_yyj²/(8 lambda_j)

    Raises ValueError for several soft directions, a cubic term along it (no pitchfork), and C_4 <= 0 where the curvature vanishes.
    Source: Berglund and Gentz, Markov Processes Relat. Fields 16, 549 (2010), eqs. 2.20-2.26.
    """
    L = np.linalg.cholesky(metric)
    values, vectors = np.linalg.eigh(L.T @ hessian(saddle) @ L)
    if len(values) < 2 or values[0] >= 0:
        return None
    cubics, quartics = _normal_form(hessian, saddle, L @ vectors, values)
    others = np.arange(1, len(values))
    with np.errstate(divide="ignore"):
        soft = others[3 * np.abs(quartics[others]) * T > SOFT * values[others] ** 2]
    negative = others[values[others] < 0]
    if not len(soft):
        if len(negative):
            raise ValueError(f"got a point of index {1 + len(negative)}, expected a saddle of index 1; type sg.critical_points(U, box).saddles")  # fmt: skip
        return None
    if len(soft) > 1 or set(negative) - set(soft):
        raise ValueError(f"got a saddle with the soft curvatures {values[soft]}, expected at most one direction that is soft at T={T:g}; type a smaller T")  # fmt: skip
    k = int(soft[0])
    log_det = _integrated(float(values[k]), float(cubics[k]), float(quartics[k]), T)
    if log_det is None:
        return None
    away = saddle + (T / quartics[k]) ** 0.25 * (L @ vectors)[:, k]
    rest, changed = (_rest(hessian(x), L @ vectors, k) for x in (saddle, away))
    unit = 2 * float(np.linalg.slogdet(L)[1])
    return Soft(float(values[k]), float(quartics[k]), log_det, rest - unit, 0.5 * abs(changed - rest))


def _rest(H: Floats, directions: Floats, k: int) -> float:
    """The log of the determinant of H without one direction."""
    return float(np.linalg.slogdet(np.delete(np.delete(directions.T @ H @ directions, k, 0), k, 1))[1])


def _normal_form(hessian: Function, x: Floats, directions: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The cubic and quartic coefficients along each direction, the others following adiabatically."""
    cubics, quartics = np.zeros(len(values)), np.zeros(len(values))
    center = directions.T @ hessian(x) @ directions
    for k, e in enumerate(directions.T):
        h = 1e-2 * (1 + np.abs(x).max()) / np.linalg.norm(e)
        up, down = (directions.T @ hessian(x + sign * h * e) @ directions for sign in (1, -1))
        third, fourth = (up - down)[k] / (2 * h), (up - 2 * center + down)[k, k] / h**2
        rest = np.arange(len(values)) != k
        safe = np.where(np.abs(values) > 1e-12 * np.abs(values).max(), values, np.inf)
        cubics[k] = third[k] / 6
        quartics[k] = fourth / 24 - np.sum(third[rest] ** 2 / (8 * safe[rest]))
    return cubics, quartics


def _integrated(curvature: float, cubic: float, quartic: float, T: float) -> float | None:
    """Minus twice the log of ∫ e^{-(curvature y²/2 + quartic y⁴)/T} dy/sqrt(2 pi T); None where the Gaussian integral will do."""
    if quartic <= 0:
        if curvature > 0 and 3 * abs(quartic) * T < 0.3 * curvature**2:
            return None
        raise ValueError(
            f"got a degenerate saddle (curvature {curvature:.3g}, quartic coefficient {quartic:.3g} across it), expected a quartic > 0; type a smaller T, or sg.fokker_planck"
        )
    width = min((T / quartic) ** 0.25, np.sqrt(T / max(curvature, 1e-300)))
    if abs(cubic) * width**3 > 0.3 * T:
        raise ValueError(
            f"got a soft direction with the cubic coefficient {cubic:.3g}, expected a pitchfork, where it vanishes; type a smaller T, or sg.fokker_planck"
        )
    # in units of (T/quartic)^(1/4): alpha y²/2 + y⁴
    alpha = curvature / np.sqrt(T * quartic)
    lowest = -(alpha**2) / 16 if alpha < 0 else 0.0
    reach = 6 + np.sqrt(abs(alpha))
    whole = 2 * quad(lambda y: np.exp(lowest - alpha * y**2 / 2 - y**4), 0, reach, epsrel=1e-11, limit=200)[0]
    log_integral = np.log(whole) - lowest + 0.25 * np.log(T / quartic)
    return float(np.log(2 * np.pi * T) - 2 * log_integral)
