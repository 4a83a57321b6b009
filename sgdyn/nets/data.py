"""Inputs and targets as tensors, from whatever holds them; data that change between two reads are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from sgdyn.nets.traceless import random_states, undisturbed
from sgdyn.nets.trees import Tree, count, leaves, mapped, plain

CPU = torch.device("cpu")

READ_AGAIN = 64
"""So many samples, spread over the data, are read twice."""

LABELS = "labels"
"""Where dicts of transformers keep the targets."""

Collate = Callable[[list[Any]], Any]


def tensors(data: Any, dtype: torch.dtype) -> tuple[Tree, Tensor]:
    """Inputs and targets (N, ...) of tensors, a `Dataset` or a `DataLoader`.

    Inputs may be dicts or tuples of tensors; a dict with "labels" holds its own targets. Floating-point parts get the precision `dtype`;
    whole-number targets become int64, as the losses of torch need them.
    """
    given_x, given_y = _pair(data)
    x, y = plain(given_x), torch.as_tensor(given_y)
    parts = leaves(x)
    sizes = {len(part) if part.ndim else -1 for part in [*parts, y]}
    if not parts or len(sizes) > 1 or min(sizes) < 2:
        found = f"inputs of shape {', '.join(str(tuple(part.shape)) for part in parts)} and targets of shape {tuple(y.shape)}"
        raise ValueError(f"got {found}, expected equal numbers of samples in the first axis, at least 2")
    x, y = (mapped(lambda part: part.to(dtype) if part.is_floating_point() else part, side) for side in (x, y))
    if not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool):
        y = y.long()
    for name, part in [*(("x", part) for part in leaves(x)), ("y", y)]:
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            raise ValueError(f"got NaN or infinite values in {name}, expected finite numbers")
    return x, y


def _pair(data: Any) -> tuple[Any, Any]:
    if isinstance(data, DataLoader):
        return _read(_dataset_of(data), _collate_of(data))
    if isinstance(data, Dataset):
        return _read(data, _stack)
    if isinstance(data, Mapping):
        return _by_name(data)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"got data of type {type(data).__name__}, expected (x, y) tensors, a dict with {LABELS!r}, a Dataset or a DataLoader"
        )
    return data[0], data[1]


def _by_name(batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """A dict's own targets, apart from the inputs."""
    if LABELS not in batch:
        raise ValueError(
            f"got a dict with {', '.join(map(repr, batch))}, expected {LABELS!r} among them; type (inputs, targets) to name them yourself"
        )
    return {key: part for key, part in batch.items() if key != LABELS}, batch[LABELS]


def _dataset_of(loader: DataLoader[Any]) -> Dataset[Any]:
    """The data set behind a loader that takes each sample once; the order does not matter, since sums over samples are wanted."""
    if isinstance(loader.dataset, IterableDataset):
        _refuse_stream(loader.dataset)
    batches = loader.batch_sampler
    if type(batches) is not BatchSampler:
        named = "batch_size=None" if batches is None else type(batches).__name__
        raise ValueError(
            f"got a DataLoader with {named}, expected plain batches; pass the Dataset or tensors (x, y) instead"
        )
    sampler = batches.sampler  # not loader.sampler, which is a mere default beside a batch_sampler
    if type(sampler) is not SequentialSampler and not (type(sampler) is RandomSampler and _takes_all(sampler)):
        raise ValueError(
            f"got a DataLoader with {type(sampler).__name__}, expected each sample once; pass the Dataset or tensors (x, y) instead"
        )
    if len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        raise ValueError("got a DataLoader whose sampler is of other data, expected each sample once; pass the Dataset")
    return loader.dataset


def _takes_all(sampler: RandomSampler) -> bool:
    return not sampler.replacement and sampler.num_samples == len(sampler.data_source)


def _collate_of(loader: DataLoader[Any]) -> Collate:
    return _stack if loader.collate_fn is default_collate else loader.collate_fn


def _refuse_stream(dataset: Any) -> None:
    raise ValueError(
        f"got {type(dataset).__name__} without a length, expected data that can be read twice by index; type x, y = default_collate(list(dataset)) and pass (x, y)"
    )


def _stack(samples: list[Any]) -> tuple[Tree, Tensor]:
    pairs = [_by_name(sample) if isinstance(sample, Mapping) else sample for sample in samples]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise TypeError("got a data set whose samples are not pairs, expected (input, target)")
    try:
        x, y = (_stacked([pair[side] for pair in pairs]) for side in (0, 1))
    except (RuntimeError, TypeError, KeyError) as error:
        raise TypeError(
            f"got samples that make no tensor ({str(error).splitlines()[0]}), expected tensors of one shape; give the data set a transform, or the DataLoader a collate_fn"
        ) from error
    return x, y


def _stacked(parts: list[Any]) -> Tree:
    """One tree of tensors from those of the samples."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _stacked([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stacked([part[k] for part in parts]) for k in range(len(first)))
    return torch.stack([torch.as_tensor(part) for part in parts])


def _read(dataset: Any, collate: Collate) -> tuple[Tree, Tensor]:
    """All samples collated at once, after a second look at some of them."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        _refuse_stream(dataset)
    with undisturbed(CPU):
        x, y = _collated(collate, [dataset[i] for i in range(len(dataset))])
        if count(x) != len(dataset) or len(y) != len(dataset):
            raise ValueError(f"got {count(x)} inputs and {len(y)} targets of {len(dataset)} samples, expected one each")
        _check_again(dataset, collate, x, y)
    return x, y


def _collated(collate: Collate, samples: list[Any]) -> tuple[Tree, Tensor]:
    found = collate(samples)
    found = _by_name(found) if isinstance(found, Mapping) else found
    if not isinstance(found, tuple | list) or len(found) != 2 or not isinstance(found[1], Tensor):
        raise TypeError(f"got {type(found).__name__} from collate_fn, expected two tensors (inputs, targets)")
    return plain(found[0]), found[1]


def _check_again(dataset: Any, collate: Collate, x: Tree, y: Tensor) -> None:
    """Samples read and collated alone are what they were among the others, and reading them draws no random numbers."""
    before = random_states(CPU)
    for i in np.unique(np.linspace(0, len(y) - 1, READ_AGAIN).astype(int)).tolist():
        found = leaves(_collated(collate, [dataset[i]]))
        if not all(_equal(one[0], whole[i]) for one, whole in zip(found, leaves((x, y)), strict=True)):
            raise ValueError(
                f"got different values for sample {i} on two reads, expected fixed data; remove random augmentation, or pass tensors (x, y)"
            )
    if random_states(CPU) != before:
        raise ValueError(
            "got a data set that draws random numbers on reading, expected fixed data (two reads that agree were luck); remove random augmentation, or pass tensors (x, y)"
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal shapes and values; NaN, which is reported elsewhere, equals itself."""
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())
