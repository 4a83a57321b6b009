"""The Brownian path inside a step: its increments add up, its normals are Philox's, normal and independent."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.randomness import philox4x32
from sgdyn.sde.methods.brownian_tree import KEYS, normals_at, tree_increments


def rms(x):
    return np.sqrt(np.mean(x**2))


def test_halves_sum_to_the_whole():
    for levels in range(5):
        coarse, fine = (tree_increments(1, paths=40, steps=3, components=3, levels=k) for k in (levels, levels + 1))
        np.testing.assert_allclose(fine.reshape(40, -1, 2, 3).sum(axis=2), coarse, rtol=0, atol=1e-15)
    roots = sg.normals(1, paths=40, steps=3, components=3)
    np.testing.assert_array_equal(tree_increments(1, paths=40, steps=3, components=3, levels=0), roots)


def test_nodes_are_philox_words_of_the_keys():
    keys = sg.normals(1, paths=5, steps=1, components=KEYS)[:, 0]
    first, second = keys.view(np.uint64).T
    found = normals_at(keys, 4, 3)
    for path in range(5):
        for node, pair in ((16, 0), (21, 0), (31, 1)):
            counter = [node, pair, second[path] & np.uint64(2**32 - 1), second[path] >> np.uint64(32)]
            w = philox4x32([counter], (first[path] & np.uint64(2**32 - 1), first[path] >> np.uint64(32)))[0].astype(
                object
            )
            a, b = w[0] + (w[1] << 32), w[2] + (w[3] << 32)
            radius = np.sqrt(-2 * np.log(1 - (a >> 12) / 2**52))
            t = ((b << 1) % 2**64 >> 12) / 2**51 - 1
            cosine = np.cos(np.pi * t / 2) * (-1 if b >> 63 else 1)
            assert abs(found[path, node - 16, 2 * pair] - radius * cosine) < 1e-12
            if pair == 0:
                assert abs(found[path, node - 16, 1] - radius * np.sin(np.pi * t / 2)) < 1e-12


@pytest.fixture(scope="module", params=["double", "single"])
def nodes(request):
    """Columns: root, both keys, and two components of the first 15 nodes, for successive steps of many paths."""
    drawn = sg.normals(3, paths=20_000, steps=4, components=1 + KEYS, noise=request.param).reshape(-1, 1 + KEYS)
    keys = np.ascontiguousarray(drawn[:, 1:])
    return np.column_stack([drawn, *[normals_at(keys, level, 2).reshape(len(keys), -1) for level in range(4)]])


def test_node_normals_are_normal(nodes):
    for z in nodes.T[1 + KEYS :]:
        assert stats.kstest(z, "norm").pvalue > 1e-4
        for k in range(1, 9):
            spread = np.sqrt(stats.norm.moment(2 * k) - stats.norm.moment(k) ** 2)
            assert abs(np.mean(z**k) - stats.norm.moment(k)) < 4.5 * spread / np.sqrt(len(z))


def test_node_normals_are_independent(nodes):
    """Of the root, of the keys, of other nodes and components, of the step before; correlations of z, z² and pairs of signs."""
    n, columns = nodes.shape
    for f in (lambda z: z, lambda z: z**2, np.sign):
        values = np.column_stack([f(nodes[1:]), f(nodes[:-1])])
        correlation = np.corrcoef(values.T)
        for block in (correlation[:columns, :columns], correlation[:columns, columns:]):
            off = block[~np.eye(columns, dtype=bool)] if block[0, 0] > 0.99 else block.ravel()
            assert np.abs(off).max() < 5 / np.sqrt(n)
            assert abs(rms(off) * np.sqrt(n) - 1) < 0.12
    cells = lambda z: np.minimum((stats.norm.cdf(z) * 8).astype(int), 7)
    for i, j in ((0, 3), (1, 3), (2, 3), (3, 4), (3, 5), (5, 7), (9, 10), (20, 30)):
        table = np.histogram2d(cells(nodes[:, i]), cells(nodes[:, j]), bins=8)[0]
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_increments_of_the_tree_are_those_of_brownian_motion():
    w = tree_increments(2, paths=20_000, steps=1, components=1, levels=3)[..., 0] * np.sqrt(8)
    assert stats.kstest(w.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(w.T)
    assert np.abs(correlation - np.eye(8)).max() < 4.5 / np.sqrt(20_000)
