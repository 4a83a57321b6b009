"""Mean gradient against noise, layer by layer: where SGD drifts and where it diffuses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.nets.dependence import trajectory
from sgdyn.nets.network import Network
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.vectors import numpy_of
from sgdyn.printing import Printed
from sgdyn.problem import finite_sample_factor
from sgdyn.progress import progress

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SignalToNoise(Printed):
    """|g_l|²/(c tr D_l/B) of the layers l at m points of weight space, g and D without weight decay, of the samples in hand.

    steps (m,); layers: their names; signal |g_l|² and noise c tr D_l/B (m, layer); ratio (m, layer); total (m,): of all layers together. Above 1
    the mean gradient outweighs the noise of a batch (drift), below 1 it is the other way (diffusion). floor = B/(c N): what N random
    samples give on average where the mean over all that could be drawn vanishes. Errors: rounding.
    """

    steps: Floats
    layers: tuple[str, ...]
    signal: Estimate
    noise: Estimate
    ratio: Estimate
    total: Estimate
    batch: int
    floor: float

    @property
    def drifts(self) -> NDArray[np.bool_]:
        """(m, layer): the drift phase."""
        return np.asarray(self.ratio.value > 1)

    def transition(self, layer: str | None = None) -> Estimate:
        """The step from which on the ratio, of a layer or of all together, stays below 1, by interpolation of its logarithm.

        The error is half the distance of the two points it lies between. Raises ValueError if the ratio ends above 1 or is never above.
        """
        if layer is not None and layer not in self.layers:
            raise ValueError(f"got layer={layer!r}, expected one of {', '.join(map(repr, self.layers))}")
        values = np.log(self.total.value if layer is None else self.ratio.value[:, self.layers.index(layer)])
        above = np.flatnonzero(values > 0)
        if not len(above) or above[-1] == len(values) - 1:
            raise ValueError(
                f"got a ratio {'that ends above' if len(above) else 'that is never above'} 1, expected one that falls below 1; type points that begin earlier and end later"
            )
        i = above[-1]
        a, b = self.steps[i], self.steps[i + 1]
        at = a + (b - a) * values[i] / (values[i] - values[i + 1])
        return Estimate(float(at), 0.5 * float(b - a), "interpolated between two points, half their distance")

    def plot(self, ax: Any = None) -> Any:
        """The ratios of the layers against steps, or of each layer at one point (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def signal_to_noise(
    network: Network, points: Any = None, *, batch: int, replacement: bool = True, space: Subspace | None = None, count: int = 20,
    replica: int = 0, show_progress: bool | None = None,
) -> SignalToNoise:  # fmt: skip
    """The squared mean gradient over the variance of a batch's gradient, for every layer, here or at several weights.

        SNR_l = |g_l|²/(c tr D_l/B),   c = 1 with replacement, (N - B)/(N - 1) without

    Exact, from one pass over the data for each point. points, space, count, replica: as for `state_dependence`; default the network's weights.
    Ctrl-C returns the points that are done. Raises ValueError for a full batch without replacement, and for layers without noise.
    Source: Shwartz-Ziv and Tishby, arXiv:1703.00810 (whose ratio is the root of this one).
    """
    batch, name = checks.count("batch", batch), "replacement" if checks.truth("replacement", replacement) else "without"
    factor = finite_sample_factor(batch, network.n, name) / batch
    steps, places = (np.zeros(1), [network.weights]) if points is None else trajectory(points, space, count, replica)
    layers = layers_of(network)
    rows: list[Floats] = []
    with progress("signal to noise", show_progress) as tell:
        try:
            for done, weights in enumerate(places):
                rows.append(_row(network.at(weights), layers))
                tell((done + 1) / len(places))
        except KeyboardInterrupt:
            if not rows:
                raise
            warnings.warn(f"interrupted after {len(rows)} of {len(places)} points", stacklevel=2)
    return _result(steps[: len(rows)], tuple(layers), np.stack(rows, 1), factor, batch, network.n)


def layers_of(network: Network) -> dict[str, list[slice]]:
    """Where the parameters of each module stand in the flat vector."""
    found: dict[str, list[slice]] = {}
    for name, place in network.places().items():
        found.setdefault(name.rpartition(".")[0] or name, []).append(place)
    return found


def _row(network: Network, layers: dict[str, list[slice]]) -> Floats:
    """|g_l|², tr D_l and their rounding errors (4, layer)."""
    noise = network.noise()
    spread, g = noise.diag(), numpy_of(noise.mean)

    def sums(v: Floats) -> Floats:
        return np.array([sum(float(v[place].sum()) for place in places) for places in layers.values()])

    signal, trace = sums(g**2), sums(spread.value)
    rounding = 2 * noise.space.eps * np.sqrt(signal * (signal + trace))
    return np.stack([signal, trace, rounding, sums(spread.error)])


def _result(steps: Floats, names: tuple[str, ...], rows: Floats, factor: float, batch: int, n: int) -> SignalToNoise:
    signal, trace, error, spread = rows
    if not np.all(trace > spread):
        raise ValueError(
            f"got a layer without noise, {names[int(np.argwhere(trace <= spread)[0][1])]}, expected some in every layer; type params= to leave it out"
        )
    noise, bound, said = factor * trace, factor * spread, "all gradients, rounding"
    ratio, total = signal / noise, signal.sum(1) / noise.sum(1)
    return SignalToNoise(
        steps,
        names,
        Estimate(signal, error, said),
        Estimate(noise, bound, said),
        Estimate(ratio, error / noise + ratio * bound / noise, said),
        Estimate(total, (error.sum(1) + total * bound.sum(1)) / noise.sum(1), said),
        batch,
        1 / (factor * n),
    )
