"""Samples spread over processes: every process has the answer for all of them, as one process alone has it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sgdyn import nets
from tests.nets import models
from tests.nets.shard_process import ARCHITECTURES, answers

PATIENCE = 600
"""Seconds after which processes that hang are ended."""


def run(folder, count, what):
    """What each of some processes found."""
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.nets.shard_process", str(folder)]
    here = [
        subprocess.Popen([*command, str(rank), str(count), what], env=environment, stderr=subprocess.PIPE)
        for rank in range(count)
    ]
    try:
        errors = [process.communicate(timeout=PATIENCE)[1].decode() for process in here]
    finally:
        for process in here:
            process.kill()
    assert all(process.returncode == 0 for process in here), "\n".join(errors)
    return [dict(np.load(folder / f"{rank}.npz", allow_pickle=False)) for rank in range(count)]


@pytest.mark.parametrize(
    ("what", "count"),
    [("mlp", 2), pytest.param("convolution", 3, marks=pytest.mark.slow), pytest.param("attention", 2, marks=pytest.mark.slow)],
)  # fmt: skip
def test_processes_answer_as_one(tmp_path, what, count):
    found = run(tmp_path, count, what)
    alone = answers(nets.Network(ARCHITECTURES[what](), nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32))
    assert all(one.pop("resumed") and one.pop("saved") == 4 for one in found)
    assert alone.keys() == {name for name in found[0] if not name.startswith("said")}
    for name, expected in alone.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[0][name], expected, rtol=0, atol=1e-10 * scale, err_msg=name)
        for other in found[1:]:
            assert np.array_equal(other[name], found[0][name]), name
    refused(*({name[8:]: str(part) for name, part in one.items() if name.startswith("said")} for one in found[:2]))


def refused(first, second):
    """What does not fit together is refused in every process."""
    for name, words in {
        "weights": "weights of process 1",
        "model": "a model of process 1",
        "loss": "a loss or a weight_decay of process 1",
        "at": "type the same weights in every process",
        "train": "expected one process's own",
    }.items():
        assert first[name].startswith("ValueError") and words in first[name], first[name]
        assert second[name] == first[name]
    assert first["empty"].startswith("RuntimeError: got an error in process 1")
    assert second["empty"].startswith("ValueError: got") and "at least 2" in second["empty"]


def test_without_a_process_group_there_is_no_sharded_network():
    x, y = models.data()
    with pytest.raises(ValueError, match="init_process_group"):
        nets.distributed(models.mlp(), nn.CrossEntropyLoss(), (x, y))
    assert not torch.distributed.is_initialized()
