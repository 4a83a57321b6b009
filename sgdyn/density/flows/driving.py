"""Which processes are gradient flows of a free energy, and of which."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.flows.energies import Energy, Entropy
from sgdyn.density.schedule import moves
from sgdyn.fields import Affine, multiple
from sgdyn.noise import Diagonal, Varying
from sgdyn.potentials import Potential, quadratic
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

CERTAIN = 1e-12
SURE = 1e-4
"""The most that counts as rounding, however ill-conditioned D is."""
SAME = 1e-9
"""Of potentials, up to a constant."""
GAUSS = np.polynomial.legendre.leggauss(5)
PANELS = 400
STEP = 1e-5
"""Of central differences, relative."""
ELSEWHERE = "type sg.fokker_planck(problem, grid) or sg.simulate(problem, ...), which take any drift"


def checked(problem: Any) -> Langevin:
    """The process, if it is one whose noise reaches every direction and that does not depend on the time."""
    if isinstance(problem, Momentum):
        raise ValueError(
            f"got a Momentum process, expected an overdamped one: half of its motion keeps the energy and descends nothing; {ELSEWHERE}"
        )
    if not isinstance(problem, Langevin):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin.gibbs(U, T=..., D=...)")
    if moves(problem, None):
        raise ValueError(f"got a process that depends on the time, expected one free energy for all times; {ELSEWHERE}")
    if not isinstance(problem.D, Varying):
        values = np.linalg.eigvalsh(problem.D(np.zeros(problem.dim)))
        if values[0] <= CERTAIN * values[-1]:
            raise ValueError(
                f"got D with the eigenvalue {values[0]:.3g}, expected a positive definite D: the metric is D^-1; {ELSEWHERE}"
            )
    return problem


def check_curl(problem: Langevin, split: str | None, given: bool) -> None:
    """Raise ValueError for a curl that nobody would take care of; in one dimension it is part of the free energy, unless that was given."""
    if problem.U is None and _potential(problem) is None:
        raise ValueError(_no_energy(split))
    if problem.U is None or problem.curl is None or (problem.dim == 1 and not given):
        return
    if split is None or problem.dim == 1:
        raise ValueError(
            'got a process with a curl, which is no gradient flow, expected one without; type split="curl" to take gradient part and curl in '
            "turns, or " + ELSEWHERE.removeprefix("type ")
        )


def check_dropped(problem: Langevin, points: Floats) -> None:
    """Raise ValueError for a drift that descends nothing beside an energy that was given: it would be left out without a word."""
    if _potential(problem) is None and np.any(problem.drift(points)):
        raise ValueError(
            "got an energy, and a drift that is not -D grad V + T div D of a known V and has no part in the flow of that energy, expected a process "
            "that gives the metric D^-1 alone; type sg.Langevin.gibbs(U, T, D), or " + ELSEWHERE.removeprefix("type ")
        )


def _no_energy(split: str | None) -> str:
    what = "got a drift that is not -D grad V + T div D of a known V, so that no free energy has this flow as its steepest descent; "
    if split is None:
        return what + ELSEWHERE + ", or sg.Langevin.gibbs(U, T, D) if that is meant"
    return what + (
        f'split="{split}" takes a curl that is given by itself: type sg.Langevin.gibbs(U, T, D, curl=...), or '
        + ELSEWHERE.removeprefix("type ")
    )


def free_energy(problem: Langevin, split: str | None = None) -> Energy:
    """int V rho + T int rho log rho with drift -D grad V + T div D, beside a curl.

    Raises ValueError for other drifts.
    """
    V = _potential(problem)
    if V is None:
        raise ValueError(_no_energy(split))
    return Energy(potentials=(V,), internals=(Entropy(problem.T),))


def own(problem: Langevin, energy: Energy, points: Floats) -> bool:
    """Whether an energy is the problem's free energy, up to a constant, as far as points (n, dim) tell."""
    V = _potential(problem) if energy.is_free_energy else None
    if V is None or not np.isclose(energy.temperature or 0.0, problem.T, rtol=CERTAIN, atol=0):
        return False
    values = V(points)
    return bool(np.ptp(values - energy.potential(points)) <= SAME * max(float(np.ptp(values)), problem.T))


def _potential(problem: Langevin) -> Potential | None:
    """V: U of Gibbs processes, U/d for D = d I, a quadratic for linear processes in detailed balance, any in one dimension."""
    U, D = problem.U, problem.D
    if problem.dim == 1 and problem.curl is not None and U is not None:
        return _on_a_line(problem)
    if U is not None and problem.is_gibbs:
        return U
    isotropic = D.isotropic if isinstance(D, Diagonal) else None
    if U is not None and isotropic:
        return U if isotropic == 1.0 else scaled(U, 1 / isotropic)
    if isinstance(problem.drift, Affine) and not isinstance(D, Varying) and (problem.U is None or problem.curl is None):
        return _quadratic(problem, problem.drift)
    return _on_a_line(problem) if problem.dim == 1 else None


def _quadratic(problem: Langevin, drift: Affine) -> Potential | None:
    matrix = problem.D(np.zeros(problem.dim))
    slope, offset = -np.linalg.solve(matrix, drift.matrix), -np.linalg.solve(matrix, drift.offset)
    rounding = max(CERTAIN, 4 * len(matrix) * np.finfo(float).eps * float(np.linalg.cond(matrix)))
    if np.abs(slope - slope.T).max() > min(rounding, SURE) * max(np.abs(slope).max(), 1e-300):
        return None
    slope = 0.5 * (slope + slope.T)
    center = -np.linalg.lstsq(slope, offset, rcond=CERTAIN)[0]
    if np.abs(slope @ center + offset).max() > 1e-9 * np.abs(offset).max(initial=0.0):
        return None
    return quadratic(slope, center)


def scaled(U: Potential, factor: float) -> Potential:
    """factor U and its derivatives."""
    value, grad, hess, laplacian, slope = (
        multiple(factor, f) for f in (U.value, U.grad, U.hess, U.laplacian, U.laplacian_grad)
    )
    return Potential(U.dim, value, grad, hess, laplacian, slope, {}, f"{factor:g} {U.name}")


def _on_a_line(problem: Langevin) -> Potential:
    """V with V' = -(b - T D')/D: in one dimension every drift has one. V by quadrature, V'' by central differences."""
    T, D, drift = problem.T, problem.D, problem.drift

    def grad(x: Floats) -> Floats:
        return np.asarray((T * D.divergence(x) - drift(x)) / D(x)[..., 0])

    def hess(x: Floats) -> Floats:
        h = STEP * np.maximum(np.abs(x), 1.0)
        return np.asarray((grad(x + h) - grad(x - h)) / (2 * h))[..., None]

    def value(x: Floats) -> Floats:
        # gaps of the places asked for are filled, so that a few Gauss points serve each
        low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
        places = np.unique(np.concatenate([x.ravel(), np.linspace(low, high, PANELS), [0.0]]))
        half, rise = 0.5 * np.diff(places), np.zeros(len(places) - 1)
        for node, weight in zip(*GAUSS, strict=True):
            rise += weight * half * grad((places[:-1] + (1 + node) * half)[:, None])[:, 0]
        total = np.concatenate([[0.0], np.cumsum(rise)])
        total -= total[np.searchsorted(places, 0.0)]
        return np.asarray(total[np.searchsorted(places, x[..., 0])])

    return Potential.from_functions(value, grad, hess, dim=1, check=False)
