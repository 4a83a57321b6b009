"""Energies of densities, as sums of terms: potentials, internal energies of the density, interactions of pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows.convolution import convolution
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]


@runtime_checkable
class Internal(Protocol):
    """An energy int f(rho(x)) dx: f, f' and f'' at densities of any shape, f(0) = 0, f convex. Write a class with these three to have your own."""

    def per_volume(self, rho: Floats) -> Floats: ...
    def slope(self, rho: Floats) -> Floats: ...
    def curvature(self, rho: Floats) -> Floats: ...


class _Term:
    """Terms of an energy can be added."""

    def __add__(self, other: Any) -> Energy:
        return as_energy(self) + as_energy(other)

    __radd__ = __add__


@dataclass(frozen=True)
class Entropy(_Term):
    """T int rho log rho: diffusion at the temperature T."""

    T: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("T", self.T)

    def per_volume(self, rho: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.T * np.where(rho > 0, rho * np.log(rho), 0.0)

    def slope(self, rho: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return self.T * (np.log(rho) + 1)

    def curvature(self, rho: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(self.T / rho)


@dataclass(frozen=True)
class PorousMedium(_Term):
    """T/(m - 1) int rho^m, m > 1: the flow d rho/dt = T div grad rho^m, whose fronts move with finite speed."""

    m: float = 2.0
    T: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("T", self.T)
        if not checks.positive("m", self.m) > 1:
            raise ValueError(f"got m={self.m:g}, expected m > 1; type sg.Entropy(T) for m = 1")

    def per_volume(self, rho: Floats) -> Floats:
        return np.asarray(self.T / (self.m - 1) * rho**self.m)

    def slope(self, rho: Floats) -> Floats:
        return np.asarray(self.T * self.m / (self.m - 1) * rho ** (self.m - 1))

    def curvature(self, rho: Floats) -> Floats:
        return np.asarray(self.T * self.m * rho ** (self.m - 2))


@dataclass(frozen=True)
class PotentialEnergy(_Term):
    """int U rho."""

    U: Potential

    def __post_init__(self) -> None:
        _check_potential("U", self.U)


@dataclass(frozen=True)
class Interaction(_Term):
    """1/2 int int W(x - y) rho(x) rho(y), with an even W."""

    W: Potential

    def __post_init__(self) -> None:
        _check_potential("W", self.W)


@dataclass(frozen=True)
class Energy(_Term):
    """A sum: int U rho for each of `potentials`, int f(rho) for each of `internals`, 1/2 int int W(x - y) rho rho for each of `interactions`."""

    potentials: tuple[Potential, ...] = ()
    internals: tuple[Internal, ...] = ()
    interactions: tuple[Potential, ...] = ()

    def __add__(self, other: Any) -> Energy:
        more = as_energy(other)
        return Energy(
            self.potentials + more.potentials,
            self.internals + more.internals,
            self.interactions + more.interactions,
        )

    def potential(self, x: Floats) -> Floats:
        """The sum of the potentials at points (..., dim), as (...)."""
        return sum((U(x) for U in self.potentials), np.zeros(x.shape[:-1]))

    def grad(self, x: Floats) -> Floats:
        """Its gradient (..., dim)."""
        return sum((U.grad(x) for U in self.potentials), np.zeros(x.shape))

    def hess(self, x: Floats) -> Floats:
        """Its Hessian (..., dim, dim)."""
        return sum((U.hess(x) for U in self.potentials), np.zeros((*x.shape, x.shape[-1])))

    def per_volume(self, rho: Floats) -> Floats:
        """The sum of the internal energies per volume, and its derivatives by `slope` and `curvature`."""
        return sum((f.per_volume(rho) for f in self.internals), np.zeros(rho.shape))

    def slope(self, rho: Floats) -> Floats:
        return sum((f.slope(rho) for f in self.internals), np.zeros(rho.shape))

    def curvature(self, rho: Floats) -> Floats:
        return sum((f.curvature(rho) for f in self.internals), np.zeros(rho.shape))

    @property
    def temperature(self) -> float | None:
        """T where the internal energy is T int rho log rho and nothing else, so that the flow is that of a diffusion."""
        given = [f.T for f in self.internals if isinstance(f, Entropy)]
        return sum(given) if given and len(given) == len(self.internals) else None

    @property
    def is_free_energy(self) -> bool:
        """Whether it is int U rho + T int rho log rho, which Fokker-Planck flows lower."""
        return self.temperature is not None and not self.interactions

    def value(self, rho: Density) -> float:
        """The energy of a density on a grid, with cells at their centres."""
        x, masses = rho.grid.centers.reshape(-1, rho.grid.dim), rho.masses.ravel()
        level = float(masses @ self.potential(x)) + float(np.sum(rho.grid.volumes * self.per_volume(rho.values)))
        for W in self.interactions:
            level += 0.5 * float(masses @ convolution(W, rho.grid)(masses))
        return level


def _check_potential(name: str, given: Any) -> None:
    if not isinstance(given, Potential):
        raise TypeError(
            f"got {name} of type {type(given).__name__}, expected a Potential; type sg.potential(dim=...)({name})"
        )


def as_energy(given: Any) -> Energy:
    """A term, a sum of terms or one's own internal energy as an `Energy`. Raises TypeError for anything else."""
    if isinstance(given, Energy):
        return given
    if isinstance(given, PotentialEnergy):
        return Energy(potentials=(given.U,))
    if isinstance(given, Interaction):
        return Energy(interactions=(given.W,))
    if isinstance(given, Internal):
        return Energy(internals=(given,))
    raise TypeError(
        f"got energy of type {type(given).__name__}, expected a sum of terms; type sg.PotentialEnergy(U) + sg.Entropy(T)"
    )
