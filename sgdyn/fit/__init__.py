"""Dynamics fitted to real training runs, and whether the diffusion picture holds for them."""

from sgdyn.fit.comparison import Comparison, compare
from sgdyn.fit.verdict import Verdict

__all__ = ["Comparison", "Verdict", "compare"]
