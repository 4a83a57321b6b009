"""Traces and diagonals from products with random vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.linalg.krylov import Apply
from sgdyn.linalg.probes import normals, probed, signs
from sgdyn.linalg.spaces import Space, orthonormal, without

Floats = NDArray[np.float64]


def hutchinson(apply: Apply, space: Space, products: int, rng: np.random.Generator, shown: bool | None) -> Estimate:
    """The mean of z'Az over vectors of random signs, with its standard error (Hutchinson 1990)."""

    def one() -> float:
        z = signs(space, rng)
        return float(space.dots(z[None], apply(z))[0])

    return of_samples(probed(one, products, "trace", shown), f"Hutchinson, {products} products")


def hutch_plus_plus(
    apply: Apply, space: Space, products: int, rng: np.random.Generator, shown: bool | None
) -> Estimate:
    """tr(Q'AQ) for a random range Q, and Hutchinson's mean outside of it, whose standard error is the error.

    Source: Meyer, Musco, Musco and Woodruff, arXiv:2010.09649, algorithm 1.
    """
    third = max(1, products // 3)
    Q, head, _ = _range(apply, space, third, rng)

    def one() -> float:
        z = without(space, signs(space, rng), Q)[0]
        return float(space.dots(z[None], apply(z))[0])

    samples = head + np.array(probed(one, max(2, products - 2 * third), "trace", shown))
    return of_samples(samples, f"Hutch++, {products} products")


def _range(apply: Apply, space: Space, count: int, rng: np.random.Generator) -> tuple[Any, float, Any]:
    """(Q, tr(Q'AQ), AQ) for an orthonormal basis Q of A times random signs."""
    Q, _ = orthonormal(space, (apply(signs(space, rng)) for _ in range(count)), count)
    image = space.empty(len(Q))
    for i, q in enumerate(Q):
        image[i] = apply(q)
    return Q, float(sum(space.dots(Q[i : i + 1], image[i])[0] for i in range(len(Q)))), image


def xtrace(apply: Apply, space: Space, products: int, rng: np.random.Generator, shown: bool | None) -> Estimate:
    """The mean of Hutch++'s estimate with one test vector outside the range of the others, over all choices of the one.

    Its error is that of independent estimates, which these are not quite. Source: Epperly, Tropp and Webber, arXiv:2301.07825, section 2.
    """
    m = max(2, products // 2)
    tests, images = space.empty(m), space.empty(m)

    def one(i: int) -> None:
        tests[i] = normals(space, rng)
        images[i] = apply(tests[i])

    numbers = iter(range(m))
    done = len(probed(lambda: one(next(numbers)), m, "trace", shown))
    tests, images = tests[:done], images[:done]
    Q, R = orthonormal(space, iter(images), done)
    H = np.stack([space.dots(Q, apply(q)) for q in Q])
    W = np.stack([space.dots(Q, w) for w in tests], axis=1)
    own = np.array([space.dots(tests[i : i + 1], images[i])[0] for i in range(done)])
    sizes = np.array([space.dots(tests[i : i + 1], tests[i])[0] for i in range(done)])
    if len(Q) < done:  # A has no more than that rank: the range holds all of it
        return Estimate(float(np.trace(H)), float(done * space.eps * np.abs(H).max()), f"XTrace, rank {len(Q)}")
    samples = [_left_out(i, H, W, R, own, sizes, space.dim) for i in range(done)]
    return of_samples(samples, f"XTrace, {products} products")


def _left_out(i: int, H: Floats, W: Floats, R: Floats, own: Floats, sizes: Floats, dim: int) -> float:
    """The estimate with test vector i outside of the range of the other images, in coordinates of the whole range."""
    s = np.linalg.solve(R.T, np.eye(len(R))[i])  # orthogonal to the other images
    s /= np.linalg.norm(s)
    P = np.eye(len(R)) - np.outer(s, s)
    inside = P @ W[:, i]
    outside = own[i] - 2 * inside @ R[:, i] + inside @ H @ inside
    size = sizes[i] - inside @ inside
    return float(np.trace(P @ H @ P) + outside * (dim - len(R) + 1) / size)


TRACES: dict[str, Callable[..., Estimate]] = {"hutchinson": hutchinson, "hutch++": hutch_plus_plus, "xtrace": xtrace}


def diagonal(apply: Apply, space: Space, products: int, rng: np.random.Generator, shown: bool | None) -> Estimate:
    """The diagonal (p,): that of QQ'A exactly, and the mean of z (1 - QQ')Az over vectors of random signs for the rest.

    The standard errors are those of the random part. Source: Bekas, Kokiopoulou and Saad 2007, with the range of Baston and Nakatsukasa,
    arXiv:2201.10684.
    """
    third = max(1, products // 3)
    Q, _, image = _range(apply, space, third, rng)
    head = sum((space.array(q) * space.array(a) for q, a in zip(Q, image, strict=True)), np.zeros(space.dim))
    mean, squares, count = np.zeros(space.dim), np.zeros(space.dim), 0

    def one() -> None:
        nonlocal mean, squares, count
        z = signs(space, rng)
        found = space.array(z) * space.array(without(space, apply(z), Q)[0])
        count += 1
        change = found - mean
        mean = mean + change / count
        squares = squares + change * (found - mean)

    probed(one, max(2, products - 2 * third), "diagonal", shown)
    return Estimate(
        head + mean, np.sqrt(squares / (count - 1)) / math.sqrt(count), f"random signs, {products} products"
    )
