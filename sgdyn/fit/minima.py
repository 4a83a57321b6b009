"""The minimum of a case, kept on disk: to find it can take longer than all that follows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sgdyn import storage
from sgdyn.errors import NotConvergedError
from sgdyn.nets import Network
from sgdyn.nets.vectors import numpy_of

if TYPE_CHECKING:
    from sgdyn.fit.run import Case

NAME = "minimum.npz"
FREE = ("lr", "batch", "sampler", "momentum", "directions", "replicas", "relaxations")
"""Settings of SGD that the minimum does not depend on."""


def found(case: Case, network: Network, folder: Path | None) -> Network:
    """The network at its minimum: the one that an earlier run of the same case found there, to the bit, or a new one.

    Where a loss with kinks (ReLU) ends on one of them that is the point; with weight decay alone, which keeps it from running away. An earlier one is known by the settings, the first weights, and the loss there.
    """
    kept = storage.Folder(folder, lambda: _identity(case, network), "minimum", "files")
    index = kept.index()
    if index is not None:
        weights = kept.load(NAME, index["files"][0])["weights"]
        return network.at(torch.as_tensor(weights))
    try:
        there = network.minimize(tolerance=case.tolerance)
    except NotConvergedError as end:
        if end.reached is None or not case.weight_decay:
            raise
        there = end.reached
    if kept.used:
        kept.save_index({"files": [kept.save(NAME, {"weights": numpy_of(there.weights)})]})
    return there


def _identity(case: Case, network: Network) -> dict[str, object]:
    settings = {name: value for name, value in asdict(case).items() if name not in FREE}
    seen = {"start": storage.digest(numpy_of(network.weights)), "loss": f"{network.value():.6g}", "n": network.n}
    return settings | seen
