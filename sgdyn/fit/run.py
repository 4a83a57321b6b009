"""The main job: from a network to its diffusion and back, with everything on disk."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sgdyn import datasets
from sgdyn.fit import minima, pages, preflight
from sgdyn.fit.comparison import Comparison, compare
from sgdyn.fit.evidence import evidence
from sgdyn.nets import Network, Subspace, train
from sgdyn.nets.data import LABELS

MEASURED = ("variance", "correlation_time", "Q")
EXACT = (
    "discrete", "diffusion", "correlation_time_discrete", "correlation_time_diffusion", "Q_discrete", "Q_diffusion", "kurtosis_discrete", "memory", "noisy",
)  # fmt: skip


CLEAR = (ValueError, TypeError, RuntimeError)
"""Errors that networks raise with a message of their own."""


@dataclass(frozen=True)
class Case:
    """One network and one way of training it. model, data, loss: "module:function", or the name of a built-in one.

    directions: default 20, or all parameters if there are fewer.
    """

    name: str
    model: str = "softmax"
    data: str = "digits"
    loss: str = "auto"
    lr: float = 0.05
    batch: int = 16
    sampler: str = "replacement"
    momentum: float = 0.0
    weight_decay: float = 1e-2
    directions: int | None = None
    replicas: int = 128
    relaxations: float = 6.0
    minimize: bool = True
    tolerance: float = 1e-8
    device: str = "cpu"
    seed: int = 0


DEFAULT = (
    Case("softmax regression"),
    Case("small network", model="mlp", lr=0.02),
    Case("softmax regression, small temperature", batch=128, replicas=32),
    Case("softmax regression, epoch sampler", sampler="epoch", replicas=64),
)
"""The default run: a convex and a non-convex model, the limit in which theory must be exact, and a control that must fail."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a case: the network at its minimum, its subspace, the comparison, and the seconds each part took."""

    case: Case
    network: Network
    subspace: Subspace
    comparison: Comparison
    seconds: dict[str, float]


def softmax() -> nn.Module:
    """Softmax regression on the digits: 650 parameters, convex with weight decay."""
    return nn.Linear(64, 10)


def mlp() -> nn.Module:
    """A network with one hidden layer of 16 tanh units on the digits: 1,210 parameters."""
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


BUILT_IN: dict[str, Callable[[], Any]] = {"softmax": softmax, "mlp": mlp, "digits": datasets.digits}


def resolve(name: str) -> Callable[[], Any]:
    """The function called `name`: a built-in one, or "package.module:function" importable from the working directory.

    Raises ValueError if it is neither.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, function = name.partition(":")
    if not function:
        raise ValueError(
            f"got {name!r}, expected one of {', '.join(BUILT_IN)} or package.module:function; type my_module:build for build() in my_module.py"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"got {name!r}: {error}; expected a function importable from {Path.cwd().name}/") from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}{preflight.line_of(error)}"
        raise ValueError(f"got {name!r}, but {module} cannot be imported: {said}") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise ValueError(f"got {name!r}, which is a {type(found).__name__}, expected a function without arguments")
    return found  # type: ignore[no-any-return]


def build(case: Case) -> Network:
    """The network of a case in double precision, from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        model = preflight.called(case.model, resolve(case.model))
    if not isinstance(model, nn.Module):
        raise ValueError(f"got a {type(model).__name__} from {case.model}, expected a torch.nn.Module")
    data = preflight.called(case.data, resolve(case.data))
    model = model.double().to(case.device).eval()
    loss = preflight.called(case.data if case.loss == "auto" else case.loss, lambda: _loss(case, data))
    network: Network = preflight.called(
        f"{case.model} on {case.data}", lambda: Network(model, loss, data, case.weight_decay), clear=CLEAR
    )
    return network


def _loss(case: Case, data: Any) -> Any:
    if case.loss != "auto":
        loss = resolve(case.loss)
        return loss() if isinstance(loss, type) else loss
    target = _target(data.dataset if isinstance(data, DataLoader) else data)
    return nn.MSELoss() if target is not None and torch.as_tensor(target).is_floating_point() else nn.CrossEntropyLoss()


def _target(source: Any) -> Any:
    """The targets of a pair or a dict, the first one's of a data set; None of what is no data, which `Network` refuses with its reason."""
    if isinstance(source, Dataset):
        return _target(source[0])
    if isinstance(source, Mapping):
        return source.get(LABELS)
    return source[1] if isinstance(source, tuple | list) and len(source) == 2 else None


def schedule(case: Case, subspace: Subspace) -> tuple[int, int, int]:
    """(steps until stationary, steps in all, steps between records) from the slowest and fastest relaxation of the subspace."""
    h = np.linalg.eigvalsh(subspace.H)
    slow, fast = ((1 - case.momentum) / (case.lr * rate) for rate in (h[0], h[-1]))
    settle = int(np.clip(0.5 * case.relaxations * slow, 200, 50_000))
    every = max(1, min(round(0.5 * fast), 20))
    return settle, settle + max(int(case.relaxations * slow), 40 * every), every


def run_case(case: Case, folder: Path | None = None, show_progress: bool | None = None) -> Outcome:
    """Train to a minimum, extract H and D, run SGD there, compare. With a folder, SGD is checkpointed and resumed.

    Raises ValueError before it trains for settings that cannot be meant, and before SGD where that has no stationary state.
    """
    preflight.check_numbers(case)
    seconds: dict[str, float] = {}
    clock = _Stopwatch(seconds)
    network = build(case)
    directions = preflight.check_network(case, network)
    place = None if folder is None else folder / _slug(case.name)
    if case.minimize:
        network = minima.found(case, network, place)
    clock("minimum")
    subspace = network.subspace(directions, saddles=True)
    preflight.check_step(case, subspace)
    clock("H and D")
    settle, steps, every = schedule(case, subspace)
    recording = train(
        network, steps=steps, lr=case.lr, batch=case.batch, sampler=case.sampler, momentum=case.momentum, replicas=case.replicas, record=subspace,
        every=every, seed=case.seed, checkpoint_path=place, show_progress=show_progress,
    )  # fmt: skip
    if not recording.complete:
        raise KeyboardInterrupt
    clock("SGD")
    comparison = compare(recording.after(settle), subspace, seed=case.seed, show_progress=show_progress)
    clock("comparison")
    return Outcome(case, network, subspace, comparison, seconds)


@dataclass
class _Stopwatch:
    seconds: dict[str, float]

    def __post_init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self.last = round(now - self.last, 2), now


def run_all(
    cases: Sequence[Case], folder: Path, tell: Callable[[Outcome], None], show_progress: bool | None = None
) -> list[Outcome]:
    """Run cases, call `tell` on each outcome, and write report.html, result.npz and manifest.json into the folder.

    Killed and started again with the same cases, it continues; the result is the same.
    """
    from sgdyn.fit.report import write_report

    preflight.check_all(cases, folder)
    outcomes = []
    for case in cases:
        outcome = run_case(case, folder / "checkpoints", show_progress)
        outcomes.append(outcome)
        tell(outcome)
    np.savez_compressed(folder / "result.npz", **arrays(outcomes))
    pages.write(folder / "manifest.json", json.dumps(manifest(outcomes), indent=1))
    write_report(outcomes, folder / "report.html")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return outcomes


def arrays(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The numbers of all cases by name, for np.load."""
    found: dict[str, Any] = {}
    for outcome in outcomes:
        own = _estimates(outcome.comparison) | _exact(outcome.comparison)
        found |= {f"{_slug(outcome.case.name)}.{name}": value for name, value in own.items()}
    return found


def _estimates(c: Comparison) -> dict[str, Any]:
    """Values and errors; `controlled.` before the names of those with the control variate."""
    named = {name: getattr(c, name) for name in (*MEASURED, "simulated", "kurtosis", "mean", "drift", "innovation")}
    if c.controlled is not None:
        named |= {f"controlled.{name}": getattr(c.controlled, name) for name in MEASURED}
    kept = {name: estimate for name, estimate in named.items() if estimate is not None}
    return {name: e.value for name, e in kept.items()} | {f"{name}.error": e.error for name, e in kept.items()}


def _exact(c: Comparison) -> dict[str, Any]:
    return {name: getattr(c, name) for name in EXACT} | {
        name: getattr(c.subspace, name) for name in ("H", "D", "basis", "center", "leakage")
    }


def manifest(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Configuration, seeds, versions, times and verdicts."""
    return {
        "cases": [asdict(o.case) for o in outcomes],
        "verdicts": {o.case.name: str(o.comparison.verdict) for o in outcomes},
        "evidence": {o.case.name: evidence(o.comparison) for o in outcomes},
        "seconds": {o.case.name: o.seconds for o in outcomes},
        "versions": pages.versions(),
        "data": datasets.CITATION
        if any(o.case.data == "digits" for o in outcomes)
        else [o.case.data for o in outcomes],
    }


def default_folder(cases: Sequence[Case]) -> Path:
    """A folder named by the content of the cases: the same command finds its own checkpoints again."""
    content = json.dumps([asdict(case) for case in cases], sort_keys=True)
    return Path("runs") / f"fit-{sha256(content.encode()).hexdigest()[:8]}"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def with_options(case: Case, **options: Any) -> Case:
    """The case with the options that are not None."""
    return replace(case, **{name: value for name, value in options.items() if value is not None})
