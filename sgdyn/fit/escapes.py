"""Transitions between basins in many runs: rates with errors, their memory, and theory beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.basins import Cores, Places, cores, last_visited
from sgdyn.fit.chains import fitted, looks
from sgdyn.fit.predictions import EscapeComparison, compared
from sgdyn.fit.sojourns import Sojourns, joined, sojourns, waiting_shape
from sgdyn.fit.stretches import Series, series
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

MISSED, COARSE = 0.05, 0.05
"""Part of the transitions that a recording half as often may lose, and part of a rate that may rest on passages between two looks, without a note."""
CERTAIN = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Escape(Printed):
    """Jumps between m basins, as a Markov chain in continuous time.

    counts (m, m): transitions seen from row to column; exposure (m,): time spent in each basin by all replicas together; rates (m, m): those of
    greatest likelihood, counts/exposure where looks are close and higher where passages between two looks go unseen; zero on the diagonal, NaN
    from basins that were never visited; error of chance alone, counts^{1/2}/exposure where looks are close (1/exposure where nothing was seen),
    infinite where stays are so much shorter than the time between looks that only counts/exposure is given, which in their sum are a lower bound. lower, upper (m, m):
    limits at `confidence`, exact where looks are close, one-sided where the rate is zero. covariance (m², m²): of the rates, row by row. shape (m,):
    the exponent of Weibull's law for waiting times, 1 if there is no memory. missed: the part of the transitions that a recording half as often
    would not have, beyond what a chain does between its looks. time_per_step: that of a step of SGD in a `Recording`, None for arrays. names (m,).
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    exposure: Floats
    rates: Estimate
    lower: Floats
    upper: Floats
    confidence: float
    shape: Estimate
    missed: float
    sojourns: Sojourns
    covariance: Floats
    time_per_step: float | None = None
    warnings: tuple[str, ...] = ()

    def index(self, basin: Any) -> int:
        """The number of a basin, given by its name or number."""
        name = str(basin)
        if name not in self.names:
            raise ValueError(f"got the basin {basin!r}, expected one of {', '.join(map(repr, self.names))}")
        return self.names.index(name)

    @property
    def generator(self) -> Floats:
        """The rate matrix (m, m) with rows that sum to zero."""
        rates = np.asarray(self.rates.value)
        return np.asarray(rates - np.diag(rates.sum(axis=1)))

    def rate(self, start: Any, end: Any) -> Estimate:
        """From one basin to another. Where nothing was seen, its warning says below what it lies."""
        i, j = self._pair(start, end)
        value, error = float(self.rates.value[i, j]), float(self.rates.error[i, j])
        unseen = () if value > 0 else (self._unseen(i, j),)
        return Estimate(value, error, f"{self.counts[i, j]} transitions in {self.exposure[i]:.4g}", None, unseen)

    def likelihood(self, start: Any, end: Any) -> tuple[float, float]:
        """(n, t): the transitions and the time of a Poisson count that tells as much of this rate as the run does; `counts`, `exposure` where looks are close."""
        i, j = self._pair(start, end)
        value, error = float(self.rates.value[i, j]), float(self.rates.error[i, j])
        return ((value / error) ** 2, value / error**2) if value > 0 else (0.0, 1 / error)

    def time(self, start: Any, end: Any) -> Estimate:
        """The mean time from one basin to another of the chain, over whatever basins lie between; error to first order in those of the rates.

        Raises ValueError where some basin on the way was never left.
        """
        i, j = self._pair(start, end)
        rest = [k for k in range(len(self.names)) if k != j and self.exposure[k] > 0]
        inner = -self.generator[np.ix_(rest, rest)]
        if i not in rest or np.linalg.matrix_rank(inner) < len(rest):
            raise ValueError(
                f"got runs in which {self.names[j]!r} cannot be reached from every basin, expected transitions; {self._unseen(i, j)}"
            )
        visits = np.linalg.inv(inner)
        times = np.zeros(len(self.names))
        times[rest] = visits.sum(axis=1)
        slopes = np.zeros((len(times), len(times)))
        slopes[rest] = visits[rest.index(i)][:, None] * (times[None, :] - times[rest][:, None])
        return Estimate(float(times[i]), self._error(slopes), f"Markov chain of {int(self.counts.sum())} transitions")

    def _error(self, slopes: Floats) -> float:
        """Of a function of the rates with these slopes (m, m), to first order; infinite if it takes a rate that has no upper limit."""
        if np.any(np.isinf(self.rates.error) & (slopes != 0)):
            return float("inf")
        flat = slopes.ravel()
        return float(np.sqrt(max(float(flat @ self.covariance @ flat), 0.0)))

    def reached(self, start: Any, end: Any, t: float) -> Estimate:
        """The probability of the chain to have been in `end` by the time t after `start`, beside `sgdyn.reach`; error to first order in those of the rates."""
        i, j = self._pair(start, end)
        duration, rates = checks.positive("t", t), np.nan_to_num(np.asarray(self.rates.value))

        def probability(rates: Floats) -> float:
            absorbed = np.delete(rates, j, axis=0)
            inner = np.delete(absorbed, j, axis=1) - np.diag(absorbed.sum(axis=1))
            return float(1 - linalg.expm(inner * duration)[i - (i > j)].sum())

        value, slopes = probability(rates), np.zeros_like(rates)
        for a, b in zip(*np.nonzero(rates), strict=True):
            moved = rates.copy()
            moved[a, b] += 1e-6 * rates[a, b]
            slopes[a, b] = (probability(moved) - value) / (1e-6 * rates[a, b])
        unseen = () if self.counts[:, j].any() else (self._unseen(i, j),)
        return Estimate(
            value, self._error(slopes), f"Markov chain of {int(self.counts.sum())} transitions", None, unseen
        )

    def _pair(self, start: Any, end: Any) -> tuple[int, int]:
        i, j = self.index(start), self.index(end)
        if i == j:
            raise ValueError(f"got start = end = {self.names[i]!r}, expected two basins")
        return i, j

    def compare(
        self, predictions: Mapping[str, Any] | None = None, *, times: Mapping[str, Any] | None = None, time_per_step: Any = None
    ) -> EscapeComparison:  # fmt: skip
        """Rates of theories beside the measured ones, with pulls: {"Kramers": {("left", "right"): rate}}, or mean `times`, taken as 1/rate.

        A rate is a number or an `Estimate`, whose error is counted. time_per_step: the time of a step of SGD in the theories, or the process of
        `sgd(...)` that they are of; by default that of the recordings (lr, and `Momentum`'s sqrt(lr) with momentum). For the overdamped diffusion
        of a run with momentum mu it is lr/(1 - mu), the process `sgd(..., lr=lr/(1 - mu))`. Raises ValueError for unknown basins, rates that are
        not positive, and `time_per_step` beside arrays, whose clock is their `dt`.
        """
        return compared(self, predictions, times, time_per_step)

    def _unseen(self, i: int, j: int) -> str:
        if self.exposure[i] == 0:
            return f"{self.names[i]!r} was never visited: nothing is known of the rates from it"
        seen = "no transition" if not self.counts[i, j] else "no transition that the other rates do not explain"
        return f"{seen} {self.names[i]!r} -> {self.names[j]!r} in {self.exposure[i]:.4g}: its rate is below {self.upper[i, j]:.3g} ({self.confidence:.0%})"

    def __str__(self) -> str:
        lines = [
            f"{int(self.counts.sum())} transitions between {len(self.names)} basins in {self.exposure.sum():.4g} of time"
        ]
        for i, j in zip(*np.nonzero(self.counts), strict=True):
            found = rounded(float(self.rates.value[i, j]), float(self.rates.error[i, j]))
            limits = f"[{self.lower[i, j]:.4g}, {self.upper[i, j]:.4g}] at {self.confidence:.0%}"
            lines.append(
                f"{self.names[i]} -> {self.names[j]}: rate {found}, {limits}; {self.counts[i, j]} in {self.exposure[i]:.4g}"
            )
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])

    def plot(self, ax: Any = None) -> Any:
        """How long replicas stay in each basin, beside exponential laws (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def escape(
    recordings: Any, basins: Any, *, dt: float | None = None, margin: float = 0.25, confidence: float = 0.95
) -> Escape:
    """Rates of transitions between basins, from runs of many replicas.

    Each replica is in the basin whose core it visited last (milestoning), so that crossing the border to and fro counts once. The rates are
    those of the Markov chain in continuous time of greatest likelihood for states seen dt apart: k_ij = N_ij/T_i, the transitions seen over the
    time spent, if dt is short, otherwise the logarithm of the matrix of transitions, which counts passages between two looks. Between two
    basins 1/k is the mean time from the border of one core, reached from outside, to the other core, with or without memory for short dt.

    recordings: a `Recording` (time lr a step, with momentum sqrt(lr), that of `Momentum`), an array (replica, time, k) or (time, k) with `dt`, or a list of them, of any lengths. basins:
    a list, or a mapping from names: predicates of a point x (`lambda x: x[0] > 1`), `Region`s, or minima (k,), whose cores end at the part
    `margin` of the way to each other minimum. Cores must be disjoint, and wide enough to be visited by whoever stays in the basin.

    Raises ValueError for overlapping cores, cores that no replica ever visits, recordings of unlike settings, and as `fit.linear` does for
    bad arrays. What was never seen gets an upper limit. Notes: waiting times with memory (then no chain), transitions lost that no chain
    would lose, rates that rest on what a chain does between two looks. Sources: Faradjian, Elber, J. Chem. Phys. 120, 10880 (2004); Schütte et
    al., ibid. 134, 204105 (2011), of core sets; Kalbfleisch, Lawless, J. Am. Stat. Assoc. 80, 863 (1985), of chains that are looked at;
    Garwood, Biometrika 28, 437 (1936), of the limits.
    """
    if not 0 < checks.number("confidence", confidence) < 1:
        raise ValueError(f"got confidence={confidence:g}, expected a number between 0 and 1")
    runs = _runs(recordings, dt)
    cells = cores(basins, runs[0].dim, margin)
    places = [cells.at(run.x) for run in runs]
    _check_visited(cells, places)
    states = [last_visited(each) for each in places]
    stays = joined(sojourns(state, run.dt) for state, run in zip(states, runs, strict=True))
    missed = _missed(places, [run.dt for run in runs], len(cells.names))
    return replace(_result(cells.names, stays, confidence, missed), time_per_step=_step(recordings))


def _step(recordings: Any) -> float | None:
    """The time of a step of SGD, where all are `Recording`s."""
    several = list(recordings) if isinstance(recordings, list | tuple) else [recordings]
    return several[0].settings.dt if all(isinstance(each, Recording) for each in several) else None


def _runs(recordings: Any, dt: float | None) -> list[Series]:
    several = list(recordings) if isinstance(recordings, list | tuple) else [recordings]
    if not several:
        raise ValueError("got no recordings, expected one at least")
    settings = {_settings(each) for each in several if isinstance(each, Recording)}
    if len(settings) > 1:
        raise ValueError(
            f"got recordings with {len(settings)} different settings (lr, batch, sampler, momentum, scheme), expected runs of one process; type fit.escape for each"
        )
    runs = [series(each, dt, momentum=True) for each in several]
    if len({run.dim for run in runs}) > 1:
        raise ValueError("got recordings with different numbers of coordinates, expected the same for all")
    return runs


def _settings(recording: Recording) -> tuple[Any, ...]:
    s = recording.settings
    return s.lr, s.batch, s.sampler, s.momentum, s.scheme, s.labels, s.schedule, recording.subspace


def _check_visited(cells: Cores, places: list[Places]) -> None:
    if not any(np.any(each[:, :-1] >= 0) for each in places):
        raise ValueError(
            f"got basins {', '.join(map(repr, cells.names))} that no replica ever visits, expected places where the run is; look at recording.plot()"
        )


def _missed(places: list[Places], dts: list[float], basins: int) -> float:
    """The part of transitions that every second look does not see though a Markov chain would show them; zero if chance may be the reason."""
    found = [sojourns(last_visited(each), dt) for each, dt in zip(places, dts, strict=True)]
    half = [sojourns(last_visited(each[:, part::2]), 1.0).counts(basins).sum() for each in places for part in (0, 1)]
    moves = expected = 0.0
    for n in looks(joined(found), basins).values():
        P = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
        moves += float(n.sum() - np.trace(n))
        expected += float(n.sum(axis=1) @ (1 - np.diag(P @ P))) / 2
    lost = expected - sum(half) / 2
    return lost / moves if moves and lost > CERTAIN * np.sqrt(max(moves - expected, 1.0)) else 0.0


def _result(names: tuple[str, ...], stays: Sojourns, confidence: float, missed: float) -> Escape:
    counts, exposure = stays.counts(len(names)), stays.exposure(len(names))
    chain = fitted(looks(stays, len(names)), confidence)
    unknown = (exposure == 0)[:, None] & ~np.eye(len(names), dtype=bool)
    value, error, lower, upper = (
        np.where(unknown, np.nan, part) for part in (chain.rates, chain.error, chain.lower, chain.upper)
    )
    shapes = [waiting_shape(stays.of(i)) for i in range(len(names))]
    shape = Estimate(np.array([e.value for e in shapes]), np.array([e.error for e in shapes]), "Weibull's law")
    rates = Estimate(value, error, f"{int(counts.sum())} transitions, maximum likelihood of a Markov chain")
    bare = Escape(names, counts, exposure, rates, lower, upper, confidence, shape, missed, stays, chain.covariance)
    return replace(bare, warnings=_warnings(bare))


def _warnings(found: Escape) -> tuple[str, ...]:
    notes = [note for i in range(len(found.names)) for note in _of_basin(found, i)]
    if found.missed > MISSED:
        notes.append(f"recorded half as often, {found.missed:.0%} of the transitions would be lost beyond what a chain does between its looks, so that some are lost as it is; record more often, or type smaller cores")  # fmt: skip
    return tuple(notes)


def _of_basin(found: Escape, i: int) -> list[str]:
    """What is to be said of the stays in one basin."""
    name, time = found.names[i], found.exposure[i]
    if time == 0:
        return [found._unseen(i, i)]
    notes = []
    moves, rate = found.counts[i].sum() / time, float(np.sum(found.rates.value[i]))
    if not moves:
        notes.append(f"{name!r} was never left in {time:.4g}: each rate from it is below {found.upper[i].max():.3g} ({found.confidence:.0%})")  # fmt: skip
    shape, error = float(found.shape.value[i]), float(found.shape.error[i])
    if abs(shape - 1) > CERTAIN * error:
        kind = "replicas leave later than chance would have it" if shape > 1 else "some replicas leave sooner, others later than chance"  # fmt: skip
        notes.append(f"waiting times in {name!r} have memory (exponent {rounded(shape, error)}, 1 without): {kind}, and no Markov chain of these basins describes them; type wider or more basins")  # fmt: skip
    if np.any(np.isinf(found.rates.error[i])):
        notes.append(f"stays in {name!r} are shorter than the time between two looks: rates from it are at least {moves:.3g} together, and nothing more is known; record more often")  # fmt: skip
    elif moves < (1 - COARSE) * rate:
        notes.append(f"rates from {name!r} are {rate / moves - 1:.0%} above the transitions seen over the time, for passages between two looks as a Markov chain has them; record more often to see them")  # fmt: skip
    return notes
