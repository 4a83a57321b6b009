"""One line on whether the diffusion describes a run, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass

from sgdyn.estimate import Estimate
from sgdyn.fit import reasons
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.reasons import largest, plus_minus, with_error

AGAINST = (reasons.unsteady, reasons.foreign, reasons.vague, reasons.differs)
"""Each of these alone makes the verdict fail."""
CAUSES = (reasons.correlated, reasons.downhill, reasons.coarse, reasons.dressed)
"""What may have made the numbers differ; all that apply are named."""


@dataclass(frozen=True)
class Verdict:
    """`holds`: stationary, consistent as measured with the exact theory, and the diffusion's variances right to 10 % in every direction.

    `deviation`, `discrete_deviation`: the largest |measured/predicted - 1| of the diffusion and of the exact discrete theory, each with
    the standard error of that direction, by the control variate where there is one; `average`: variances as measured over the exact
    theory's, averaged over directions; `reasons`: what the data show against it; `directions`: how many noise reaches, of `k`.
    """

    holds: bool
    deviation: Estimate
    discrete_deviation: Estimate
    average: Estimate
    reasons: tuple[str, ...]
    directions: int
    k: int

    def __str__(self) -> str:
        if self.holds:
            where = f"the {self.directions} noisy of " * (self.directions < self.k) + f"the top {self.k} directions"
            return (
                f"The diffusion describes this run to {with_error(self.deviation)} in {where} (exact discrete theory: {with_error(self.discrete_deviation)}; "
                f"as measured, its variances are on average {plus_minus(self.average)} of the exact theory's)."
            )
        return f"The diffusion does not describe this run, because {'; '.join(self.reasons)}."


def judge(comparison: Comparison) -> Verdict:
    """The verdict on a comparison; the reasons are looked for in the order of what would explain most."""
    c = comparison
    against = [said for look in AGAINST if (said := look(c)) is not None]
    causes = [said for look in CAUSES if (said := look(c)) is not None] if against else []
    deviation, discrete = (largest(c.resolved, theory) for theory in ("diffusion", "discrete"))
    return Verdict(
        not against, deviation, discrete, c.checks[0].size, (*against, *causes), int(c.noisy.sum()), len(c.noisy)
    )
