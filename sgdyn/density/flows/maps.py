"""Transport maps with closed log-determinants: an affine map after a monotone network of one hidden layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """y = b + C (z + W' (a tanh(W z + beta))): b (dim,), C (dim, dim), a >= 0 and beta (units,), W (units, dim)."""

    b: Floats
    C: Floats
    a: Floats
    beta: Floats
    W: Floats

    def flat(self) -> Floats:
        return np.concatenate([self.b, self.C.ravel(), self.a, self.beta, self.W.ravel()])

    @classmethod
    def unflat(cls, theta: Floats, dim: int, units: int) -> Parameters:
        cuts = np.cumsum([dim, dim * dim, units, units])
        b, C, a, beta, W = np.split(theta, cuts)
        return cls(b, C.reshape(dim, dim), a, beta, W.reshape(units, dim))

    def bounds(self) -> list[tuple[float | None, None]]:
        """For a optimiser: a >= 0, which keeps the network the gradient of a convex function."""
        free, kept = [(None, None)], [(0.0, None)]
        return free * (self.b.size + self.C.size) + kept * self.a.size + free * (self.beta.size + self.W.size)  # type: ignore[return-value, operator]


class Pushed:
    """Points z (n, dim) behind a map: `y` (n, dim) and `log_det` (n,) of its Jacobian, with what their derivatives need.

    The Jacobian of the network is I + W' diag(s) W with s = a (1 - tanh²): its determinant is that of a matrix with as many rows as there
    are units, or dimensions if these are fewer (Sylvester).
    """

    def __init__(self, p: Parameters, z: Floats) -> None:
        self.p, self.z = p, z
        self.tanh = np.tanh(z @ p.W.T + p.beta)
        self.slope = 1 - self.tanh**2
        self.u = z + (self.tanh * p.a) @ p.W
        self.y = p.b + self.u @ p.C.T
        self.strength = p.a * self.slope
        self.log_det = np.full(len(z), np.linalg.slogdet(p.C)[1])
        if len(p.a):
            self.log_det += self._factorised()

    def _factorised(self) -> Floats:
        """log det(I + W' S W), and (I + W' S W)^-1 or (I + S½ W W' S½)^-1."""
        W, (units, dim) = self.p.W, self.p.W.shape
        if units <= dim:
            root = np.sqrt(self.strength)
            matrix = root[:, :, None] * (W @ W.T) * root[:, None, :]
        else:
            pairs = (W[:, :, None] * W[:, None, :]).reshape(units, -1)
            matrix = (self.strength @ pairs).reshape(-1, dim, dim)
        matrix += np.eye(matrix.shape[-1])
        self.inverse = np.linalg.inv(matrix)
        return np.asarray(np.linalg.slogdet(matrix)[1])

    def pulled(self, gy: Floats, g: Floats) -> Parameters:
        """The derivative of sum(gy y) + sum(g log_det) by the parameters, gy (n, dim), g (n,)."""
        p, t = self.p, self.tanh
        gu = gy @ p.C
        gC = gy.T @ self.u + g.sum() * np.linalg.inv(p.C).T
        if not len(p.a):
            return Parameters(gy.sum(axis=0), gC, p.a, p.beta, p.W)
        along, (gs, gW) = gu @ p.W.T, self._determinant(g)
        inner = self.slope * (p.a * along - 2 * p.a * t * gs)
        ga = np.sum(t * along + self.slope * gs, axis=0)
        gW = gW + (t * p.a).T @ gu + inner.T @ self.z
        return Parameters(gy.sum(axis=0), gC, ga, inner.sum(axis=0), gW)

    def _determinant(self, g: Floats) -> tuple[Floats, Floats]:
        """The derivatives of sum(g log det(I + W' S W)) by s (n, units), and by W with s fixed."""
        W, (units, dim) = self.p.W, self.p.W.shape
        if units > dim:
            reduced = self.inverse.reshape(len(g), -1) @ (W[:, :, None] * W[:, None, :]).reshape(units, -1).T
            weighted = (g[:, None] * self.strength).T @ self.inverse.reshape(len(g), -1)
            return g[:, None] * reduced, 2 * np.einsum("ki,kij->kj", W, weighted.reshape(units, dim, dim))
        # diag(G - G S½ N S½ G), G = W W', N = (I + S½ G S½)^-1, is diag(W (I + W' S W)^-1 W')
        root, G = np.sqrt(self.strength), W @ W.T
        middle = root[:, :, None] * self.inverse * root[:, None, :]
        reduced = np.diag(G) - np.sum((middle @ G) * G, axis=1)
        return g[:, None] * reduced, 2 * np.tensordot(g, middle, axes=1) @ W


def identity(mean: Floats, root: Floats, beta: Floats, W: Floats) -> Parameters:
    """The map that takes z = root^-1 (y - mean) back to y, with units that do nothing yet."""
    return Parameters(mean, root, np.zeros(len(beta)), beta, W)
