"""Spectra of a network's data, activations, Jacobians, Fisher matrix, curvature and noise on equal footing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.nets.capture import Unsupported, capture, owners
from sgdyn.nets.fisher import EmpiricalFisher
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.isotropic import isotropic_network
from sgdyn.nets.moment_plans import DENSE, GRAM
from sgdyn.nets.network import Network
from sgdyn.nets.output_directions import along_outputs, curved_directions, output_count, unit_directions
from sgdyn.nets.sample_means import ByLanczos, SampleMean, of_gradients, of_operator, of_rows
from sgdyn.nets.sloppy_spectrum import SloppySpectrum, spectrum_of
from sgdyn.nets.trees import leaves, take
from sgdyn.nets.vectors import TensorSpace
from sgdyn.printing import Printed
from sgdyn.progress import progress

Groups = NDArray[np.intp]
Job = tuple[str, Callable[[], SampleMean]]

KINDS = ("data", "activations", "activation gradients", "logits", "Gauss-Newton", "Hessian", "noise")
HEAD = ("", "rows", "resolved", "tail", "slope per rank", "decades", "participation", "largest", "floor")


@dataclass(frozen=True, eq=False, repr=False)
class Sloppiness(Printed):
    """Spectra by name, of n samples, and those of the same network on isotropic data (`null`). Prints as a table.

    "data": the second moment of the inputs; "activations L", "activation gradients L": of what layer L is given and of the slopes of the
    loss at its outputs; "logits": J'J/N of all outputs, "logit c" of one; "Gauss-Newton", which is the Fisher matrix for likelihoods;
    "Hessian"; "noise": D. Weight decay is left out. `notes`: what was left out, and why.
    """

    spectra: dict[str, SloppySpectrum]
    n: int
    null: Sloppiness | None = None
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> SloppySpectrum:
        if name not in self.spectra:
            raise KeyError(f"got {name!r}, expected one of {', '.join(map(repr, self.spectra))}")
        return self.spectra[name]

    def effective_dimension(self, epsilon: float, *, of: str = "Hessian", rule: str = "count") -> Estimate:
        """How many directions the data determine beside a normal prior of precision epsilon.

        rule: "count" p(n, epsilon) = #{lambda > epsilon/2(n-1)} (Yang, Mao and Chaudhari, arXiv:2110.14163), or "smooth" sum
        lambda/(lambda + epsilon/2(n-1)) over positive eigenvalues, the share of the posterior precision 2(n-1) lambda + epsilon that is
        not the prior's. Raises ValueError for thresholds below 10 times the numerical floor.
        """
        threshold = checks.positive("epsilon", epsilon) / (2 * (self.n - 1))
        if rule not in ("count", "smooth"):
            raise ValueError(f"got rule={rule!r}, expected 'count' or 'smooth'")
        return self[of].count(threshold) if rule == "count" else self[of].smooth_count(threshold)

    def __str__(self) -> str:
        rows = [HEAD, *(found.row() for found in self.spectra.values())]
        if self.null is not None:
            rows += [("isotropic data:", *[""] * (len(HEAD) - 1)), *(found.row() for found in self.null.spectra.values())]  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def plot(self, ax: Any = None) -> Any:
        """All spectra relative to their largest eigenvalues, against rank over rows (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def sloppiness(
    network: Network, of: Sequence[str] = KINDS, *, outputs: Sequence[int] = (0,), null: str | None = "gaussian", groups: int = 8,
    k: int = 100, seed: int = 0, show_progress: bool | None = None,
) -> Sloppiness:  # fmt: skip
    """Eigenvalues of data, activations, Jacobians, curvature and noise, their slopes and effective ranks, beside those on isotropic data.

    of: which of `KINDS`. outputs: those whose own Jacobians are looked at too. null: the same weights on "gaussian" inputs of the data's
    second moment on average, or on the data "whitened", labels from the model itself; None: no such comparison. groups: of samples, left
    out in turn for the errors. All eigenvalues, of matrices up to 4096 rows or from up to 10,000 inner products; of larger ones the k
    top ones. Ctrl-C returns what is done. Raises ValueError for unknown kinds, and for samples fewer than groups.
    """
    unknown = [name for name in of if name not in KINDS]
    if unknown or not of:
        raise ValueError(f"got of={tuple(of)}, expected some of {', '.join(map(repr, KINDS))}")
    groups = checks.count("groups", groups, least=2)
    if network.n < 2 * groups:
        raise ValueError(f"got {network.n} samples and groups={groups}, expected at least two samples a group")
    bare = network.at(network.weights)
    bare.weight_decay = 0.0
    other = None if null is None else isotropic_network(bare, null, seed)
    members = np.random.default_rng(checks.seed_sequence(seed)).permutation(np.arange(network.n) % groups)
    found, notes = _all(bare, of, outputs, members, k, show_progress)
    against = None if other is None else Sloppiness(_all(other, of, outputs, members, k, show_progress)[0], network.n)
    return Sloppiness(found, network.n, against, notes)


def _all(
    network: Network, of: Sequence[str], which: Sequence[int], groups: Groups, k: int, shown: bool | None
) -> tuple[dict[str, SloppySpectrum], tuple[str, ...]]:
    found: dict[str, SloppySpectrum] = {}
    notes: list[str] = []
    work = list(_jobs(network, of, which, groups, checks.count("k", k), notes))
    with progress("spectra", shown) as tell:
        try:
            for done, (name, mean) in enumerate(work):
                found[name] = spectrum_of(name, mean(), int(groups.max()) + 1)
                tell((done + 1) / len(work))
        except KeyboardInterrupt:
            if not found:
                raise
            warnings.warn(f"interrupted after {len(found)} of {len(work)} spectra", stacklevel=3)
    return found, tuple(notes)


def _jobs(
    network: Network, of: Sequence[str], which: Sequence[int], groups: Groups, k: int, notes: list[str]
) -> Iterator[Job]:
    eps = TensorSpace(network.weights).eps
    inputs = [part.flatten(1) for part in leaves(network.x) if part.is_floating_point() and part.ndim > 1]
    if "data" in of and inputs:
        yield "data", lambda: of_rows(torch.cat(inputs, 1), groups, eps)
    elif "data" in of:
        notes.append("the inputs are no numbers, so that they have no spectrum")
    yield from _layers(network, of, groups, eps, notes)
    if "logits" in of:
        yield "logits", lambda: _outputs(network, groups, k, None)
        for c in which:
            yield f"logit {c}", lambda c=c: _outputs(network, groups, k, c)  # type: ignore[misc]
    if "Gauss-Newton" in of:
        yield "Gauss-Newton", lambda: _gauss_newton(network, groups, k)
    if "Hessian" in of:
        yield "Hessian", lambda: of_operator(network, groups, Network.hessian) or ByLanczos(Network.hessian, network, groups, k)  # fmt: skip
    if "noise" in of:
        yield "noise", lambda: of_gradients(network, groups, GradientNoise) or ByLanczos(GradientNoise, network, groups, k)  # fmt: skip


def _layers(network: Network, of: Sequence[str], groups: Groups, eps: float, notes: list[str]) -> Iterator[Job]:
    """What each layer with parameters is given, and what comes back to it."""
    if "activations" not in of and "activation gradients" not in of:
        return
    try:
        modules = owners(network)
        for path, layer in modules.items():
            capture(network, take(network.x, slice(2)), network.y[:2], {path: layer})
    except Unsupported as reason:
        notes.append(f"no activations: {reason}")
        return
    for place, path in enumerate(modules):
        if "activations" in of and place:
            yield f"activations {path}", lambda p=path: of_rows(_seen(network, modules, p, "inputs"), groups, eps)  # type: ignore[misc]
        if "activation gradients" in of:
            yield f"activation gradients {path}", lambda p=path: of_rows(_seen(network, modules, p, "slopes"), groups, eps)  # type: ignore[misc]  # fmt: skip


def _seen(network: Network, modules: dict[str, Any], path: str, side: str) -> Tensor:
    """What a layer was given ("inputs") or got back ("slopes") for all samples (N, width)."""
    found = []
    for x, y in network.batches():
        calls = getattr(capture(network, x, y, {path: modules[path]})[path], side)
        found.append(torch.cat([call.flatten(1) for call in calls], 1))
    return torch.cat(found)


def _outputs(network: Network, groups: Groups, k: int, output: int | None) -> SampleMean:
    make: Callable[[Network], SymmetricOperator] = lambda net: net.jacobian(output).normal()  # noqa: E731 - where no matrix fits
    count = output_count(network) if output is None else 1
    return _by_directions(network, groups, lambda: unit_directions(network, output), count) or ByLanczos(make, network, groups, k)  # fmt: skip


def _gauss_newton(network: Network, groups: Groups, k: int) -> SampleMean:
    count = output_count(network)
    return _by_directions(network, groups, lambda: curved_directions(network), count) or ByLanczos(Network.gauss_newton, network, groups, k)  # fmt: skip


def _by_directions(network: Network, groups: Groups, directions: Callable[[], Tensor], count: int) -> SampleMean | None:
    """J_i'u u'J_i summed over directions, if that fits."""
    if network.dim > DENSE and network.n * count > GRAM:
        return None
    return of_gradients(along_outputs(network, directions()), np.tile(groups, count), EmpiricalFisher)
