"""Drift and diffusion where a run says too little: between its points, at points that it leaves open, beyond its box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sgdyn.fit.bandwidths import mesh
from sgdyn.noise import nearest_covariance

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MARGIN = 4
"""Nodes that a mesh gets beyond each of its ends."""
CERTAIN = 2.0
"""Errors by which T D must be above zero to be taken as it is."""
STIFFEST = 0.5
"""The rate at which paths come back from beyond the box is at most this over the time between two rows."""


@dataclass(frozen=True, eq=False)
class Known:
    """What a run says at the nodes (node,) of a mesh: `error` (node, k, k) of T D, `variance` (k,) of the run, the time `dt` between its rows."""

    axes: tuple[Floats, ...]
    known: Flags
    error: Floats
    variance: Floats
    dt: float

    def everywhere(self, drift: Floats, noise: Floats) -> tuple[tuple[Floats, ...], Floats, Floats]:
        """Axes, drift (node, k) and T D (node, k, k) of a wider mesh, for `process_from`.

        Where nothing is known: the nearest known T D, and the nearest known drift with a pull -k (x - nearest) back. k along each axis is T D over the
        variance of the run, or so much that a drift which points away makes no well: push²/T D.
        """
        noise, wide = self.floored(noise)[0], tuple(_widened(a) for a in self.axes)
        known = np.pad(self.known.reshape([len(a) for a in self.axes]), MARGIN)
        inner = np.flatnonzero(np.pad(np.ones([len(a) for a in self.axes], dtype=bool), MARGIN))
        place = np.zeros(known.size, dtype=int)
        place[inner] = np.arange(len(drift))
        near = _nearest(known)
        force, D, nodes = drift[place[near]], noise[place[near]], mesh(wide)
        away = nodes - nodes[near]
        return wide, force - self._pull(force, D, away) * away, D

    def _pull(self, force: Floats, D: Floats, away: Floats) -> Floats:
        """k (k,)."""
        strength = np.maximum(np.einsum("nii->ni", D), 1e-300)
        push = np.maximum(force * np.sign(away), 0.0)
        needed = np.maximum(np.median(strength, axis=0) / self.variance, (push**2 / strength).max(axis=0))
        return np.asarray(np.minimum(needed, STIFFEST / self.dt))

    def floored(self, noise: Floats) -> tuple[Floats, Flags]:
        """T D with directions in which it is not two errors above zero set to the upper end of that range, at most the nearest value that is; and where.

        Directions and sizes are those of the nearest value that is certain in all of them. Where no value is, negative eigenvalues are set to zero.
        """
        strange, found = np.zeros(len(noise), dtype=bool), np.array(noise)
        M, E = noise[self.known], self.error[self.known]
        sure = np.zeros(len(noise), dtype=bool)
        sure[self.known] = _certain(M, E)
        if not sure.any():
            found[self.known] = [nearest_covariance(D) for D in M]
            strange[self.known] = np.linalg.eigvalsh(M)[:, 0] <= 0
            return found, strange
        strange[self.known] = ~sure[self.known]
        near = continued(self.axes, sure, noise)[0]
        if strange.any():
            found[strange] = _raised(noise[strange], self.error[strange], near[strange])
        return found, strange


def remarks(nodes: Floats, strange: Flags, known: Flags) -> tuple[str, ...]:
    """Where T D had to be replaced."""
    if not strange.any():
        return ()
    shown = ", ".join(np.array2string(x, precision=3, separator=", ") for x in nodes[strange][:3])
    return (
        f"T D is not two errors above zero at {strange.sum()} of {known.sum()} points (x = {shown}{', ...' if strange.sum() > 3 else ''}): process() takes at "
        "most the nearest value that is; record longer, or type a larger bandwidth=...",
    )


def _certain(M: Floats, E: Floats) -> Flags:
    """Where every eigenvalue, in units of the mean T D, is above its errors (node,)."""
    sizes, errors = np.einsum("nii->ni", M), np.einsum("nii->ni", E)
    usual = M[np.all(sizes > CERTAIN * errors, axis=1)]
    if not len(usual) or np.linalg.eigvalsh(usual.mean(axis=0))[0] <= 0:
        return np.zeros(len(M), dtype=bool)
    values, _, spread = _directions(M, E, np.broadcast_to(usual.mean(axis=0), M.shape))
    return np.asarray(np.all(values > CERTAIN * spread, axis=1))


def _raised(M: Floats, E: Floats, near: Floats) -> Floats:
    values, frames, spread = _directions(M, E, near)
    top = np.minimum(np.maximum(values, 0.0) + CERTAIN * spread, 1.0)
    kept = np.where(values > CERTAIN * spread, values, top)
    back = np.linalg.inv(frames)
    return np.asarray(np.einsum("nai,na,naj->nij", back, kept, back))


def _directions(M: Floats, E: Floats, unit: Floats) -> tuple[Floats, Floats, Floats]:
    """Eigenvalues of M in units of another matrix, the vectors u (node, k, value) with u' M u = value, and errors, of elements taken as independent."""
    C = np.linalg.inv(np.linalg.cholesky(unit))
    values, vectors = np.linalg.eigh(C @ M @ np.swapaxes(C, -1, -2))
    u = np.swapaxes(C, -1, -2) @ vectors
    both = 2 * np.einsum("nia,nja,nij->na", u**2, u**2, E**2)
    return values, u, np.sqrt(both - np.einsum("nia,nii->na", u**4, E**2))


def continued(axes: tuple[Floats, ...], known: Flags, *values: Floats) -> tuple[Floats, ...]:
    """Values (node, ...) with those at nodes that are not known replaced by the nearest known ones, distances in nodes."""
    places = _nearest(known.reshape([len(a) for a in axes]))
    return tuple(v[places] for v in values)


def trimmed(axes: tuple[Floats, ...], known: Flags, good: Flags) -> Flags:
    """The known nodes without those that are not good and hang together with the outside (node,): within a run it says little, but from all sides."""
    shape = [len(a) for a in axes]
    parts = ndimage.label(np.pad(~good.reshape(shape), 1, constant_values=True))[0]
    inner = (slice(1, -1),) * len(shape)
    border = np.ones(parts.shape, dtype=bool)
    border[inner] = False
    return np.asarray(known & ~np.isin(parts[inner].ravel(), parts[border]))


def _nearest(known: Flags) -> NDArray[np.intp]:
    """The number of the nearest known node (node,)."""
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(np.ravel_multi_index(tuple(nearest), known.shape).ravel())


def _widened(axis: Floats) -> Floats:
    step, more = (axis[-1] - axis[0]) / (len(axis) - 1), np.arange(1, MARGIN + 1)
    return np.concatenate([axis[0] - step * more[::-1], axis, axis[-1] + step * more])
