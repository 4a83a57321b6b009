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


def free_energy(problem: Langevin, split: str | None) -> Energy:
    """int V rho + T int rho log rho with drift -D grad V + T div D (+ the curl, where it is split off).

    Raises ValueError for other drifts.
    """
    if split is None and problem.U is not None and problem.curl is not None:
        raise ValueError(
            'got a process with a curl, which is no gradient flow; type split="curl" to take the curl in turns with the gradient part, or '
            + ELSEWHERE.removeprefix("type ")
        )
    V = _potential(problem)
    if V is None:
        raise ValueError(
            "got a drift that is not -D grad V + T div D of a known V, so that no free energy has this flow as its steepest descent; "
            + ELSEWHERE
            + ", or sg.Langevin.gibbs(U, T, D) if that is meant"
        )
    return Energy(potentials=(V,), internals=(Entropy(problem.T),))


def _potential(problem: Langevin) -> Potential | None:
    """V: U of Gibbs processes, U/d for D = d I, a quadratic for linear processes in detailed balance."""
    U, D = problem.U, problem.D
    if U is not None and problem.is_gibbs:
        return U
    isotropic = D.isotropic if isinstance(D, Diagonal) else None
    if U is not None and isotropic:
        return U if isotropic == 1.0 else scaled(U, 1 / isotropic)
    if isinstance(problem.drift, Affine) and not isinstance(D, Varying) and (problem.U is None or problem.curl is None):
        return _quadratic(problem, problem.drift)
    return None


def _quadratic(problem: Langevin, drift: Affine) -> Potential | None:
    matrix = problem.D(np.zeros(problem.dim))
    slope, offset = -np.linalg.solve(matrix, drift.matrix), -np.linalg.solve(matrix, drift.offset)
    if np.abs(slope - slope.T).max() > CERTAIN * max(np.abs(slope).max(), 1e-300):
        return None
    slope = 0.5 * (slope + slope.T)
    center = -np.linalg.lstsq(slope, offset, rcond=CERTAIN)[0]
    if np.abs(slope @ center + offset).max() > 1e-9 * np.abs(offset).max(initial=0.0):
        return None
    return quadratic(slope, center)


def scaled(U: Potential, factor: float) -> Potential:
    """factor U and its derivatives."""
    return Potential(
        U.dim,
        *(multiple(factor, f) for f in (U.value, U.grad, U.hess, U.laplacian, U.laplacian_grad)),
        {},
        f"{factor:g} {U.name}",
    )
