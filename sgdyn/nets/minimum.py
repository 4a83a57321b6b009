"""Minima of a network's loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from scipy.sparse.linalg import minres

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.nets.network import Network
from sgdyn.nets.vectors import numpy_of

Floats = NDArray[np.float64]

NEWTON_STEPS = 30
DAMPING = (1.0, 0.3, 0.1, 0.03)
SADDLES = 5
"""So many saddles are left before giving up."""


def minimize(network: Network, *, tolerance: float = 1e-8, most: int = 20_000) -> Network:
    """The network at a minimum of U near its weights: |grad U| <= tolerance, and no eigenvalue of the Hessian found to be negative.

    Quasi-Newton (L-BFGS), which stops where rounding hides the decrease of U, then Newton steps on the gradient itself with MINRES; both
    SciPy's. A saddle is left along the direction of most negative curvature; beyond 512 parameters that is looked for by 40 products,
    which miss eigenvalues smaller than about a percent of the largest. Needs float64 for tolerances below about 1e-4. Raises
    `NotConvergedError` with the gradient that was reached (its `.reached` is the network there), or for a saddle that cannot be left. Where
    the loss has kinks (ReLU) its lowest points lie on them, and no gradient near them is smaller than a step across.
    """
    tolerance = checks.positive("tolerance", tolerance)
    for _ in range(SADDLES):
        network = _polish(_descend(network, tolerance, most), tolerance)
        lowest, direction, scale = network.hessian().lowest()
        if not negative(lowest, scale, network):
            return network
        network = _aside(network, direction)
    raise NotConvergedError(
        f"reached a saddle, where the Hessian has the eigenvalue {lowest:.3g} (largest {scale:.3g}); type other starting weights with network.at(...), or a larger weight_decay"
    )


def negative(lowest: float, scale: float, network: Network) -> bool:
    """Whether an eigenvalue is below zero by more than rounding, and than what a minimum reached to some tolerance has."""
    return lowest < -scale * (1e-6 if network.weights.dtype == torch.float64 else 1e-3)


def _descend(network: Network, tolerance: float, most: int) -> Network:
    """Where L-BFGS ends."""

    def value_and_gradient(w: Floats) -> tuple[float, Floats]:
        here = network.at(w)
        return here.value(), here.gradient()

    options = {"maxiter": most, "maxfun": 2 * most, "gtol": 0.1 * tolerance, "ftol": 1e-16, "maxcor": 30}
    start = numpy_of(network.weights)
    return network.at(optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x)


def _polish(here: Network, tolerance: float) -> Network:
    """Newton steps until the gradient is below the tolerance."""
    slope = here.gradient()
    for _ in range(NEWTON_STEPS):
        size = float(np.linalg.norm(slope))
        if size <= tolerance:
            return here
        direction, _ = minres(here.hessian(), -slope, rtol=1e-4, maxiter=500)
        trials = (here.at(numpy_of(here.weights) + damping * direction) for damping in DAMPING)
        better = ((trial, found) for trial in trials if np.linalg.norm(found := trial.gradient()) < 0.9 * size)
        step = next(better, None)
        if step is None:
            break
        here, slope = step
    raise NotConvergedError(
        f"reached |grad U| = {np.linalg.norm(slope):.2g}, expected {tolerance:.2g}; type model.double(), a larger tolerance=, some weight_decay, or a model without kinks (nn.Softplus or nn.GELU for nn.ReLU)",
        reached=here,
    )


def _aside(network: Network, direction: Floats) -> Network:
    """The lowest of some points on both sides along a direction."""
    here = numpy_of(network.weights)
    reach = max(1.0, float(np.linalg.norm(here)))
    trials = [network.at(here + sign * reach * damping * direction) for damping in DAMPING for sign in (1, -1)]
    return min(trials, key=Network.value)
