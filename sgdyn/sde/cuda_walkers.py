"""Paths on a CUDA device, and how to write the kernels that move them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen import cuda as kernels
from sgdyn.codegen.cuda_looks import Look
from sgdyn.codegen.formula import Formula, combined
from sgdyn.fields import Affine
from sgdyn.noise import Dense, Diagonal, Varying
from sgdyn.problem import Langevin
from sgdyn.sde.course import Clock
from sgdyn.sde.variates import kind_of
from sgdyn.sde.walkers import NO_STEPS, Steps

Floats = NDArray[np.float64]


def recipe(process: Langevin) -> kernels.Recipe:
    """How to write a step of the process."""
    drift, noise, dim = process.drift, process.D, process.dim
    if isinstance(noise, Varying):
        return _varying_recipe(drift, noise)
    kick, before, name = _kick(noise)
    if isinstance(drift, Affine):
        return kernels.Recipe(
            dim, noise.rank, f"affine {dim}\n{name}", lambda _: kernels.affine_lines(dim, kick, before)
        )
    assert isinstance(drift, Formula)
    return kernels.Recipe(
        dim, noise.rank, f"{drift.key}\n{name}", lambda _: kernels.formula_lines(drift.make(), kick, before)
    )


def _joint(drift: Any, noise: Varying) -> Formula:
    """Drift and D(x) in one formula, so that they share subexpressions."""
    assert isinstance(noise.matrix, Formula)
    force = drift.formula() if isinstance(drift, Affine) else drift
    size = noise.dim + noise.dim**2
    return combined("drift and D", [force, noise.matrix], (size,), lambda b, D: np.concatenate([b, D.ravel()]))


def _varying_recipe(drift: Any, noise: Varying) -> kernels.Recipe:
    joint = _joint(drift, noise)
    return kernels.Recipe(
        noise.dim, noise.dim, joint.key, lambda tolerance: kernels.varying_lines(joint.make(), tolerance)
    )


def _kick(noise: Any) -> tuple[list[str], list[str], str]:
    """Of a constant D: the texts of sigma z in phi (`_phi`), the lines that load phi, and a name for both."""
    dim, rank = noise.dim, noise.rank
    loads, phi = kernels.parameters("phi", len(_phi(noise)))
    if isinstance(noise, Diagonal):
        rows = [int(i) for i in np.flatnonzero(noise.values)]
        terms = {i: [(phi[k], k)] for k, i in enumerate(rows)}
        name = f"diagonal {dim} {rows}"
    elif isinstance(noise, Dense):
        terms = {i: [(phi[i * rank + k], k) for k in range(min(i + 1, rank))] for i in range(dim)}
        name = f"dense {dim} {rank}"
    else:
        k = len(noise.s)
        terms = {i: [(phi[1 + i * k + j], j) for j in range(k)] for i in range(dim)}
        name = f"low rank {dim} {k} {rank}"
        if rank > k:
            terms = {i: [*some, (phi[0], k + i)] for i, some in terms.items()}
    kick = [" + ".join(f"{cell}*{kernels.normal(j)}" for cell, j in terms.get(i, [])) for i in range(dim)]
    return kick, loads, name


def _parameters(process: Langevin) -> tuple[Floats, Floats]:
    """theta and phi of the kernels; one number at least, as a device has no empty arrays."""
    noise, none = process.D, np.zeros(1)
    if isinstance(noise, Varying):
        return np.append(_joint(process.drift, noise).theta, none), none
    return np.append(process.drift.theta, none), np.append(_phi(noise), none)


def _phi(noise: Any) -> Floats:
    """The parameters of a constant D: `noise.theta`, of a diagonal one without its indices, which are in the code."""
    return np.asarray(noise.theta[noise.rank :] if isinstance(noise, Diagonal) else noise.theta)


class DeviceWalkers:
    """Paths (n, dim) on the device; looks, alone: see `codegen.cuda.module`."""

    def __init__(
        self, process: Langevin, clock: Clock, start: Floats, numbers: NDArray[np.uint64], precision: str,
        looks: Sequence[Look] = (), alone: bool = True,
    ) -> None:  # fmt: skip
        from numba import cuda

        real, scales = np.dtype(precision).type, np.sqrt(2 * clock.temperatures * clock.dt)
        self.cuda, self.n, self.dim, self.real = cuda, len(start), process.dim, real
        self.module = kernels.module(recipe(process), precision, kind_of(clock.random)[0], looks, alone)
        theta, phi, scales, self.x = (
            cuda.to_device(np.ascontiguousarray(v, real)) for v in (*_parameters(process), scales, start.T)
        )
        keys = (np.uint32(word) for word in clock.key)
        self.fixed = (theta, phi, real(clock.dt), scales, *keys, cuda.to_device(np.ascontiguousarray(numbers)), self.x)

    def launch(self, kernel: Any, blocks: Any, *arguments: Any) -> None:
        """Launch a kernel with so many blocks of threads."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Grid size")  # small ensembles do not fill the device
            kernel[blocks, kernels.THREADS](*arguments)

    def advance(self, first: int, last: int, kept: Steps = NO_STEPS) -> Floats:
        """Take the steps first, ..., last - 1; returns the points (n, kept, dim) after each of the kept step numbers."""
        none = not len(kept)
        out = self.cuda.device_array((1, self.dim, 1) if none else (len(kept), self.dim, self.n), self.real)
        due = self.cuda.to_device(np.array([-1] if none else kept, np.int64))
        self.launch(self.module.saving, -(-self.n // kernels.THREADS), *self.fixed, first, last, due, out)
        self.cuda.synchronize()
        return (
            np.empty((self.n, 0, self.dim)) if none else np.asarray(out.copy_to_host().transpose(2, 0, 1), np.float64)
        )

    def points(self) -> Floats:
        """The points (n, dim) now."""
        return np.asarray(self.x.copy_to_host().T, np.float64)
