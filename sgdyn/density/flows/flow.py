"""The results of gradient flows of densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.printing import Printed
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GaussianState(Printed):
    """A normal density: mean (dim,) and covariance (dim, dim)."""

    mean: Floats
    covariance: Floats

    def __post_init__(self) -> None:
        mean = np.atleast_1d(checks.finite("mean", self.mean))
        cov = checks.positive_semidefinite("cov", np.atleast_2d(checks.finite("cov", self.covariance)), mean.size)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", cov)


@dataclass(frozen=True, eq=False, repr=False)
class Cloud(Printed):
    """Equally likely points (n, dim)."""

    points: Floats

    def mean(self) -> Floats:
        return np.asarray(self.points.mean(axis=0))

    def cov(self) -> Floats:
        return np.atleast_2d(np.cov(self.points, rowvar=False, bias=True))


@dataclass(frozen=True)
class Evidence:
    """How one step was solved: iterations and the residual they left."""

    iterations: int
    residual: float


@dataclass(frozen=True, eq=False, repr=False)
class Flow(Sequence[Any], Printed):
    """Densities at the times 0, tau, ..., n tau: flow[k] is the one after k steps, a `Density`, `GaussianState` or `Cloud`.

    energies (n + 1,); w2 (n,) how far each step went, in the metric D^-1; evidence: how each step was solved. `complete` is False after
    Ctrl-C. `split` says what was done beside the gradient flow; start: rho0;
    errors (n + 1,): the energies' standard errors of sampling, 0 where nothing is sampled.
    """

    problem: Langevin
    energy: Energy
    tau: float
    method: Any
    densities: tuple[Any, ...]
    energies: Floats
    w2: Floats
    evidence: tuple[Evidence, ...]
    split: str | None = None
    complete: bool = True
    warnings: tuple[str, ...] = ()
    start: Any = None
    errors: Floats | None = None

    def __len__(self) -> int:
        return len(self.densities)

    @overload
    def __getitem__(self, k: int) -> Any: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Any]: ...
    def __getitem__(self, k: Any) -> Any:
        return self.densities[k]

    @cached_property
    def times(self) -> Floats:
        return np.asarray(self.tau * np.arange(len(self.densities)))

    @property
    def dissipation(self) -> Floats:
        """The energy lost in each step (n,): at least w2²/(2 tau) for methods of order one."""
        return np.asarray(self.energies[:-1] - self.energies[1:])

    @cached_property
    def on_grid(self) -> bool:
        """Whether all densities live on one grid."""
        first = self.densities[0]
        return isinstance(first, Density) and all(
            rho.grid is first.grid or rho.grid == first.grid for rho in self.densities
        )

    @cached_property
    def continuous(self) -> Floats | None:
        """The energy (n + 1,) of the solution of the problem's Fokker-Planck equation at the flow's times: on the flow's grid, of normal densities
        in closed form, of quantiles on the grid of rho0 or on one as wide as they are. None where there is no such solution, and where the
        energy is not the problem's own free energy, so that the flow solves another equation."""
        from sgdyn.density.flows import continuum

        return continuum.energies(self)

    def plot(self, ax: Any = None) -> Any:
        """Densities over time and, beside them, the decay of the energy; the energy alone beyond two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)
