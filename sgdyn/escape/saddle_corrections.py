"""The first correction to the flux over a saddle, from the committor beyond its linear form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def flux_correction(h: Floats, third: Floats, fourth: Floats) -> float:
    """c in flux = Eyring-Kramers (1 + c T + ...) for a reversible process with D = 1.

        q = Phi(g/sqrt T),   g |grad g|² + grad U . grad g = T lap g,   flux = sqrt(T/2 pi) ∫ e^{-U/T} d_n(g) e^{-g²/2T} dS over {g_0 = 0},

    g = g_0 + T g_1 as a power series at the saddle. h (n,): eigenvalues of Hess U there, h[0] < 0 the only negative one; third (n, n, n) and
    fourth (n, n), U_iijj, in its eigenbasis. In one dimension -(5 U'''²/24 |U''|³ + U''''/8 U''²). Unlike the analytic continuation of the
    Gaussian correction it sees how soft and bent the way is in the metric of D^-1.
    """
    lam, a = -h[0], np.sqrt(-h[0])
    c = h + np.where(np.arange(len(h)) == 0, 2 * lam, 0.0)
    G = -a * third[0] / (c[:, None] + c[None] + lam)  # g_0 = a z_0 + G zz/2 + K zzz/6
    square = 2 * G @ G
    R = 2 * a * _cyclic(G[:, :, None] * G[0]) + _cyclic(np.einsum("mij,mk->ijk", third, G))
    R += a * _cyclic(square[:, :, None] * np.eye(len(h))[0])
    K = -(np.einsum("ii->i", R[0]) + a * fourth[0]) / (2 * c + c[0] + lam)  # K_0ii
    g1 = np.trace(G) / lam
    slope = (K.sum() - 2 * a * g1 * G[0, 0]) / (2 * lam)
    return float(_on_separatrix(h, third, fourth, G / a, K / a) - 0.5 * g1**2 + slope / a)


def _cyclic(t: Floats) -> Floats:
    """A tensor symmetric in its first two indices, made symmetric in all three."""
    return np.asarray(t + t.transpose(2, 0, 1) + t.transpose(1, 2, 0))


def _on_separatrix(h: Floats, third: Floats, fourth: Floats, G: Floats, K: Floats) -> float:
    """The correction to ∫ e^{-U/T} |grad g_0| dS over {g_0 = 0}, a graph z_0 = -G yy/2 + ... over the stable directions y."""
    s = 1 / h[1:]  # covariance of y over T
    U3, A, B = third[1:, 1:, 1:], G[1:, 1:], third[0, 1:, 1:]
    v = np.einsum("iik,i->k", U3, s)

    def both(M: Floats, N: Floats) -> float:
        """E[M(y, y) N(y, y)]."""
        return float((np.diag(M) @ s) * (np.diag(N) @ s) + 2 * np.einsum("ij,ij,i,j->", M, N, s, s))

    quartic = s @ fourth[1:, 1:] @ s / 8 - both(A, B) / 4 + h[0] * both(A, A) / 8
    cubic = v**2 @ s / 8 + np.einsum("ijk,i,j,k->", U3**2, s, s, s) / 12
    weight = -0.5 * G[0, 0] * (np.diag(A) @ s) + 0.5 * K[1:] @ s + np.sum(A**2 @ s)
    return float(cubic - quartic - 0.5 * (G[0, 1:] * s) @ v + weight)


def saddle_correction(hessian: Callable[[Floats], Floats], x: Floats, metric: Floats) -> float:
    """`flux_correction` at a saddle x (dim,) for the constant D = metric, by differences of Hessians."""
    L = np.linalg.cholesky(metric)
    h, vectors = np.linalg.eigh(L.T @ hessian(x) @ L)
    E = L @ vectors  # dx = E dz turns D into 1
    step = 1e-2 * (1 + np.abs(x).max()) / np.linalg.norm(E, axis=0)
    center = hessian(x)
    up, down = (np.array([hessian(x + sign * d * e) for d, e in zip(step, E.T, strict=True)]) for sign in (1, -1))
    third = np.einsum("aij,ib,jc->abc", (up - down) / (2 * step[:, None, None]), E, E)
    third = (third + third.transpose(1, 2, 0) + third.transpose(2, 0, 1)) / 3
    fourth = np.einsum("aij,ib,jb->ab", (up - 2 * center + down) / step[:, None, None] ** 2, E, E)
    return flux_correction(h, third, 0.5 * (fourth + fourth.T))
