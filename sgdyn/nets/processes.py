"""SGD on an affine subspace as a process: which loss, and which noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.nets.expansion import Cubic, linear_noise, third_derivatives
from sgdyn.nets.restriction import Restriction, subsample
from sgdyn.potentials import Potential, quadratic
from sgdyn.problem import Langevin, Momentum, sgd
from sgdyn.steady.linear import linear_stationary

if TYPE_CHECKING:
    from sgdyn.nets.subspace import Subspace

Floats = NDArray[np.float64]

LOSSES = ("quadratic", "cubic", "confined cubic", "exact")
NOISES = ("constant", "linear", "exact")
DEVIATIONS = 3.0
"""So many standard deviations of the quadratic model must lie where the cubic is convex."""


def restriction(space: Subspace, samples: Any = None, seed: int = 0) -> Restriction:
    """The network of a subspace on it, with all its samples or some; raises ValueError for a subspace made without its network."""
    if space.network is None:
        raise ValueError("got a subspace without its network, expected one made by network.subspace(k)")
    return Restriction(subsample(space.network, samples, seed), space.basis)


def process(
    space: Subspace, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement", loss: str = "quadratic",
    noise: str = "constant", samples: Any = None, seed: int = 0,
) -> Langevin | Momentum:  # fmt: skip
    """See `Subspace.process`."""
    if loss not in LOSSES or noise not in NOISES:
        raise ValueError(
            f"got loss={loss!r} and noise={noise!r}, expected one of {', '.join(map(repr, LOSSES))}, and one of {', '.join(map(repr, NOISES))}"
        )
    if momentum and noise != "constant":
        raise ValueError(
            f"got momentum={momentum:g} and noise={noise!r}, expected constant noise; type noise='constant'"
        )
    if loss != "exact":
        space.check_well()
    here = None if (loss, noise) == ("quadratic", "constant") else restriction(space, samples, seed)
    D: Any = (
        space.D if here is None or noise == "constant" else linear_noise(here) if noise == "linear" else here.noise()
    )

    def made(U: Potential, D: Any) -> Langevin | Momentum:
        return sgd(U, D, lr=lr, batch=batch, n=space.n, momentum=momentum, sampler=sampler)

    if here is None or loss == "quadratic":
        return made(quadratic(space.H), D)
    if loss == "exact":
        return made(here.potential(), D)
    cubic = Cubic(space.H, *third_derivatives(here))
    if loss == "cubic":
        check_radius(cubic, made(quadratic(space.H), space.D))
    return made(cubic.potential(confined=loss != "cubic"), D)


def check_radius(cubic: Cubic, linear: Langevin | Momentum) -> None:
    """Raise ValueError where the quadratic model leaves the region in which the cubic is convex."""
    k = len(cubic.H)
    S = linear_stationary(linear).covariance[:k, :k]
    L = np.linalg.cholesky(cubic.H)
    spread = float(np.sqrt(max(np.linalg.eigvalsh(L.T @ S @ L)[-1], 0.0)))
    if spread * DEVIATIONS > cubic.radius:
        raise ValueError(
            f"got SGD that spreads by sqrt(x'Hx) = {spread:.3g} in its widest direction and a cubic that is certain to be convex only where sqrt(x'Hx) < {cubic.radius:.3g}, "
            f"expected {DEVIATIONS:g} standard deviations within; type loss='exact', loss='confined cubic', a smaller lr or a larger batch"
        )
