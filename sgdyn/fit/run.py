"""The main job: from a network to its diffusion and back, with everything on disk."""

from __future__ import annotations

import importlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sgdyn import datasets
from sgdyn.fit.comparison import Comparison, compare
from sgdyn.nets import Network, Subspace, train

PACKAGES = ("sgdyn", "numpy", "scipy", "numba", "sympy", "torch")


@dataclass(frozen=True)
class Case:
    """One network and one way of training it. model, data, loss: "module:function", or the name of a built-in one."""

    name: str
    model: str = "softmax"
    data: str = "digits"
    loss: str = "auto"
    lr: float = 0.05
    batch: int = 16
    sampler: str = "replacement"
    momentum: float = 0.0
    weight_decay: float = 1e-2
    directions: int = 20
    replicas: int = 128
    relaxations: float = 6.0
    minimize: bool = True
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
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise ValueError(f"got {name!r}, which is a {type(found).__name__}, expected a function without arguments")
    return found  # type: ignore[no-any-return]


def build(case: Case) -> Network:
    """The network of a case in double precision, from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        model = resolve(case.model)()
    if not isinstance(model, nn.Module):
        raise ValueError(f"got a {type(model).__name__} from {case.model}, expected a torch.nn.Module")
    data = resolve(case.data)()
    return Network(model.double().to(case.device).eval(), _loss(case, data), data, case.weight_decay)


def _loss(case: Case, data: Any) -> Any:
    if case.loss != "auto":
        loss = resolve(case.loss)
        return loss() if isinstance(loss, type) else loss
    target = data[1] if isinstance(data, tuple | list) else torch.as_tensor(data[0][1])
    return nn.MSELoss() if torch.as_tensor(target).is_floating_point() else nn.CrossEntropyLoss()


def schedule(case: Case, subspace: Subspace) -> tuple[int, int, int]:
    """(steps until stationary, steps in all, steps between records) from the slowest and fastest relaxation of the subspace."""
    h = np.linalg.eigvalsh(subspace.H)
    slow, fast = ((1 - case.momentum) / (case.lr * rate) for rate in (h[0], h[-1]))
    settle = int(np.clip(0.5 * case.relaxations * slow, 200, 50_000))
    every = max(1, min(round(0.5 * fast), 20))
    return settle, settle + max(int(case.relaxations * slow), 40 * every), every


def run_case(case: Case, folder: Path | None = None, show_progress: bool | None = None) -> Outcome:
    """Train to a minimum, extract H and D, run SGD there, compare. With a folder, SGD is checkpointed and resumed."""
    seconds: dict[str, float] = {}
    clock = _Stopwatch(seconds)
    network = build(case)
    if case.minimize:
        network = network.minimize()
    clock("minimum")
    subspace = network.subspace(min(case.directions, network.dim))
    clock("H and D")
    settle, steps, every = schedule(case, subspace)
    recording = train(
        network, steps=steps, lr=case.lr, batch=case.batch, sampler=case.sampler, momentum=case.momentum, replicas=case.replicas, record=subspace,
        every=every, seed=case.seed, checkpoint_path=None if folder is None else folder / _slug(case.name), show_progress=show_progress,
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

    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for case in cases:
        outcome = run_case(case, folder / "checkpoints", show_progress)
        outcomes.append(outcome)
        tell(outcome)
    np.savez_compressed(folder / "result.npz", **arrays(outcomes))
    (folder / "manifest.json").write_text(json.dumps(manifest(outcomes), indent=1), encoding="utf-8")
    write_report(outcomes, folder / "report.html")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return outcomes


def arrays(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The numbers of all cases by name, for np.load."""
    found: dict[str, Any] = {}
    for outcome in outcomes:
        c, prefix = outcome.comparison, _slug(outcome.case.name)
        for name in ("variance", "simulated", "correlation_time", "Q", "kurtosis", "mean", "drift", "innovation"):
            estimate = getattr(c, name)
            if estimate is not None:
                found[f"{prefix}.{name}"], found[f"{prefix}.{name}.error"] = estimate.value, estimate.error
        for name in (
            "discrete",
            "diffusion",
            "correlation_time_discrete",
            "correlation_time_diffusion",
            "Q_discrete",
            "Q_diffusion",
            "kurtosis_discrete",
            "noisy",
        ):
            found[f"{prefix}.{name}"] = getattr(c, name)
        for name in ("H", "D", "basis", "center", "leakage"):
            found[f"{prefix}.{name}"] = getattr(outcome.subspace, name)
    return found


def manifest(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Configuration, seeds, versions, times and verdicts."""
    return {
        "cases": [asdict(o.case) for o in outcomes],
        "verdicts": {o.case.name: str(o.comparison.verdict) for o in outcomes},
        "seconds": {o.case.name: o.seconds for o in outcomes},
        "versions": {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}",
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
