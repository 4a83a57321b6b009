"""How the noise D of a network lies to its curvature H."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.densities import SpectralDensity
from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.network import Network
from sgdyn.nets.overlaps import chance, leading, overlap_by_chance, subspace_overlap
from sgdyn.nets.scaling import PowerLaw, power_law
from sgdyn.nets.vectors import numpy_of
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

LOOSE = 0.3
STEPS = 3
"""So many Lanczos steps, and one fewer, make quadratures that are exact for traces of squares."""


@dataclass(frozen=True, eq=False, repr=False)
class CurvatureAlignment(Printed):
    """D beside H (weight decay included), for the samples in hand.

    product: tr(D H), the rate at which noise raises the loss. gain: p tr(D H)/(tr D tr H), 1 for isotropic noise. cosine: tr(D H)/(|D||H|)
    in the Frobenius norm; cosine_by_chance: the same of D rotated at random, with its standard deviation. overlap: of the k leading
    eigenvectors, beside overlap_by_chance (k/p). curvatures (k,): the top eigenvalues h_i of H; noises (k,): v_i'D v_i along their vectors.
    Errors: one standard error where random vectors were used, else bounds by rounding and residuals (`method` says which).
    """

    product: Estimate
    gain: Estimate
    cosine: Estimate
    cosine_by_chance: Estimate
    overlap: Estimate
    overlap_by_chance: Estimate
    curvatures: Estimate
    noises: Estimate

    def scaling(self) -> PowerLaw:
        """v_i'D v_i as a power of h_i: exponent 1 for D proportional to H. Raises ValueError for fewer than 5 directions with h_i > 0."""
        return power_law(self.curvatures.value, self.noises.value, names=("h", "v'Dv"))

    def plot(self, ax: Any = None) -> Any:
        """v_i'D v_i against h_i (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


class _Between(SymmetricOperator):
    """The matrix (g_i - g)'H(g_j - g)/N (N, N), whose trace is tr(D H): one Hessian product for each of its own."""

    DENSE = 64

    def __init__(self, noise: GradientNoise, hessian: Hessian) -> None:
        self.noise, self.hessian = noise, hessian
        LinearOperator.__init__(self, np.float64, (noise.network.n,) * 2)

    def _matvec(self, u: Floats) -> Floats:
        centred = torch.as_tensor(np.ravel(u) - np.mean(u)).to(self.noise.network.weights)
        found = self.noise.push(self.hessian.apply(self.noise.pull(centred)))
        return numpy_of(found) / self.noise.network.n


def curvature_alignment(network: Network, k: int = 10, *, products: int = 60, seed: int = 0) -> CurvatureAlignment:
    """How D lies to H: tr(D H), cosine, overlap of the k leading subspaces, and D along the k leading eigenvectors of H.

    Neither matrix is formed, except up to 512 parameters, where both are; otherwise tr(D H) takes `products` Hessian products with random sums
    of centred gradients, and the norms come
    from as many products with random vectors beside the k leading eigenvectors. Raises ValueError for k + 1 above the rank of D.
    Sources: Zhu et al., arXiv:1803.00195 (gain); Feng and Tu, PNAS 118, e2015617118 (2021) (noises).
    """
    noise, hessian, k = network.noise(), network.hessian(), checks.count("k", k)
    eps, p = noise.space.eps, network.dim
    top, bent = leading(noise, k, noise.rank), leading(hessian, k, p)
    product = _product(noise, hessian, checks.count("products", products, least=4), seed)
    few: dict[str, Any] = {"probes": max(4, products // STEPS), "steps": STEPS, "head": k, "seed": seed}
    D, H = _sums(noise.density(**few)), _sums(hessian.density(**few))
    trace = noise.trace()
    size = math.sqrt(D[1].value * H[1].value)
    return CurvatureAlignment(
        product,
        _ratio(product, 1 / p, (trace, 1.0), (H[0], 1.0)),
        _ratio(product, 1.0, (D[1], 0.5), (H[1], 0.5)),
        _by_chance((trace.value, H[0].value), (D[1].value, H[1].value), p, size),
        subspace_overlap(top, bent, k, eps),
        overlap_by_chance(k, p),
        Estimate(bent.values[:k], bent.residuals[:k] + bent.floor, bent.method + ", bound by residual and rounding"),
        _along(noise, bent.vectors[:, :k], trace.value),
    )


def _product(noise: GradientNoise, hessian: Hessian, products: int, seed: int) -> Estimate:
    if noise.shape[0] > SymmetricOperator.DENSE:
        return _Between(noise, hessian).trace(products=products, seed=seed)
    D, H = noise.dense(), hessian.dense()
    bound = noise.space.eps * float(np.linalg.norm(D) * np.linalg.norm(H))
    return Estimate(float(np.sum(D * H)), bound, "both matrices, rounding")


def _sums(density: SpectralDensity) -> tuple[Estimate, Estimate]:
    """The trace of a matrix and that of its square."""
    return density.sum(lambda v: v), density.sum(np.square)


def _ratio(product: Estimate, factor: float, *divisors: tuple[Estimate, float]) -> Estimate:
    """product/(factor times powers of the divisors), with the relative errors added in squares."""
    below = factor * math.prod(
        abs(part.value) ** power * np.sign(part.value) ** round(power) for part, power in divisors
    )
    relative = math.hypot(*(power * part.error / abs(part.value) for part, power in divisors))
    value = product.value / below
    methods = dict.fromkeys([product.method, *(part.method for part, _ in divisors)])
    notes = ("a divisor is hardly apart from 0: type a larger products=",) if relative > LOOSE else ()
    return Estimate(value, math.hypot(product.error / abs(below), value * relative), "; ".join(methods), warnings=notes)


def _by_chance(traces: tuple[float, float], squares: tuple[float, float], p: int, size: float) -> Estimate:
    mean, spread = chance(traces, squares, p)
    return Estimate(mean / size, spread / size, "D rotated at random, standard deviation")


def _along(noise: GradientNoise, V: Floats, scale: float) -> Estimate:
    """v'D v for the columns of V; the error is rounding."""
    value = np.square(noise.coordinates(V)).mean(0)
    return Estimate(value, noise.space.eps * (value + np.sqrt(value * scale)), "all gradients, rounding")
