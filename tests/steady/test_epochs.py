"""SGD epoch by epoch, against the enumeration of all orders in rational numbers, the known ratios and simulation."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

import sgdyn as sg

H = np.array([[2.0, 0.3], [0.3, 0.5]])


def enumerated(a, h, lr, mu, batch):
    """E w² at each step of a stationary epoch, exactly: one sample's gradient is h w + a_i, all orders are equally likely."""
    steps = -(-len(a) // batch)
    M = [[1 - lr * h, -lr * mu], [h, mu]]
    mul = lambda P, Q: [[sum(P[i][k] * Q[k][j] for k in range(2)) for j in range(2)] for i in range(2)]
    flip = lambda P: [list(row) for row in zip(*P, strict=True)]
    added = [[[Fraction(0)] * 2 for _ in range(2)] for _ in range(steps + 1)]
    orders = list(permutations(range(len(a))))
    for order in orders:
        state = [Fraction(0), Fraction(0)]
        for p in range(steps):
            some = order[p * batch : (p + 1) * batch]
            xi = sum(a[i] for i in some) / len(some)
            state = [sum(M[i][k] * state[k] for k in range(2)) + (-lr, 1)[i] * xi for i in range(2)]
            for i in range(2):
                for j in range(2):
                    added[p + 1][i][j] += state[i] * state[j] / len(orders)
    powers = [[[Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]]]
    for _ in range(steps):
        powers.append(mul(M, powers[-1]))
    S = np.array(fixed_point(powers[-1], added[-1]), dtype=object)
    return [
        float((np.array(mul(mul(P, S), flip(P))) + np.array(K))[0, 0])
        for P, K in zip(powers[:-1], added[:-1], strict=True)
    ]


def fixed_point(P, K):
    """S = P S P' + K of 2 x 2 rational matrices."""
    from sympy import Matrix, Rational, eye

    exact = lambda rows: Matrix(2, 2, lambda i, j: Rational(rows[i][j].numerator, rows[i][j].denominator))
    P, K = exact(P), exact(K)
    pairs = [(i, j) for i in range(2) for j in range(2)]
    system = eye(4) - Matrix(4, 4, lambda r, c: P[pairs[r][0], pairs[c][0]] * P[pairs[r][1], pairs[c][1]])
    found = system.LUsolve(Matrix([K[i, j] for i, j in pairs]))
    return [[Fraction(int(found[2 * i + j].p), int(found[2 * i + j].q)) for j in range(2)] for i in range(2)]


@pytest.mark.parametrize(("n", "batch", "mu"), [(4, 2, 0), (5, 2, 0), (4, 1, Fraction(1, 2)), (5, 2, Fraction(1, 2))])
def test_the_enumeration_of_all_orders(n, batch, mu):
    """Batches of equal size and a short last one, with and without momentum."""
    a = [Fraction(k) for k in (3, -5, 1, 7, 2)][:n]
    a = [x - sum(a) / n for x in a]
    h, lr = Fraction(3, 2), Fraction(1, 5)
    D = float(sum(x * x for x in a) / n)
    found = sg.epoch_sgd([[float(h)]], [[D]], lr=float(lr), batch=batch, n=n, momentum=float(mu))
    assert found.steps == len(found.covariances) == -(-n // batch)
    np.testing.assert_allclose(found.covariances[:, 0, 0], enumerated(a, h, lr, mu, batch), rtol=1e-12)


def test_batches_without_replacement_by_enumeration():
    """All subsets of 2 of 5, in two dimensions: the covariance (n - B)/(B (n - 1)) D, and H S + S H - lr H S H = lr times that."""
    from itertools import combinations

    a = np.array([[3.0, 1], [-5, 2], [1, -4], [7, 0], [2, 2]])
    a -= a.mean(0)
    means = np.array([a[list(some)].mean(0) for some in combinations(range(5), 2)])
    sgd = sg.discrete_sgd(H, a.T @ a / 5, lr=0.3, batch=2, n=5)
    np.testing.assert_allclose(sgd.noise, means.T @ means / len(means), rtol=1e-12)
    S = sgd.covariance
    np.testing.assert_allclose(H @ S + S @ H - 0.3 * H @ S @ H, 0.3 * sgd.noise, rtol=1e-10)


def test_the_known_ratios():
    """N = 256, B = 8, lr = 0.1: 0.58 of the diffusion's variance at h = 1, 0.011 at h = 0.01 (arXiv:2306.05300; `sgdyn study sampler`)."""
    found = sg.epoch_sgd(np.diag([1.0, 0.01]), np.eye(2), lr=0.1, batch=8, n=256)
    ratio = np.diag(found.covariance) / np.diag(found.independent.covariance)
    np.testing.assert_allclose(ratio, [0.58, 0.011], rtol=0.08)


def test_simulated_epochs(rng):
    """Two dimensions, a short last batch, momentum."""
    a = rng.normal(size=(11, 2)) @ [[1, 0.5], [0, 0.4]]
    a -= a.mean(0)
    found = sg.epoch_sgd(H, a.T @ a / 11, lr=0.2, batch=4, n=11, momentum=0.5)
    runs, S = 40_000, []
    w, v = np.zeros((runs, 2)), np.zeros((runs, 2))
    for _ in range(14):
        order = np.argsort(rng.random((runs, 11)), axis=1)
        S = []
        for p in range(3):
            S.append(w.T @ w / runs)
            v = 0.5 * v + w @ H + a[order[:, 4 * p : 4 * p + 4]].mean(1)
            w = w - 0.2 * v
    scale = np.trace(found.covariance)
    np.testing.assert_allclose(S, found.covariances, atol=0.02 * scale)


def test_one_epoch_of_flat_directions_adds_almost_nothing_without_cancellation():
    """lr h L = 1e-9: the variance at the start of an epoch is of relative order lr h, where differences of sums would leave nothing but rounding."""
    h = [1e-12, 1e-10]
    found = sg.epoch_sgd(np.diag(h), np.eye(2), lr=0.1, batch=4, n=64).covariances[0]
    np.testing.assert_allclose(found[0, 0] / found[1, 1], 1e-2, rtol=1e-3)
    assert np.all(np.linalg.eigvalsh(found) > 0)


def test_bad_input():
    with pytest.raises(ValueError, match="full batch"):
        sg.epoch_sgd(H, H, lr=0.1, batch=8, n=8)
    with pytest.raises(ValueError, match="diverges"):
        sg.epoch_sgd(H, H, lr=3.0, batch=2, n=8)
    with pytest.raises(ValueError, match="epoch_sgd"):
        sg.discrete_sgd(H, H, lr=0.1, batch=2, n=8, sampler="epoch")
