"""A `Monitor` as a callback of Lightning and of transformers, neither of which is needed otherwise."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgdyn.nets.monitoring import Monitor


def lightning(monitor: Monitor) -> Any:
    """A `Callback` that looks after the optimizer's steps; batches that only accumulate gradients do not count."""
    base = _base(("lightning.pytorch", "pytorch_lightning"), "Callback")

    def on_train_batch_end(self: Any, trainer: Any, module: Any, *_: Any, **__: Any) -> None:
        if monitor.optimizer is None and monitor.lr is None:
            monitor.optimizer = next(iter(trainer.optimizers), None)
        seen = monitor.step(trainer.global_step)
        if seen is not None and monitor.log is None and trainer.logger is not None:
            trainer.logger.log_metrics(seen.numbers, step=seen.step)

    return type("MonitorCallback", (base,), {"on_train_batch_end": on_train_batch_end})()


def hugging_face(monitor: Monitor) -> Any:
    """A `TrainerCallback` that looks at the end of steps; its numbers go to the trainer's history where `log` is not given."""
    base = _base(("transformers",), "TrainerCallback")

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if monitor.optimizer is None and monitor.lr is None:
            monitor.optimizer = kwargs.get("optimizer")
        seen = monitor.step(state.global_step)
        if seen is not None and monitor.log is None:
            state.log_history.append(seen.numbers | {"step": seen.step})

    return type("MonitorCallback", (base,), {"on_step_end": on_step_end})()


def _base(modules: tuple[str, ...], name: str) -> type:
    """The class that callbacks are made from. Raises ImportError if none of the packages is installed."""
    for module in modules:
        try:
            found: type = getattr(importlib.import_module(module), name)
        except ImportError:
            continue
        return found
    raise ImportError(
        f"got no {' or '.join(modules)}, expected one installed; type monitor.step(step) in a loop of your own"
    )
