"""Langer's rate in any dimension: processes that keep exp(-U/T), reversible, with a current, or underdamped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.escape.expansions import LARGEST_TENSOR, gaussian_correction
from sgdyn.escape.pitchfork import Soft, soft_direction
from sgdyn.escape.regimes import check_barrier, mean_time
from sgdyn.escape.saddle_corrections import saddle_correction
from sgdyn.escape.surfaces import PotentialSurface, jacobian
from sgdyn.estimate import Estimate
from sgdyn.noise import Diagonal, Varying
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What a process is to Langer's formula: exp(-U/T) is kept at the temperature `T`, `metric` (dim, dim) is D at the saddle,
    `relaxation` the Jacobian of the drift at the saddle (of phase space for `Momentum`)."""

    surface: PotentialSurface
    T: float
    metric: Floats
    relaxation: Floats


def setting(problem: Langevin | Momentum, well: Floats, saddle: Floats) -> Setting | None:
    """The process as Langer sees it; None where it does not keep exp(-U/T) for all T."""
    if problem.U is None:
        return None
    surface, dim = PotentialSurface(problem.U), problem.U.dim
    H = surface.hessian(saddle)
    D = problem.D(saddle)
    isotropic = None if isinstance(problem.D, Varying) else _isotropic(D)
    if isinstance(problem, Momentum):
        if isotropic is None:
            return None
        zero, one = np.zeros((dim, dim)), np.eye(dim)
        return Setting(surface, problem.T * isotropic, one, np.block([[zero, one], [-H, -problem.friction * one]]))
    if not problem.is_gibbs and isotropic is None:
        return None
    T, M = (problem.T, D) if problem.is_gibbs else (problem.T * float(isotropic or 1.0), np.eye(dim))
    if problem.curl is None:
        return Setting(surface, T, M, -M @ H)
    if not _divergence_free(problem, well, saddle):
        return None
    return Setting(surface, T, M, -M @ H + jacobian(problem.curl, saddle))


def _isotropic(D: Floats) -> float | None:
    value = float(D[0, 0])
    return value if value > 0 and np.allclose(D, value * np.eye(len(D)), rtol=1e-12, atol=0) else None


def _divergence_free(problem: Langevin, well: Floats, saddle: Floats) -> bool:
    """Whether c . grad U = 0 and div c = 0 around the way, so that exp(-U/T) is kept for every T."""
    assert problem.U is not None and problem.curl is not None
    spread = 0.5 * np.linalg.norm(saddle - well)
    rng = np.random.default_rng(0)
    x = well + rng.random((64, 1)) * (saddle - well) + spread * rng.normal(size=(64, len(well)))
    c, g, J = problem.curl(x), problem.U.grad(x), jacobian(problem.curl, x)
    work = np.abs(np.sum(c * g, axis=-1)) <= 1e-8 * np.linalg.norm(c, axis=-1) * np.linalg.norm(g, axis=-1) + 1e-300
    source = np.abs(np.trace(J, axis1=-2, axis2=-1)) <= 1e-7 * np.linalg.norm(J, axis=(-2, -1)) + 1e-300
    return bool(np.all(work & source))


def langer(found: Setting, well: Floats, saddle: Floats, problem: Langevin | Momentum) -> Estimate:
    """The mean time from a well over a saddle to the other side for a process that keeps exp(-U/T).

        tau = (2 pi/lambda_+) sqrt(|det H_s|/det H_m) e^{(U_s - U_m)/T},

    lambda_+ the positive eigenvalue of the drift's Jacobian at the saddle: -M H_s for a drift -M grad U and noise sym(M). The error is
    |c_m| T + |c_s| T + (T/barrier)², c_m the first correction to the Gaussian integral over the well, c_s to the flux over the saddle
    (`flux_correction`; with a current, D(x) or momentum that of the Gaussian integral, its scale): the size of the term of order T.
    A direction across the saddle that is soft at this T is integrated with its quartic (Berglund and Gentz 2010).
    Sources: Langer, Ann. Phys. 54, 258 (1969); Bovier, Eckhoff, Gayrard, Klein, JEMS 6, 399 (2004); Landim and Seo, CPAM 71, 203 (2018).
    """
    U, T = found.surface, found.T
    bottom, top = U.hessian(well), U.hessian(saddle)
    height = float(U.value(saddle) - U.value(well)) / T
    check_barrier(height)
    soft = soft_direction(U.hessian, saddle, found.metric, T)
    rates = np.linalg.eigvals(found.relaxation)
    smallest = 1e-9 * np.abs(rates).max()
    growing = rates[rates.real > smallest]
    if (
        len(growing) == 0
        or (len(growing) > 1 and soft is None)
        or abs(growing[np.argmax(growing.real)].imag) > smallest
    ):
        raise ValueError(
            f"got the rates {np.array2string(rates, precision=4)} of the drift at the saddle, expected one that is positive and real; type sg.critical_points(U, box).saddles"
        )
    growth = float(growing.real.max())
    above = _log_det(top) if soft is None else soft.rest + soft.log_det
    log_time = np.log(2 * np.pi / growth) + 0.5 * (above - _log_det(bottom)) + height
    relative = _neglected(U, well, found.metric, T, height) + height**-2
    notes: tuple[str, ...] = _friction_note(problem, found, well, saddle)
    if soft is not None:
        return _pitchfork(soft, log_time, relative, height, notes)
    relative += _neglected_flux(problem, found, saddle, height)
    return mean_time(log_time, relative, height, f"{_name(problem)}, error: the term of order T", notes)


def _neglected_flux(problem: Langevin | Momentum, found: Setting, saddle: Floats, height: float) -> float:
    reversible = isinstance(problem, Langevin) and problem.curl is None and not isinstance(problem.D, Varying)
    if not reversible or len(saddle) > LARGEST_TENSOR:
        return _neglected(found.surface, saddle, found.metric, found.T, height)
    return abs(saddle_correction(found.surface.hessian, saddle, found.metric)) * found.T


def _pitchfork(soft: Soft, log_time: float, relative: float, height: float, notes: tuple[str, ...]) -> Estimate:
    notes = (
        *notes,
        f"a direction across the saddle is soft (curvature {soft.curvature:.3g}, quartic coefficient {soft.quartic:.3g}): integrated with its quartic (Berglund and Gentz 2010)",
    )
    return mean_time(log_time, relative + soft.error, height, "Berglund-Gentz, error: the term of order sqrt(T)", notes)  # fmt: skip


def _log_det(H: Floats) -> float:
    return float(np.linalg.slogdet(H)[1])


def _neglected(U: PotentialSurface, x: Floats, metric: Floats, T: float, height: float) -> float:
    """The size of the first correction to the Gaussian integral around a point; its scale where it is too dear."""
    if len(x) > LARGEST_TENSOR:
        return 0.5 / height
    return abs(gaussian_correction(U.hessian, x, metric)) * T


def _name(problem: Langevin | Momentum) -> str:
    if isinstance(problem, Momentum):
        return "Kramers-Langer, underdamped"
    if problem.curl is not None:
        return "Langer with a current that keeps exp(-U/T)"
    flat = isinstance(problem.D, Diagonal) and problem.D.isotropic is not None
    return "Eyring-Kramers" if flat or not problem.is_gibbs else "Langer, anisotropic D"


def _friction_note(problem: Langevin | Momentum, found: Setting, well: Floats, saddle: Floats) -> tuple[str, ...]:
    """Langer needs a path to lose some T from barrier to barrier: the loss along the straight line says whether it does."""
    if not isinstance(problem, Momentum):
        return ()
    t = (np.arange(200) + 0.5) / 200
    line = well + t[:, None] * (saddle - well)
    gap = np.maximum(found.surface.value(saddle) - found.surface.value(line), 0.0)
    loss = 4 * problem.friction * float(np.mean(np.sqrt(2 * gap))) * float(np.linalg.norm(saddle - well)) / found.T
    if loss > 5:
        return ()
    return (f"friction is weak (a path loses about {loss:.2g} T from barrier to barrier, expected 5 T or more): the rate is limited by the exchange of energy and smaller than this",)  # fmt: skip
