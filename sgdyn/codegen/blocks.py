"""Block functions that need no generated source: affine fields, and noise of constant covariance."""

from __future__ import annotations

from typing import Any

from sgdyn.codegen.jit import MATRIX, VECTOR, kernel
from sgdyn.codegen.vector import LANES, fma, load, store


@kernel(MATRIX, VECTOR, MATRIX)
def affine_block(x: Any, theta: Any, out: Any) -> None:
    """out = M x + b with theta = (b, M), four rows at a time so that the multiply-adds need not wait for each other."""
    size, dim = out.shape[0], x.shape[0]
    matrix = theta[size : size + size * dim].reshape((size, dim))
    for p in range(0, x.shape[1], LANES):
        whole = size - size % 4
        for i in range(0, whole, 4):
            y = load(x, 0, p)
            a0, a1 = fma(y, matrix[i, 0], theta[i]), fma(y, matrix[i + 1, 0], theta[i + 1])
            a2, a3 = fma(y, matrix[i + 2, 0], theta[i + 2]), fma(y, matrix[i + 3, 0], theta[i + 3])
            for j in range(1, dim):
                y = load(x, j, p)
                a0, a1 = fma(y, matrix[i, j], a0), fma(y, matrix[i + 1, j], a1)
                a2, a3 = fma(y, matrix[i + 2, j], a2), fma(y, matrix[i + 3, j], a3)
            store(out, i, p, a0)
            store(out, i + 1, p, a1)
            store(out, i + 2, p, a2)
            store(out, i + 3, p, a3)
        for i in range(whole, size):
            a0 = fma(load(x, 0, p), matrix[i, 0], theta[i])
            for j in range(1, dim):
                a0 = fma(load(x, j, p), matrix[i, j], a0)
            store(out, i, p, a0)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def diagonal_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """out_i = s_k z_k where i is the k-th coordinate that has noise, 0 elsewhere; theta = (i_0, ..., s_0, ...)."""
    rank = z.shape[0]
    out[:] = 0.0
    for k in range(rank):
        row, scale = int(theta[k]), theta[rank + k]
        for p in range(0, x.shape[1], LANES):
            store(out, row, p, load(z, k, p) * scale)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def dense_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """out = A z with theta = A (dim, rank) whose row i is zero after the column i (lower triangular)."""
    dim, rank = out.shape[0], z.shape[0]
    factor = theta.reshape((dim, rank))
    for p in range(0, x.shape[1], LANES):
        for i in range(dim):
            total = load(z, 0, p) * factor[i, 0]
            for k in range(1, min(i + 1, rank)):
                total = fma(load(z, k, p), factor[i, k], total)
            store(out, i, p, total)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def low_rank_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """out = V z_{:k} + s z_{k:} with theta = (s, V (dim, k)); no z_{k:} if s is zero."""
    dim, floor = out.shape[0], theta[0]
    rank = z.shape[0] - dim if floor > 0.0 else z.shape[0]
    factor = theta[1:].reshape((dim, rank))
    for p in range(0, x.shape[1], LANES):
        for i in range(dim):
            total = load(z, 0, p) * 0.0
            if floor > 0.0:
                total = load(z, rank + i, p) * floor
            for k in range(rank):
                total = fma(load(z, k, p), factor[i, k], total)
            store(out, i, p, total)
