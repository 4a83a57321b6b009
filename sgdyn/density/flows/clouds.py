"""Clouds of points that know the density they were drawn from, and their energies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy, Entropy
from sgdyn.density.flows.flow import Cloud, GaussianState

Floats = NDArray[np.float64]

PAIRS = 1_000_000
"""Pairs of points that an interaction takes at once."""
PARTNERS = 500
"""Of each point, for the size of an error."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Points (n, dim) and the logarithm of the density there (n,)."""

    points: Floats
    log_density: Floats


def drawn(rho0: Any, count: int, seed: np.random.SeedSequence, copies: int) -> list[Sample]:
    """`copies` independent samples of a start, the same for the same seed."""
    rng = np.random.Generator(np.random.Philox(seed))
    if isinstance(rho0, GaussianState):
        return [_normal(rho0, count, rng) for _ in range(copies)]
    if isinstance(rho0, Density):
        return [_cells(rho0, count, rng) for _ in range(copies)]
    if isinstance(rho0, Cloud):
        return [_given(rho0.points[k::copies]) for k in range(copies)]
    raise TypeError(
        f"got a start of type {type(rho0).__name__} for Particles, expected GaussianState(mean, cov), a Density or points (n, dim)"
    )


def _normal(rho: GaussianState, count: int, rng: np.random.Generator) -> Sample:
    """Normal points whose mean and covariance are those of the density, so that affine maps are fitted to what it is."""
    dim = len(rho.mean)
    if count <= dim:
        raise ValueError(
            f"got count={count} points in dimension {dim}, expected more; type Particles(count={100 * dim})"
        )
    lowest = float(np.linalg.eigvalsh(rho.covariance)[0])
    if lowest <= 1e-14 * float(np.trace(rho.covariance)):
        raise ValueError(
            f"got a covariance with the eigenvalue {lowest:.3g} for Particles, expected a positive definite one: maps do not widen a point; "
            "type method=sg.Gaussian() for linear processes, or sg.GaussianState(mean, cov) with a small width"
        )
    z = rng.standard_normal((count, dim))
    z -= z.mean(axis=0)
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / count), z.T).T
    factor = np.linalg.cholesky(rho.covariance)
    level = -0.5 * dim * np.log(2 * np.pi) - np.log(np.diag(factor)).sum()
    return Sample(rho.mean + z @ factor.T, level - 0.5 * np.sum(z * z, axis=1))


def _cells(rho: Density, count: int, rng: np.random.Generator) -> Sample:
    """Points spread evenly in the cells of a grid."""
    weights = rho.masses.ravel()
    places = np.unravel_index(rng.choice(weights.size, count, p=weights / weights.sum()), rho.grid.shape)
    sides = [(rho.grid.edges[k][i], rho.grid.widths[k][i]) for k, i in enumerate(places)]
    points = np.stack([low + width * rng.random(count) for low, width in sides], axis=1)
    return Sample(points, np.log(rho.values[places] / weights.sum()))


def _given(points: Floats) -> Sample:
    """The user's points: their density is not known, entropies count from theirs."""
    return Sample(np.array(points), np.zeros(len(points)))


def mean_energy(energy: Energy, x: Floats, log_density: Floats) -> tuple[float, Floats, Floats]:
    """F of a cloud, as an average over its points, with n times its derivatives by the points (n, dim) and log densities (n,).

    int f(rho) dx is the average of f(rho)/rho.
    """
    value, pull = float(energy.potential(x).mean()), energy.grad(x)
    by_log = np.zeros(len(x))
    for f in energy.internals:
        if isinstance(f, Entropy):  # its densities would leave the floats in high dimensions
            value += f.T * float(log_density.mean())
            by_log += f.T
        else:
            rho = np.exp(log_density)
            each = f.per_volume(rho) / rho
            value += float(each.mean())
            by_log += f.slope(rho) - each
    for W in energy.interactions:
        level, force = _pairs(W, x)
        value, pull = value + level, pull + force
    return value, pull, by_log


def standard_error(energy: Energy, x: Floats, log_density: Floats) -> float:
    """Of F as an average over independent points: the standard deviation of what each adds, over the root of their number."""
    each = energy.potential(x)
    for f in energy.internals:
        if isinstance(f, Entropy):
            each = each + f.T * log_density
        else:
            rho = np.exp(log_density)
            each = each + f.per_volume(rho) / rho
    for W in energy.interactions:
        each = each + np.mean([W(x - y) for y in x[:PARTNERS]], axis=0)
    return float(np.std(each) / np.sqrt(len(x)))


def _pairs(W: Any, x: Floats) -> tuple[float, Floats]:
    """The average of W(x - y)/2 over all pairs, and n times its gradient."""
    total, force = 0.0, np.empty_like(x)
    for part in np.array_split(np.arange(len(x)), max(1, len(x) ** 2 // PAIRS)):
        apart = x[part, None, :] - x
        total += float(W(apart).sum())
        force[part] = W.grad(apart).mean(axis=1)
    return 0.5 * total / len(x) ** 2, force
