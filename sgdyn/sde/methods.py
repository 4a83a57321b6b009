"""Integration methods: frozen values that state their orders, each with the kernel that takes its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import types

from sgdyn.codegen.jit import FIELD_BLOCK, NOISE_BLOCK, VECTOR, exact_helper, kernel
from sgdyn.codegen.vector import LANES, any_of, load, select, store
from sgdyn.randomness import fill_normals, hoist

CUBE, PATHS, SNAPSHOTS, STEPS = (
    types.float64[:, :, ::1],
    types.uint64[:, :, ::1],
    types.float64[:, :, :, ::1],
    types.int64[::1],
)


@exact_helper
def fill_increment(
    increment: Any, z: Any, words: Any, hoisted: Any, step: Any, refine: Any, filled: Any, k0: Any, k1: Any
) -> Any:
    """increment (rank, n) = the sum of the normals of the fine steps step * refine, ..., divided by sqrt(refine).

    `filled` is the pair of fine steps whose normals z holds; returns the one it holds afterwards.
    """
    rank = increment.shape[0]
    scale = 1.0 / math.sqrt(refine)
    for fine in range(step * refine, (step + 1) * refine):
        if fine >> 1 != filled:
            filled = fine >> 1
            fill_normals(z, words, hoisted, np.uint64(filled), k0, k1)
        odd = (fine & 1) * rank
        for i in range(rank):
            for p in range(0, increment.shape[1], LANES):
                fresh = load(z, odd + i, p) * scale
                store(increment, i, p, fresh if fine == step * refine else load(increment, i, p) + fresh)
    return filled


@exact_helper
def euler_update(x: Any, drift: Any, kick: Any, dt: Any, scale: Any) -> None:
    """x += dt drift + scale kick."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            store(x, i, p, load(x, i, p) + load(drift, i, p) * dt + load(kick, i, p) * scale)


@exact_helper
def copy_rows(source: Any, target: Any) -> None:
    """target[:] = source; Numba's own assignment would bring seconds of compiling its error messages."""
    for i in range(source.shape[0]):
        for p in range(source.shape[1]):
            target[i, p] = source[i, p]


@exact_helper
def euler_step(
    x: Any,
    drift: Any,
    theta: Any,
    noise: Any,
    phi: Any,
    isotropic: Any,
    increment: Any,
    force: Any,
    kick: Any,
    dt: Any,
    scale: Any,
) -> None:
    """One step of a block x (dim, n), in place; force and kick (dim, n) are room to work in."""
    drift(x, theta, force)
    if isotropic:
        euler_update(x, force, increment, dt, scale)
    else:
        noise(x, phi, increment, kick)
        euler_update(x, force, kick, dt, scale)


@kernel(FIELD_BLOCK, VECTOR, NOISE_BLOCK, VECTOR, types.boolean, types.int64, CUBE, PATHS,
        types.int64, types.int64, types.float64, types.float64, types.int64, types.uint64, types.uint64, STEPS, SNAPSHOTS)  # fmt: skip
def euler_maruyama(
    drift: Any, theta: Any, noise: Any, phi: Any, isotropic: Any, rank: Any, x: Any, paths: Any,
    first: Any, count: Any, dt: Any, scale: Any, refine: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """Steps first, ..., first + count - 1 of the blocks x[block, dim, n], in place; scale is sqrt(2 T dt), times sqrt(D) if isotropic.

    out[block, j] = x after kept[j] steps, for increasing step numbers kept.
    """
    dim, n = x.shape[1], x.shape[2]
    force, kick, increment, z = np.empty((dim, n)), np.empty((dim, n)), np.empty((rank, n)), np.empty((2 * rank, n))
    hoisted, words = np.empty((3, n), np.uint64), np.empty((2, n), np.uint64)
    for b in range(x.shape[0]):
        hoist(paths[b], k0, k1, hoisted)
        filled, saved = -1, 0
        for step in range(first, first + count):
            filled = fill_increment(increment, z, words, hoisted, step, refine, filled, k0, k1)
            euler_step(x[b], drift, theta, noise, phi, isotropic, increment, force, kick, dt, scale)
            while saved < len(kept) and kept[saved] == step + 1:
                copy_rows(x[b], out[b, saved])
                saved += 1


@exact_helper
def record_arrivals(times: Any, level: Any, now: Any) -> Any:
    """times = now where it was negative and the level is positive; True if some are negative still."""
    waiting = False
    for p in range(0, times.shape[1], LANES):
        t = load(times, 0, p)
        t = select((load(level, 0, p) > 0.0) & (t < 0.0), now, t)
        store(times, 0, p, t)
        waiting = any_of(t < 0.0) or waiting
    return waiting


@kernel(FIELD_BLOCK, VECTOR, NOISE_BLOCK, VECTOR, types.boolean, types.int64, CUBE, PATHS,
        types.int64, types.int64, types.float64, types.float64, types.int64, types.uint64, types.uint64, FIELD_BLOCK, VECTOR, CUBE)  # fmt: skip
def euler_maruyama_passage(
    drift: Any, theta: Any, noise: Any, phi: Any, isotropic: Any, rank: Any, x: Any, paths: Any,
    first: Any, count: Any, dt: Any, scale: Any, refine: Any, k0: Any, k1: Any, region: Any, psi: Any, times: Any,
) -> None:  # fmt: skip
    """The same, writing into times[block, 1, n] (negative: waiting) when the level of the region is first positive.

    Paths that have arrived walk on unobserved until their whole block has.
    """
    dim, n = x.shape[1], x.shape[2]
    force, kick, increment, z = np.empty((dim, n)), np.empty((dim, n)), np.empty((rank, n)), np.empty((2 * rank, n))
    hoisted, words, level = np.empty((3, n), np.uint64), np.empty((2, n), np.uint64), np.empty((1, n))
    for b in range(x.shape[0]):
        hoist(paths[b], k0, k1, hoisted)
        filled = -1
        for step in range(first, first + count):
            filled = fill_increment(increment, z, words, hoisted, step, refine, filled, k0, k1)
            euler_step(x[b], drift, theta, noise, phi, isotropic, increment, force, kick, dt, scale)
            region(x[b], psi, level)
            if not record_arrivals(times[b], level, (step + 1) * dt):
                break


@dataclass(frozen=True)
class EulerMaruyama:
    """X += b(X) dt + sqrt(2 T dt) sigma(X) z with standard normal z.

    Maruyama, Rend. Circ. Mat. Palermo 4, 48 (1955); orders: Kloeden and Platen, Numerical Solution of Stochastic Differential Equations
    (1992), theorems 10.2.2, 14.5.2.
    """

    strong_order: ClassVar[float] = 0.5
    strong_order_additive: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    noise: ClassVar[str] = "general, Itô"
