"""What can be wrong with a case, found before anything is computed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sgdyn import checks
from sgdyn.fit.comparison import LEAST_REPLICAS
from sgdyn.nets.sampler import make_sampler

if TYPE_CHECKING:
    from sgdyn.fit.run import Case
    from sgdyn.nets import Network, Subspace

DIRECTIONS = 20
HERE = Path(__file__).parent.parent
LIBRARIES = ("site-packages", "dist-packages", Path(traceback.__file__).parent.name)
"""Folders whose code is not the user's: installed packages, the standard library."""


def check_numbers(case: Case) -> None:
    """Raises ValueError or TypeError for numbers that no network could make right."""
    for name in ("lr", "relaxations", "tolerance"):
        checks.positive(name, getattr(case, name))
    checks.positive("weight_decay", case.weight_decay, zero=True)
    if not 0 <= checks.number("momentum", case.momentum) < 1:
        raise ValueError(f"got momentum={case.momentum:g}, expected a number in [0, 1)")
    checks.count("batch", case.batch)
    checks.count("replicas", case.replicas, least=LEAST_REPLICAS)
    checks.seed_sequence(case.seed)
    if case.directions is not None:
        checks.count("directions", case.directions)
    check_device(case.device)


def check_device(name: str) -> None:
    """Raises ValueError for a device that torch does not know or that is not there."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"got device={name!r}: {str(error).splitlines()[0]}; type cpu, or see sgdyn info") from error


def check_folder(folder: Path) -> None:
    """Raises ValueError if the run folder cannot be a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise ValueError(
            f"got {folder} as run folder: {error.strerror or error}; expected a folder that can be written to"
        ) from error


def check_network(case: Case, network: Network) -> int:
    """The number of directions; raises ValueError for more than parameters, and for batches that the sampler cannot draw."""
    make_sampler(case.sampler, n=network.n, batch=case.batch, seed=case.seed)
    if case.directions is not None and case.directions > network.dim:
        raise ValueError(
            f"got directions={case.directions}, expected at most the {network.dim} parameters of {case.model}"
        )
    return min(network.dim, case.directions or DIRECTIONS)


def check_step(case: Case, subspace: Subspace) -> None:
    """Raises ValueError where SGD itself has no stationary state: a learning rate beyond its limit, a center that is not a minimum."""
    sampler = "without" if case.sampler == "epoch" else case.sampler
    subspace.discrete_model(lr=case.lr, batch=case.batch, momentum=case.momentum, sampler=sampler)


def called(name: str, function: Callable[[], Any], *, clear: tuple[type[Exception], ...] = ()) -> Any:
    """What a user's function returns; raises ValueError naming it if it fails, but passes on the errors that are `clear` by themselves."""
    try:
        return function()
    except clear:
        raise
    except Exception as error:
        raise ValueError(f"{name} failed with {type(error).__name__}: {error}{line_of(error)}") from error


def line_of(error: Exception) -> str:
    """The last line of the user's own code that an error passed through, as " (mine.py, line 3)"."""
    if isinstance(error, SyntaxError):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(HERE) and not _of_a_library(frame.filename)]  # fmt: skip
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _of_a_library(filename: str) -> bool:
    return filename.startswith("<frozen") or any(part in LIBRARIES for part in Path(filename).parts)


def check_all(cases: Sequence[Case], folder: Path) -> None:
    """Numbers of all cases and the run folder, before the first of them is computed."""
    for case in cases:
        check_numbers(case)
    check_folder(folder)
