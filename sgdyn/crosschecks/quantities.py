"""What can be cross-checked: a name and a table of theories each."""

from __future__ import annotations

from sgdyn.crosschecks.averages import COVARIANCE, MEAN
from sgdyn.crosschecks.escape_times import ESCAPE_TIME
from sgdyn.crosschecks.first_passage_times import MEAN_FIRST_PASSAGE
from sgdyn.crosschecks.question import Quantity
from sgdyn.crosschecks.rates import SLOWEST_RATE

QUANTITIES: dict[str, Quantity] = {
    "mean_first_passage": MEAN_FIRST_PASSAGE,
    "escape time": ESCAPE_TIME,
    "mean": MEAN,
    "covariance": COVARIANCE,
    "slowest_rate": SLOWEST_RATE,
}
"""A new quantity is one file with a `Quantity`, and one line here."""
