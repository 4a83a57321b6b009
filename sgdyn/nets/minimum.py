"""Minima of a network's loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.sparse.linalg import minres

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.nets.network import Network, numpy_of

Floats = NDArray[np.float64]

NEWTON_STEPS = 30
DAMPING = (1.0, 0.3, 0.1, 0.03)


def minimize(network: Network, *, tolerance: float = 1e-8, most: int = 20_000) -> Network:
    """The network at a minimum of U near its weights: |grad U| <= tolerance.

    Quasi-Newton (L-BFGS), which stops where rounding hides the decrease of U, then Newton steps on the gradient itself with MINRES; both
    SciPy's. Needs float64 for tolerances below about 1e-4. Raises `NotConvergedError` with the gradient that was reached.
    """
    tolerance = checks.positive("tolerance", tolerance)

    def value_and_gradient(w: Floats) -> tuple[float, Floats]:
        here = network.at(w)
        return here.value(), here.gradient()

    options = {"maxiter": most, "maxfun": 2 * most, "gtol": 0.1 * tolerance, "ftol": 1e-16, "maxcor": 30}
    here = network.at(
        optimize.minimize(value_and_gradient, numpy_of(network.weights), jac=True, method="L-BFGS-B", options=options).x
    )
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
        f"reached |grad U| = {np.linalg.norm(slope):.2g}, expected {tolerance:.2g}; type model.double(), a larger tolerance=, or some weight_decay"
    )
