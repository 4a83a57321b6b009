"""Critical paths where D has not full rank: Hamilton's equations of the midpoint rule, which need no inverse of D.

    x_{k+1} - x_k = dt (b(m_k) + 2 T D p_k),      p_k - p_{k-1} = -(dt/2) (grad b(m_k)' p_k + grad b(m_{k-1})' p_{k-1})

They are the stationarity of sum_k p_k . (x_{k+1} - x_k - dt b(m_k)) - dt T p_k' D p_k, so that p is the multiplier of the constraint that
x' - b stays in the range of D. The action is sum_k dt T p_k' D p_k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.paths import Path

Floats = NDArray[np.float64]

STEPS = 60


def hamiltonian_path(c: Coefficients, start: Path, p: Floats | None = None) -> tuple[Path, Floats] | None:
    """A path and its momenta (n, dim) that solve Hamilton's equations, by damped Newton steps from a path (and its momenta); None where they do not converge."""
    D = c.constant if c.constant.ndim == 2 else np.diag(c.constant)
    if p is None:
        m, v = 0.5 * (start.x[1:] + start.x[:-1]), np.diff(start.x, axis=0) / start.dt[:, None]
        p = c.regular(0.1).lower(m, v - c.drift(m)) / (2 * c.T)
    path = start
    residual = _residual(c, D, path, p)
    for _ in range(STEPS):
        try:
            step = splu(_matrix(c, D, path, p)).solve(residual)
        except RuntimeError:  # exactly singular
            return None
        best = np.linalg.norm(residual)
        for share in 0.5 ** np.arange(12):
            tried = _moved(path, p, share * step)
            new = _residual(c, D, *tried)
            if np.linalg.norm(new) < best:
                break
        else:
            break
        (path, p), residual = tried, new
    scale = np.abs(p).max() + np.abs(np.diff(path.x, axis=0)).max()
    return (path, p) if np.abs(residual).max() <= 1e-9 * scale else None


def _moved(path: Path, p: Floats, step: Floats) -> tuple[Path, Floats]:
    """Momenta and points alternate: p_0, x_1, p_1, ..., x_{n-1}, p_{n-1}."""
    whole = step.reshape(2 * path.n - 1, path.dim)
    x = path.x.copy()
    x[1:-1] -= whole[1::2]
    return Path(x, path.t), p - whole[::2]


def _residual(c: Coefficients, D: Floats, path: Path, p: Floats) -> Floats:
    m, h = 0.5 * (path.x[1:] + path.x[:-1]), path.dt[:, None]
    found = np.zeros((2 * path.n - 1, path.dim))
    found[::2] = np.diff(path.x, axis=0) - h * c.drift(m) - 2 * c.T * h * (p @ D)
    half = 0.5 * h * c.pull(m, p)
    found[1::2] = p[:-1] - p[1:] - half[:-1] - half[1:]
    return found.ravel()


def _matrix(c: Coefficients, D: Floats, path: Path, p: Floats) -> csc_array:
    """Its derivatives, a symmetric block matrix of half bandwidth 3."""
    n, d = path.n, path.dim
    m, h = 0.5 * (path.x[1:] + path.x[:-1]), path.dt[:, None, None]
    J, one = 0.5 * h * c.jacobian(m), np.eye(d)
    bend = -0.25 * h * np.einsum("nikl,ni->nkl", c.second(m), p)
    at = 2 * np.arange(n)
    blocks = [(at, at, -2 * c.T * h * D * np.ones((n, 1, 1)))]
    for rows, columns, values in (
        (at[1:], at[1:] - 1, -one - J[1:]),
        (at[:-1], at[:-1] + 1, one - J[:-1]),
    ):
        blocks += [(rows, columns, values), (columns, rows, np.swapaxes(values, -1, -2))]
    inner = at[:-1] + 1
    blocks.append((inner, inner, bend[:-1] + bend[1:]))
    blocks += [(inner[:-1], inner[1:], bend[1:-1]), (inner[1:], inner[:-1], bend[1:-1])]
    rows, columns = (np.concatenate([_spread(b[:2], d)[side] for b in blocks]) for side in (0, 1))
    values = np.concatenate([np.ravel(b[2]) for b in blocks])
    return csc_array((values, (rows, columns)), shape=((2 * n - 1) * d, (2 * n - 1) * d))


def _spread(places: tuple[NDArray[np.intp], NDArray[np.intp]], d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows and columns of the elements of blocks (n, d, d)."""
    first, second = (d * place[:, None, None] for place in places)
    shape = (len(places[0]), d, d)
    rows = np.broadcast_to(first + np.arange(d)[None, :, None], shape).ravel()
    return rows, np.broadcast_to(second + np.arange(d)[None, None, :], shape).ravel()
