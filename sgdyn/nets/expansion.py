"""The loss of a network to third order along a few directions, and its noise with the gradients of samples to first order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.nets.restriction import Restriction
from sgdyn.nets.vectors import numpy_of
from sgdyn.noise import Noise, as_noise, noise_from_functions
from sgdyn.potentials import Potential, potential
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

CONFINEMENT = 2.0
"""The quartic term's factor, in units of the cubic's norm squared: from 3/2 on the potential is convex, with 2 its Hessian is at least H/4."""
WRITTEN = 4
"""Up to this dimension D(x) is compiled."""


@dataclass(frozen=True, eq=False, repr=False)
class Cubic(Printed):
    """U(x) = x'Hx/2 + (1/6) sum_ijl C_ijl x_i x_j x_l: the loss minus its value at the center, to third order.

    H (k, k) positive definite, C (k, k, k) symmetric. asymmetry: the largest difference between C_ijl and its permutations as they were computed,
    which is rounding. A cubic is unbounded below: `potential()` ends where x'Hx = radius², within which its Hessian is certain to be positive
    definite and on which U >= radius²/3.
    """

    H: Floats
    C: Floats
    asymmetry: float

    @cached_property
    def norm(self) -> float:
        """An upper bound of max C(u, v, w) over u'Hu = v'Hv = w'Hw = 1: the largest singular value of C, unfolded (k, k²), in units of H."""
        values, vectors = np.linalg.eigh(self.H)
        root = vectors / np.sqrt(values)
        whitened = np.einsum("ijl,ia,jb,lc->abc", self.C, root, root, root)
        return float(np.linalg.norm(whitened.reshape(len(self.H), -1), 2))

    @property
    def radius(self) -> float:
        """1/norm: H + sum_l C_..l x_l is positive definite where x'Hx < radius²."""
        return 1.0 / self.norm if self.norm else float("inf")

    def potential(self, *, confined: bool = False) -> Potential:
        """The cubic as a potential that is NaN where x'Hx > radius² (paths that get there raise `BlowUpError`).

        confined: add norm² (x'Hx)²/12 instead, which makes it convex with Hessian >= H/4 everywhere. It changes nothing to first order in T;
        at second order the loss's own quartic terms, which are dropped, count as much.
        """
        k = len(self.H)

        square, strength = min(self.radius**2, 1e300), CONFINEMENT * self.norm**2 / 24

        def cubic(x: Any, H: Any = self.H, C: Any = self.C, square: Any = square) -> Any:
            q = x @ H @ x
            U = q / 2 + ((C @ x) @ x) @ x / 6
            return np.where(q < square, U, np.sqrt(square - q))  # NaN, with all derivatives

        def confined_cubic(x: Any, H: Any = self.H, C: Any = self.C, strength: Any = strength) -> Any:
            q = x @ H @ x
            return q / 2 + ((C @ x) @ x) @ x / 6 + strength * q**2

        return potential(dim=k)(confined_cubic if confined else cubic)


def third_derivatives(here: Restriction) -> tuple[Floats, float]:
    """d³U/dx_i dx_j dx_l at the center (k, k, k), and its largest asymmetry as computed (see `Restriction.third`)."""
    C = here.third(np.zeros(here.dim))
    permuted = [C.transpose(order) for order in itertools.permutations(range(3))]
    mean = sum(permuted, np.zeros_like(C)) / len(permuted)
    return mean, float(np.abs(C - mean).max())


def linear_noise(here: Restriction) -> Noise:
    """D(x), the covariance of a_s + B_s x over samples s: each sample's gradient to first order in x, V' g_s = a_s and V' H_s V = B_s.

        D_ij(x) = Cov(a_i, a_j) + sum_l x_l [Cov(B_il, a_j) + Cov(a_i, B_jl)] + sum_lm x_l x_m Cov(B_il, B_jm)

    Value and first derivative are those of the network's D at the center, and it is positive semidefinite everywhere, as D to first order is not.
    """
    a, B = (numpy_of(part[0] - part[0].mean(0)) for part in next(here.slopes(np.zeros((1, here.dim)), 2)))
    n, k = a.shape
    mixed = np.einsum("nil,nj->ijl", B, a) / n
    D0, D1 = a.T @ a / n, mixed + mixed.swapaxes(0, 1)
    D2 = np.einsum("nil,njm->ijlm", B, B, optimize=True) / n
    D2 = 0.5 * (D2 + D2.swapaxes(2, 3))
    if k <= WRITTEN:
        return as_noise(_written(D0, D1, D2), k)
    slope = np.einsum("ijj->i", D1), 2 * np.einsum("ijjm->im", D2)
    return noise_from_functions(
        lambda x: (
            D0 + np.einsum("ijl,...l->...ij", D1, x) + np.einsum("ijlm,...l,...m->...ij", D2, x, x, optimize=True)
        ),
        lambda x: slope[0] + x @ slope[1].T,
        dim=k,
    )


def _written(constant: Floats, linear: Floats, square: Floats) -> Callable[..., Any]:
    """The same as a function of x whose arrays are parameters, so that other networks compile nothing."""

    def D(x: Any, D0: Any = constant, D1: Any = linear, D2: Any = square) -> Any:
        return D0 + D1 @ x + (D2 @ x) @ x

    return D
