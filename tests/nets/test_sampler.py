"""Samplers by law and by the promise that a batch is a function of (seed, replica, step)."""

import numpy as np
import pytest
from scipy import stats

from sgdyn.nets.sampler import SAMPLERS, make_sampler

REPLICAS = np.arange(6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_batches_depend_on_seed_replica_and_step_alone(name):
    one, two = (make_sampler(name, n=23, batch=5, seed=4) for _ in range(2))
    forward = [one.indices(step, REPLICAS) for step in range(12)]
    for step in (11, 3, 7):
        np.testing.assert_array_equal(two.indices(step, REPLICAS[[4, 1]]), forward[step][[4, 1]])
    assert not np.array_equal(forward[0], make_sampler(name, n=23, batch=5, seed=5).indices(0, REPLICAS))


def test_each_sample_is_drawn_equally_often():
    for name in SAMPLERS:
        sampler = make_sampler(name, n=11, batch=4, seed=1)
        drawn = np.concatenate([sampler.indices(step, np.arange(500)).ravel() for step in range(60)])
        assert stats.chisquare(np.bincount(drawn, minlength=11)).pvalue > 1e-3 or name == "epoch"


def test_batches_without_replacement_have_no_repetition_and_all_subsets_are_equally_likely():
    sampler = make_sampler("without", n=6, batch=3, seed=2)
    batches = np.sort(np.concatenate([sampler.indices(step, np.arange(200)) for step in range(100)]), axis=1)
    assert np.all(np.diff(batches, axis=1) > 0)
    _, counts = np.unique(batches, axis=0, return_counts=True)
    assert len(counts) == 20 and stats.chisquare(counts).pvalue > 1e-3


def test_batches_with_replacement_repeat_as_often_as_they_should():
    sampler = make_sampler("replacement", n=10, batch=2, seed=3)
    same = np.mean([np.mean(np.ptp(sampler.indices(step, np.arange(500)), axis=1) == 0) for step in range(40)])
    assert abs(same - 0.1) < 4 * np.sqrt(0.09 / 20_000)


def test_an_epoch_goes_through_all_samples_once_and_its_last_batch_is_short():
    sampler = make_sampler("epoch", n=23, batch=5, seed=3)
    for epoch in range(3):
        batches = [sampler.indices(5 * epoch + k, REPLICAS) for k in range(5)]
        assert batches[-1].shape == (6, 3)
        np.testing.assert_array_equal(np.sort(np.concatenate(batches, axis=1), axis=1), np.tile(np.arange(23), (6, 1)))
    assert not np.array_equal(sampler.indices(0, REPLICAS), sampler.indices(5, REPLICAS))
