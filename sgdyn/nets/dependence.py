"""How the noise D(w) of a network changes along a trajectory or a line in weight space."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.spectra import Spectrum
from sgdyn.nets.network import Network
from sgdyn.nets.overlaps import leading, overlap_by_chance, subspace_overlap
from sgdyn.nets.recording import Recording
from sgdyn.nets.scaling import PowerLaw, power_law
from sgdyn.nets.subspace import Subspace
from sgdyn.printing import Printed
from sgdyn.progress import progress

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class StateDependence(Printed):
    """D at m points of weight space, of the samples in hand, beside D at the point `reference`.

    steps (m,): their numbers, or those of the recording. losses (m,): without weight decay. trace (m,), eigenvalues (m, k): of D. overlap (m,):
    |V'V_0|²/k of the k leading eigenvectors (1: the same subspace; `null`: random ones). distance (m,): |V_0'(D - D_0)V_0|/|V_0'D_0V_0| in
    the Frobenius norm. hessian_trace (m,) of H without weight decay, if asked for. Errors: rounding and residuals; D is exact for these
    samples, and how other samples would change it they do not say.
    """

    steps: Floats
    losses: Estimate
    trace: Estimate
    eigenvalues: Estimate
    overlap: Estimate
    distance: Estimate
    null: Estimate
    reference: int
    hessian_trace: Estimate | None = None

    def scaling(self) -> PowerLaw:
        """tr D as a power of the loss over the points: exponent 1 for D = 2 L H (Mori et al., arXiv:2105.09557) with constant H.

        Raises ValueError for fewer than 5 points.
        """
        return power_law(self.losses.value, self.trace.value, ordered=True, names=("loss", "tr D"))

    @property
    def label_noise_ratio(self) -> Estimate:
        """tr D/(2 L tr H) (m,): 1 where D = 2 L H, that is square loss with errors that do not depend on the inputs, near a minimum.

        Raises ValueError without the traces of the Hessian.
        """
        if self.hessian_trace is None:
            raise ValueError("got no trace of the Hessian; type state_dependence(..., hessian=True)")
        value = self.trace.value / (2 * self.losses.value * self.hessian_trace.value)
        parts = [part.error / np.abs(part.value) for part in (self.trace, self.losses, self.hessian_trace)]
        return Estimate(value, np.abs(value) * np.sqrt(np.sum(np.square(parts), axis=0)), self.hessian_trace.method)

    def plot(self, ax: Any = None) -> Any:
        """Trace, overlap and distance against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


class _Row(NamedTuple):
    loss: float
    trace: Estimate
    top: Spectrum
    inside: Floats
    hessian: Estimate | None


def state_dependence(
    network: Network, points: Any, *, k: int = 10, reference: int = 0, space: Subspace | None = None, count: int = 20, replica: int = 0,
    hessian: bool = False, show_progress: bool | None = None,
) -> StateDependence:  # fmt: skip
    """The noise D(w) at several points: trace, top eigenvalues, and how far it is from D at the point number `reference`.

    points: weights (m, p), or tensors (p,) in a list; a line is np.linspace(a, b, m). A `Recording` together with the `space` it was recorded
    on: `count` points of one replica, as far as the subspace shows them. hessian: tr H too, for `label_noise_ratio`. Ctrl-C returns the
    points that are done. Raises ValueError for k + 1 above the rank of D, weights of another shape, and a recording of another subspace.
    """
    steps, places = trajectory(points, space, count, replica)
    k, reference = checks.count("k", k), checks.count("reference", reference, least=0)
    if reference >= len(places):
        raise ValueError(f"got reference={reference}, expected the number of one of {len(places)} points")
    first = leading(network.at(places[reference]).noise(), k, network.noise().rank)
    rows: list[_Row] = []
    with progress("state dependence", show_progress) as tell:
        try:
            for done, weights in enumerate(places):
                rows.append(_row(network.at(weights), first, k, hessian))
                tell((done + 1) / len(places))
        except KeyboardInterrupt:
            if not rows:
                raise
            warnings.warn(f"interrupted after {len(rows)} of {len(places)} points", stacklevel=2)
    return _result(steps[: len(rows)], rows, network.at(places[reference]), first, k, reference)


def trajectory(points: Any, space: Subspace | None, count: int, replica: int) -> tuple[Floats, list[Any]]:
    """Numbers (m,) and weights (p,) of the points that are meant."""
    if isinstance(points, Recording):
        return _recorded(points, space, checks.count("count", count), checks.count("replica", replica, least=0))
    if not len(points) or np.ndim(points[0]) != 1:
        raise ValueError("got no points, expected weights (m, p); type weights[None] for one point")
    places = list(points)
    return np.arange(len(places), dtype=np.float64), places


def _recorded(points: Recording, space: Subspace | None, count: int, replica: int) -> tuple[Floats, list[Any]]:
    if space is None or (points.subspace and points.subspace != space.digest()):
        raise ValueError(
            f"got a recording {'without' if space is None else 'of another subspace than'} its subspace, expected the one it was recorded on; type space="
        )
    if replica >= len(points.x):
        raise ValueError(f"got replica={replica}, expected one of {len(points.x)}")
    rows = np.unique(np.linspace(0, len(points.steps) - 1, count).round().astype(int))
    return points.steps[rows].astype(np.float64), list(space.embed(points.x[replica, rows]))


def data_loss(network: Network) -> float:
    """The mean loss of the samples, without weight decay."""
    return network.value() - 0.5 * network.weight_decay * float(network.weights.double() @ network.weights.double())


def _row(network: Network, first: Spectrum, k: int, hessian: bool) -> _Row:
    noise = network.noise()
    top = leading(noise, k, noise.rank)
    found = _hessian_trace(network) if hessian else None
    return _Row(data_loss(network), noise.trace(), top, noise.projected(first.vectors[:, :k]), found)


def _hessian_trace(network: Network) -> Estimate:
    found = network.hessian().trace()
    return Estimate(found.value - network.weight_decay * network.dim, found.error, found.method)


def _result(steps: Floats, rows: list[_Row], network: Network, first: Spectrum, k: int, at: int) -> StateDependence:
    eps = network.noise().space.eps
    here = network.noise().projected(first.vectors[:, :k])
    size = float(np.linalg.norm(here))
    distance = np.array([np.linalg.norm(row.inside - here) / size for row in rows])
    spread = eps * math.sqrt(k) * np.array([1 + np.linalg.norm(row.inside) / size for row in rows])
    overlaps = [subspace_overlap(first, row.top, k, eps) for row in rows]
    losses = np.array([row.loss for row in rows])
    values = np.stack([row.top.values[:k] for row in rows])
    bounds = np.stack([row.top.residuals[:k] + row.top.floor for row in rows])
    return StateDependence(
        steps,
        Estimate(losses, eps * np.abs(losses), "all samples, rounding"),
        _joined(row.trace for row in rows),
        Estimate(values, bounds, rows[0].top.method + ", bound by residual and rounding"),
        _joined(overlaps),
        Estimate(distance, spread, "rounding"),
        overlap_by_chance(k, network.dim),
        at,
        None if rows[0].hessian is None else _joined(row.hessian for row in rows if row.hessian is not None),
    )


def _joined(parts: Iterator[Estimate] | list[Estimate]) -> Estimate:
    """Numbers of several points as one array."""
    found = list(parts)
    notes = tuple(dict.fromkeys(note for part in found for note in part.warnings))
    value, error = (np.array([getattr(part, name) for part in found]) for name in ("value", "error"))
    return Estimate(value, error, found[0].method, warnings=notes)
