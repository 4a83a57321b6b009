"""Laws about SGD from the literature, each under its own name, with its regime and with what it neglects as the error.

T = eta/2B throughout (see `docs/conventions.md`); D is the noise of single samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.escape.expansions import LARGEST_TENSOR, gaussian_correction
from sgdyn.escape.search import CriticalPoints
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]


def zhu_loss_increase(H: ArrayLike, D: ArrayLike, T: float, t: float) -> Estimate:
    """The mean rise of the loss after the time t from rest at a minimum with Hessian H (dim, dim): Zhu et al.'s escaping efficiency.

        E[U(t) - U(0)] = (T/2) tr((1 - e^{-2 H t}) D),   T t tr(H D) for small t

    Exact for quadratic U and constant D: noise that lies along sharp directions raises the loss most. It says nothing of barriers. H may be
    indefinite. Raises ValueError for matrices that are not symmetric. Source: Zhu et al., ICML 2019, arXiv:1803.00195, eq. 9, Sigma = 2 T D.
    """
    matrix = checks.symmetric("H", H)
    noise = checks.positive_semidefinite("D", D, len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    gain = -np.expm1(-2 * values * checks.positive("t", t, zero=True))
    value = 0.5 * checks.positive("T", T) * float(gain @ np.einsum("ij,ik,kj->j", vectors, noise, vectors))
    return Estimate(value, 1e-14 * abs(value), "Zhu 2019, exact for a quadratic")


def jastrzebski_basin_weights(
    minima: CriticalPoints | ArrayLike, hessians: ArrayLike | None = None, *, T: float
) -> Estimate:
    """The stationary probabilities (n,) of n minima for noise D = 1: depth and width, at T = eta s²/2B for noise s² 1.

        p_i proportional to det(H_i)^{-1/2} e^{-U_i/T} (1 + c_i T + ...)

    minima: `critical_points(U, box)`, or the losses (n,) with the hessians (n, dim, dim). Only for isotropic D. The error is the neglected term,
    p_i |c_i - sum_j p_j c_j| T, from third and fourth derivatives; losses and Hessians do not tell it (the error is NaN then), nor do the
    points of more than 12 dimensions. Raises ValueError for Hessians that are not positive definite. Source: Jastrzębski et al. 2018,
    arXiv:1711.04623, eq. 8.
    """
    temperature = checks.positive("T", T)
    U, matrices, terms = _wells(minima, hessians)
    lowest = np.linalg.eigvalsh(matrices)[:, 0]
    if np.any(lowest <= 0):
        raise ValueError(
            f"got a Hessian with the eigenvalue {lowest.min():.3g}, expected positive definite ones: minima"
        )
    log = -U / temperature - 0.5 * np.linalg.slogdet(matrices)[1]
    weights = np.exp(log - log.max())
    p = weights / weights.sum()
    error = p * temperature * (np.abs(terms - p @ terms) + (1 - p) * temperature * np.abs(terms).max() ** 2)
    notes = () if np.all(np.isfinite(error)) else ("the term of order T is not known, nor is the error: it takes third and fourth derivatives; type sg.jastrzebski_basin_weights(sg.critical_points(U, box), T=...)",)  # fmt: skip
    return Estimate(p, error, "Jastrzebski 2018, isotropic noise, error: the term of order T", warnings=notes)


def _wells(minima: Any, hessians: Any) -> tuple[Floats, Floats, Floats]:
    """Losses (n,), Hessians (n, dim, dim), and the first corrections to their Gaussian integrals (n,), NaN where unknown."""
    if isinstance(minima, CriticalPoints):
        given, points = minima.surface, minima.minima
        known = len(points) > 0 and given.dim <= LARGEST_TENSOR
        terms = [gaussian_correction(given.hessian, x, np.eye(given.dim)) if known else np.nan for x in points]
        if not len(points) or not np.all(np.isfinite(minima.values)):
            raise ValueError("got critical points without minima of a potential, expected some; type a larger box")
        return minima.values[minima.index == 0], given.hessian(points), np.array(terms)
    if hessians is None:
        raise ValueError("got losses without Hessians, expected both; type sg.critical_points(U, box), or hessians=...")
    losses = np.atleast_1d(checks.finite("minima", minima))
    matrices = checks.finite("hessians", hessians).reshape(len(losses), *np.shape(hessians)[-2:])
    return losses, matrices, np.full(len(losses), np.nan)


def xie_escape_time(barrier: float, h_well: float, h_saddle: float, T: float, s: float = 0.5) -> Estimate:
    """Xie, Sato and Sugiyama's escape time for D = Hessian: a heuristic with two temperatures.

        tau = (2 pi/|h_b|) exp[(dU/T) (s/h_a + (1 - s)/|h_b|)]

    h_well, h_saddle: curvatures along the way. s in (0, 1) depends on the path and has to be fitted; the error is the range over all s.
    No asymptotic result: with D = |U''| taken literally D vanishes at the inflection point and the exponent ∫ U'/D diverges there
    logarithmically. Raises ValueError for s outside (0, 1). Source: ICLR 2021, arXiv:2002.03495, theorem 3.2, T = eta/2B.
    """
    a, b = checks.positive("h_well", h_well), abs(checks.number("h_saddle", h_saddle))
    share = checks.positive("s", s)
    if share >= 1 or b == 0:
        raise ValueError(f"got s={s:g} and h_saddle={h_saddle:g}, expected s in (0, 1) and a curvature that is not 0")
    scaled = checks.positive("barrier", barrier) / checks.positive("T", T)
    times = [2 * np.pi / b * np.exp(scaled * (r / a + (1 - r) / b)) for r in (share, 0.0, 1.0)]
    note = (
        "a heuristic: s is a fit parameter (the error is its whole range), and D = |U''| would make the time infinite"
    )
    return Estimate(float(times[0]), float(max(abs(x - times[0]) for x in times)), "Xie 2021", warnings=(note,))


def mori_escape_time(
    loss_well: float, loss_saddle: float, H_well: ArrayLike, H_saddle: ArrayLike, k: float
) -> Estimate:
    """Mori, Ziyin, Liu and Ueda's escape time for noise D = 2 U(w) H*: a power law, with the barrier in log U.

        1/tau = (|h_s|/2 pi) sqrt(det H*/|det H_s|) (U_s/U*)^{-(k + 1 - n/2)},   k = B/(eta h*)

    H_well, H_saddle: numbers or (n, n); h_s the negative eigenvalue; h* the curvature at the well along the way. Needs U* > 0 at the well. The
    error is 1/k, the order that is neglected (in one dimension the true one is about 0.25/k). Source: ICML 2022, arXiv:2105.09557, eq. 14.
    """
    low, high = checks.positive("loss_well", loss_well), checks.positive("loss_saddle", loss_saddle)
    if high <= low:
        raise ValueError(f"got loss_saddle={high:g} <= loss_well={low:g}, expected a barrier")
    well, saddle = (checks.symmetric(n, np.atleast_2d(m)) for n, m in (("H_well", H_well), ("H_saddle", H_saddle)))
    rates = np.linalg.eigvalsh(saddle)
    if np.sum(rates < 0) != 1:
        raise ValueError(f"got H_saddle with the eigenvalues {rates}, expected one that is negative")
    k = checks.positive("k", k)
    power = k + 1 - len(well) / 2
    prefactor = abs(rates[0]) / (2 * np.pi) * np.sqrt(np.linalg.det(well) / abs(np.linalg.det(saddle)))
    notes = () if power * np.log(high / low) > 5 else ("the barrier in log U is low: (U_s/U*)^power < e^5",)
    value = float((high / low) ** power / prefactor)
    return Estimate(value, value / k, "Mori 2022, error: order 1/k", warnings=notes)


def kunin_moments(
    h: ArrayLike, s2: float, *, lr: float, batch: int, momentum: float = 0.0, weight_decay: float = 0.0
) -> Estimate:
    """Kunin et al.'s stationary (<x²>, <v²>) (2, n) of SGD with momentum along eigenvectors with curvatures h (n,), noise s² H.

        <x²> = eta s² h/(2 B (1 - mu)(h + wd)),   <v²> = s² h/(B (1 - mu²)),   v = dx/eta

    The small-eta limit of the heavy ball, whose error eta (h + wd)/(2 (1 + mu)) relative is given. Raises ValueError for momentum outside [0, 1).
    Source: Kunin et al., arXiv:2107.09133, section 4.
    """
    h = np.atleast_1d(checks.finite("h", h))
    eta, mu, wd = checks.positive("lr", lr), checks.positive("momentum", momentum, zero=True), checks.positive("weight_decay", weight_decay, zero=True)  # fmt: skip
    if mu >= 1 or np.any(h + wd <= 0):
        raise ValueError(
            f"got momentum={mu:g} and curvatures from {h.min():.3g}, expected momentum in [0, 1) and h + weight_decay > 0"
        )
    noise = checks.positive("s2", s2) * h / checks.count("batch", batch)
    values = np.stack([eta * noise / (2 * (1 - mu) * (h + wd)), noise / (1 - mu**2)])
    return Estimate(values, values * eta * (h + wd) / (2 * (1 + mu)), "Kunin 2021, error: order eta")


def ziyin_label_noise_covariance(A: ArrayLike, s2: float, *, lr: float, batch: int) -> Estimate:
    """Ziyin et al.'s stationary covariance (dim, dim) of SGD on linear regression with Gaussian inputs of covariance A and label noise s2.

        S_i = (eta/B)(s2 + t)/(2 - eta (1 + 1/B) a_i),   t = (eta s2/B) G/(1 - eta G/B),   G = sum_i a_i/(2 - eta (1 + 1/B) a_i)

    in the eigenbasis of A; exact for all eta at which it is finite: A S + S A - eta A S A = (eta/B)(A S A + tr(A S) A + s2 A). Raises
    ValueError where SGD diverges. Source: Ziyin, Liu, Mori, Ueda, ICLR 2022, arXiv:2102.05375, theorem 2.
    """
    values, vectors = np.linalg.eigh(checks.positive_semidefinite("A", A))
    eta, noise, B = checks.positive("lr", lr), checks.positive("s2", s2), checks.count("batch", batch)
    damping = 2 - eta * (1 + 1 / B) * values
    G = float(np.sum(values / damping))
    if np.any(damping <= 0) or eta * G / B >= 1:
        raise ValueError(f"got lr={eta:g}, at which the variance is infinite, expected less; type lr={0.5 * eta:g}")
    trace = eta * noise / B * G / (1 - eta * G / B)
    variances = eta / B * (noise + trace) / damping
    covariance = (vectors * variances) @ vectors.T
    return Estimate(covariance, 1e-13 * np.abs(covariance).max() * np.ones_like(covariance), "Ziyin 2022, exact")


def feng_tu_exponent(variances: ArrayLike, flatness: ArrayLike) -> Estimate:
    """psi of Feng and Tu's inverse variance-flatness relation, variance_i proportional to F_i^-psi, by least squares of the logarithms.

    variances (n,) of the weights along principal directions, flatness (n,) the widths F_i of {U <= e U_min} there (`feng_tu_flatness`). In equilibrium psi = -2;
    for networks trained by SGD about 4 was measured. The error is the standard error of the slope; what is no power law is not seen.
    Raises ValueError for fewer than 3 directions and numbers <= 0. Source: Feng and Tu, PNAS 118, e2015617118 (2021).
    """
    x, y = (np.ravel(checks.finite(name, v)) for name, v in (("flatness", flatness), ("variances", variances)))
    if len(x) != len(y) or len(x) < 3 or np.any(x <= 0) or np.any(y <= 0):
        raise ValueError(f"got {len(y)} variances and {len(x)} widths, expected 3 or more of both, all > 0")
    design = np.stack([np.ones(len(x)), np.log(x)], axis=1)
    solution, *_ = linalg.lstsq(design, np.log(y))
    rest = np.log(y) - design @ solution
    covariance = float(rest @ rest) / max(len(x) - 2, 1) * np.linalg.inv(design.T @ design)
    return Estimate(-float(solution[1]), float(np.sqrt(covariance[1, 1])), f"Feng-Tu 2021, {len(x)} directions")


def hu_saddle_escape_time(curvature: float, T: float, radius: float, D: float = 1.0) -> Estimate:
    """The mean time until SGD that rests at a saddle is a `radius` away along the unstable direction: of order log(1/eta)/eta steps.

        t = (1/2 lam) [ln(lam r²/(T D)) + ln 2 + gamma_E],   lam = -curvature

    For lam r² >> T D: the error is the relative size T D/(lam r²) of what is neglected. With T proportional to eta the time grows as log(1/eta),
    the number of steps as log(1/eta)/eta; minima are left after e^{O(1/eta)} (`kramers_time`). Raises ValueError for curvature >= 0.
    Source: Hu, Li, Li, Liu, arXiv:1705.07562, theorem 2; the constant by the Gaussian growth of x(t).
    """
    lam = -checks.number("curvature", curvature)
    if lam <= 0:
        raise ValueError(f"got curvature={curvature:g}, expected a number < 0: a direction that a saddle is left along")
    ratio = lam * checks.positive("radius", radius) ** 2 / (checks.positive("T", T) * checks.positive("D", D))
    value = (np.log(2 * ratio) + np.euler_gamma) / (2 * lam)
    if ratio < 2:
        raise ValueError(
            f"got a radius at which U has fallen by {ratio / 2:.2g} T only, expected some T; type a larger radius"
        )
    notes = () if ratio > 10 else (f"U has fallen by only {ratio / 2:.2g} T at the radius",)
    return Estimate(float(value), float(1 / (lam * ratio)), "Hu 2017, Gaussian growth", warnings=notes)
