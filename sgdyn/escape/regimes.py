"""Where asymptotic rates hold: barriers of several T. What all of them refuse, warn of and count as error."""

from __future__ import annotations

import numpy as np

from sgdyn.estimate import Estimate

HIGH = 5.0
"""Below so many T a barrier is low, and the warning says so."""


def check_barrier(height: float) -> None:
    """Raises ValueError for a barrier below 1 T: nothing waits behind it. height: in units of T."""
    if not height >= 1:
        what = "no barrier" if height <= 0 else f"a barrier of {height:.3g} T"
        raise ValueError(
            f"got {what} from the well to the saddle, expected at least 1 T (better 5 T): below, there is no rate; type a smaller T, or "
            "sg.mean_first_passage_1d and sg.fokker_planck, which need no barrier"
        )


def mean_time(log_time: float, relative: float, height: float, method: str, notes: tuple[str, ...] = ()) -> Estimate:
    """exp(log_time) with the relative error of what a theory neglects; a barrier below 5 T is warned of.

    Raises OverflowError above 1e308.
    """
    if log_time > 709:
        raise OverflowError(f"got a mean time of e^{log_time:.6g}, expected one below 1e308; type a larger T")
    if height < HIGH:
        notes = (f"the barrier is {height:.3g} T: below 5 T asymptotic rates are off by about {relative:.0%}", *notes)
    value = float(np.exp(log_time))
    return Estimate(value, relative * value, f"{method}, barrier {height:.4g} T", warnings=notes)


def summed(times: list[Estimate], method: str) -> Estimate:
    """The mean time where several ways lead out: rates add. Their errors are taken to have one sign."""
    if len(times) == 1:
        return times[0]
    rates = np.array([1 / float(t) for t in times])
    relative = np.array([t.error / float(t) for t in times])
    value = 1 / rates.sum()
    notes = tuple(dict.fromkeys(note for t in times for note in t.warnings))
    return Estimate(
        float(value),
        float(value * (rates @ relative) / rates.sum()),
        f"{method}: {len(times)} ways out, rates added",
        warnings=notes,
    )
