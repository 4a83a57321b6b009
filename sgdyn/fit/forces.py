"""Stochastic force inference: drift and diffusion of a run on a basis of functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.bases import projected, written
from sgdyn.fit.degrees import DEGREES, Degrees, nats
from sgdyn.fit.projections import ESTIMATORS, Projection, refuse_dependent
from sgdyn.fit.stretches import Series, combined, left_out, series
from sgdyn.nets.recording import Recording
from sgdyn.noise import Varying, nearest_covariance
from sgdyn.printing import Printed
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

ROWS = 9
"""Of coefficients that are printed, and as many of each."""
LEAST = 10
"""Transitions for each function, at least."""


@dataclass(frozen=True, eq=False, repr=False)
class ForceInference(Printed):
    """dX = F(X) dt + sqrt(2 T D(X)) dW with F and T D on bases of functions.

    coefficients (k, function) and noise_coefficients (k, k, function) of `basis` and `noise_basis`, with jackknife errors. information: bits in the run
    that speak for the drift, (time/4) E[F' (T D)^-1 F]/log 2 less what chance gives, half a nat for each of the `parameters`.
    force_error: the expected relative error of the drift, sqrt(parameters/2 information in nats), over 1 where the drift is not resolved.
    """

    basis: Formula
    noise_basis: Formula
    coefficients: Estimate
    noise_coefficients: Estimate
    information: Estimate
    force_error: float
    series: Series = field(repr=False)
    replicates: tuple[Floats, Floats] = field(repr=False)

    def __repr__(self) -> str:
        rows = [f"ForceInference: information {self.information}, force_error {self.force_error:.2g}"]
        for name, found in (("F", self.coefficients), ("T D", self.noise_coefficients)):
            for index in list(np.ndindex(np.shape(found.value)[:-1]))[:ROWS]:
                row = ", ".join(
                    rounded(float(v), float(e))
                    for v, e in zip(found.value[index][:ROWS], found.error[index], strict=False)
                )
                rows.append(
                    f"  {name}[{', '.join(map(str, index))}]: {row}{', ...' if found.value.shape[-1] > ROWS else ''}"
                )
        return "\n".join(rows)

    __str__ = __repr__

    @property
    def parameters(self) -> int:
        """Of the drift."""
        return int(self.coefficients.value.size)

    def drift(self, x: ArrayLike) -> Estimate:
        """F at points (..., k) with its errors."""
        return _at(self.basis, x, self.coefficients, self.replicates[0])

    def noise(self, x: ArrayLike) -> Estimate:
        """T D at points (..., k) with its errors (..., k, k)."""
        return _at(self.noise_basis, x, self.noise_coefficients, self.replicates[1])

    def process(self) -> Langevin:
        """The fitted process with T = 1 and D = T D, as formulas that every solver takes.

        A constant D loses its negative eigenvalues; one that depends on x stays as fitted, and a path that finds it indefinite raises `BlowUpError`.
        """
        drift = projected("projected drift", self.basis, self.coefficients.value)
        D = self.noise_coefficients.value
        if D.shape[-1] == 1:
            return Langevin.from_drift(
                drift, 1.0, nearest_covariance(self.noise(self.series.x[0, 0]).value), dim=drift.dim
            )
        matrix = projected("projected noise", self.noise_basis, D)
        return Langevin.from_drift(drift, 1.0, Varying(matrix, matrix.gradient().trace()), dim=drift.dim)

    def plot(self, ax: Any = None) -> Any:
        """The coefficients of the drift with their errors (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def force_inference(
    recording: Recording | Any, *, dt: float | None = None, basis: Any = None, noise_basis: Any = 0, calculus: str = "ito",
    estimator: str = "standard", lags: int = 2,
) -> ForceInference:  # fmt: skip
    """Drift and diffusion of a run in any number of coordinates by projection on functions of the place.

    F = sum_a c_a f_a(x) with c = E[f f']^-1 E[f dx]/s (calculus="ito") or E[f f']^-1 (E[f o dx]/s - E[T D grad f]) ("stratonovich", f the mean of
    both ends: measurement noise of the coordinates then drops out). T D = E[square]/2s with the square of estimator="standard", dx dx';
    "vestergaard", dx dx' + dx dy' + dy dx' with the next increment dy, which measurement noise leaves alone; "weak noise", (dy - dx)(dy - dx)'/2, for
    drifts that outrun the noise. s = dt, ..., `lags` dt, and the limit s -> 0 of the polynomial through them.

    basis, noise_basis: the degree of polynomials, a NumPy function of x that returns (count,), or a list of functions; basis=None takes the degree 1, 2 or
    3: a higher one where chance would raise the information at one lag as much in one of a thousand runs, those of at most 20,000 rows beside simulated linear ones.
    recording: of `nets.train` on a subspace, or an array (replica, time, k) or (time, k) with its `dt`. Raises ValueError for functions that are
    linearly dependent along the run and for fewer than ten transitions a function, momentum. Sources: Frishman and Ronceray, PRX 10, 021009
    (2020); Vestergaard, Blainey, Flyvbjerg, Phys. Rev. E 89, 022726 (2014).
    """
    run = series(recording, dt)
    _check(calculus, estimator)
    options = (noise_basis, calculus == "stratonovich", estimator, checks.count("lags", lags))
    if basis is not None:
        return _fitted(run, basis, *options)
    found, taken = _fitted(run, DEGREES[0], *options), DEGREES[0]
    center, scale = _standard(run)
    tests = Degrees(center, scale, noise_basis, calculus == "stratonovich", estimator, run.dt)
    for degree in DEGREES[1:]:
        try:
            richer = _fitted(run, degree, *options)
        except ValueError:
            break  # too few transitions for so many functions, or dependent ones
        if tests.needed(run, taken, degree):
            found, taken = richer, degree
    return found


def _standard(run: Series) -> tuple[Floats, Floats]:
    center, scale = run.x.mean(axis=(0, 1)), run.x.std(axis=(0, 1))
    return center, np.where(scale > 0, scale, 1.0)


def _check(calculus: str, estimator: str) -> None:
    if calculus not in ("ito", "stratonovich"):
        raise ValueError(f"got calculus={calculus!r}, expected 'ito' or 'stratonovich'")
    if estimator not in ESTIMATORS:
        raise ValueError(f"got estimator={estimator!r}, expected one of {', '.join(map(repr, ESTIMATORS))}")


def _fitted(run: Series, basis: Any, noise_basis: Any, stratonovich: bool, estimator: str, lags: int) -> ForceInference:
    center, scale = _standard(run)
    force, noise = written(basis, center, scale), written(noise_basis, center, scale)
    count = run.x.shape[0] * (run.x.shape[1] - 2 * lags)
    if count < LEAST * max(force.shape[0], noise.shape[0]):
        raise ValueError(
            f"got {count} transitions for {force.shape[0]} functions, expected at least {LEAST} for each; record longer, or type a smaller basis="
        )
    projection = Projection(force, noise, stratonovich, estimator, lags, run.dt)
    sums = projection.sums(run)
    gram, noise_gram, *_ = projection.parts(sums.sum(axis=0))
    refuse_dependent(gram, "drift")
    refuse_dependent(noise_gram, "noise")
    central, parts = left_out(sums, projection.coefficients)
    sense = "Stratonovich" if stratonovich else "Itô"
    method = f"projection on {force.shape[0]} functions, {sense}, {estimator}, {lags} lags, jackknife over {len(sums)} stretches"
    c, d = (combined(value, part, len(sums), method) for value, part in zip(central, parts, strict=True))
    information, error = _information(gram, projection.noise(run.x[:, :-1]), c.value, d.value, run.dt)
    return ForceInference(force, noise, c, d, information, error, run, (parts[0], parts[1]))


def _information(gram: Floats, noise: Floats, c: Floats, d: Floats, dt: float) -> tuple[Estimate, float]:
    """(bits, relative error of the drift). Frishman and Ronceray (2020), eqs. for I_b and its fluctuations; the mean T D stands for T D(x)."""
    found, count = nats(gram, noise, c, d, dt), c.size
    spread = float(np.sqrt(2 * max(found, 0.0) + count / 2))
    bits = Estimate(
        (found - count / 2) / np.log(2), spread / np.log(2), f"bits, {count} parameters, less half a nat for each"
    )
    return bits, float(np.sqrt(count / (2 * max(found - count / 2, 1e-300))))


def _at(basis: Formula, x: ArrayLike, found: Estimate, replicates: Floats) -> Estimate:
    functions = basis(checks.points(x, basis.dim))
    values = np.tensordot(functions, found.value, axes=(-1, -1))
    spread = np.array([np.tensordot(functions, part, axes=(-1, -1)) for part in replicates])
    error = np.sqrt((len(spread) - 1) * spread.var(axis=0))
    return Estimate(values, error, found.method)
