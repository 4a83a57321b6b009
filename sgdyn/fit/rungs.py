"""The ladder of processes from SGD to its diffusion as a table: variances of each over SGD's, with errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.reasons import plus_minus
from sgdyn.nets.subspace import Subspace
from sgdyn.printing import Printed
from sgdyn.steady.discrete import DiscreteSGD, ladder
from sgdyn.steady.epochs import EpochSGD, epoch_sgd

Floats = NDArray[np.float64]

CERTAIN, NEAR = 3.0, 2.0
QUADRATIC = "quadratic loss, exact"
HEAD = ("variances over SGD's, less 1", "how", "average", "worst direction")


@dataclass(frozen=True, eq=False)
class Rung:
    """A process beside SGD: its variances over those of SGD as measured, less 1, on average over directions and at worst; None: it does not exist."""

    name: str
    how: str
    average: Estimate | None
    worst: Estimate | None

    def row(self) -> tuple[str, str, str, str]:
        """Texts under `HEAD`."""
        missing = "does not exist: lr h ≥ 1"
        average, worst = (missing if size is None else plus_minus(size) for size in (self.average, self.worst))
        return self.name, self.how, average, worst


@dataclass(frozen=True, eq=False, repr=False)
class Ladder(Printed):
    """SGD as measured is the unit; rungs: the runs of other schemes, then the theories of the quadratic loss. `ladder[name]` is one of them."""

    rungs: tuple[Rung, ...]

    def __getitem__(self, name: str) -> Rung:
        found = {rung.name: rung for rung in self.rungs}
        if name not in found:
            raise KeyError(f"got {name!r}, expected one of {', '.join(map(repr, found))}")
        return found[name]

    def __str__(self) -> str:
        rows = [HEAD, *(rung.row() for rung in self.rungs)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        return "\n".join("  ".join(part.ljust(n) for part, n in zip(row, widths, strict=True)).rstrip() for row in rows)


def beside(
    sgd: Estimate,
    noisy: NDArray[np.bool_],
    runs: dict[str, Estimate],
    theories: Sequence[tuple[str, Floats | None]],
    how: str,
) -> Ladder:
    """The table of variances (k,) measured in runs, with their replicas as samples, and of theories (None: it does not exist)."""
    found = [_rung("SGD", how, sgd, sgd, noisy)]
    found += [_rung(name, how, variances, sgd, noisy) for name, variances in runs.items()]
    found += [_rung(name, QUADRATIC, exact, sgd, noisy) for name, exact in theories]
    return Ladder(tuple(found))


def _rung(name: str, how: str, own: Estimate | Floats | None, sgd: Estimate, noisy: NDArray[np.bool_]) -> Rung:
    if own is None:
        return Rung(name, how, None, None)
    each = ratio(own, sgd, noisy)
    assert each.samples is not None
    return Rung(name, how, of_samples(each.samples.mean(axis=1), each.method), worst(each))


def ratio(a: Estimate | Floats, b: Estimate | Floats, kept: NDArray[np.bool_]) -> Estimate:
    """a/b - 1 in the kept directions, by the delta method over replicas that may be paired; one of the two may be exact."""
    method = b.method if isinstance(b, Estimate) else a.method if isinstance(a, Estimate) else ""
    x, y = (part.value if isinstance(part, Estimate) else part for part in (a, b))
    value = (x / np.where(kept, y, 1.0) - 1)[kept]
    parts = [_relative(part, kept) for part in (a, b)]
    return of_samples(value + (1 + value) * (parts[0] - parts[1]), method)


def _relative(part: Estimate | Floats, kept: NDArray[np.bool_]) -> Floats:
    """Deviations of the replicas from their mean (replica, kept), in units of it."""
    if not isinstance(part, Estimate):
        return np.zeros((1, int(kept.sum())))
    assert part.samples is not None
    return np.asarray((part.samples / np.where(kept, part.value, 1.0) - 1)[:, kept])


def worst(parts: Estimate, limit: float = 0.0) -> Estimate:
    """The direction that is for certain farthest beyond the limit; if none is, the one that may be: all of them hold if this one does.

    Its error grows with the number of those it was chosen from.
    """
    value, size = np.atleast_1d(parts.value), np.abs(np.atleast_1d(parts.value))
    error = np.atleast_1d(parts.error) * max(1.0, float(np.sqrt(np.log(len(value)))))
    beyond = size - CERTAIN * error
    i = int(np.argmax(beyond if beyond.max() > limit else size + NEAR * error))
    return Estimate(float(value[i]), float(error[i]), parts.method)


def epochs(space: Subspace, lr: float, batch: int, momentum: float) -> EpochSGD:
    """SGD epoch by epoch on the quadratic loss of a subspace."""
    return epoch_sgd(space.H, space.D, lr=lr, batch=batch, n=space.n, momentum=momentum)


def quadratics(
    discrete: DiscreteSGD, amplification: int, epoch: EpochSGD | None, steps: NDArray[np.int64]
) -> list[tuple[str, Floats | None]]:
    """(name, variances (k,)) of SGD and all that approximates it, on the quadratic loss; steps: those that are recorded."""
    rungs = ladder(discrete, amplification)
    found = [(rung.name, None if rung.covariance is None else np.diag(rung.covariance)) for rung in rungs]
    if epoch is not None:
        found[0] = (f"independent batches, {found[0][0]}", found[0][1])
        found.insert(0, ("SGD epoch by epoch (exact)", np.diag(epoch.covariances[steps % epoch.steps].mean(axis=0))))
    return found


def ladder_of(comparison: Comparison, amplification: int = 4) -> Ladder:
    """The table of a comparison: SGD as measured, with the control variate where there is one, and the theories."""
    c = comparison
    measured = c.resolved.variance
    s = c.recording.settings
    in_turn = s.sampler == "epoch"
    sampler = "without" if in_turn else s.sampler
    discrete = c.subspace.discrete_model(lr=s.lr, batch=s.batch, momentum=s.momentum, sampler=sampler)
    epoch = epochs(c.subspace, s.lr, s.batch, s.momentum) if in_turn else None
    return beside(measured, c.noisy, {}, quadratics(discrete, amplification, epoch, c.recording.steps), "measured")
