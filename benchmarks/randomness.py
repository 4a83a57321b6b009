"""Are the normals normal and independent? A battery on 10^8 of each kind: moments to order 8, tails to 6 sigma, Kolmogorov-Smirnov on
bins, chi² of pairs (paths, steps, components) and the flatness of their spectrum. Prints p-values; writes results/randomness.md.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import sgdyn as sg

Floats = NDArray[np.float64]

KINDS = [("double", "philox"), ("single", "philox"), ("double", "fast"), ("single", "fast")]
PATHS, STEPS, COMPONENTS = 1000, 1000, 2
BINS, SIDE = 4096, 32
EDGES = stats.norm.ppf(np.arange(1, BINS) / BINS)
CELLS = stats.norm.ppf(np.arange(1, SIDE) / SIDE)


def moments(sums: Floats, n: int) -> float:
    """The p-value of the largest deviation of the moments of order 1 to 8, by Bonferroni."""
    worst = 0.0
    for order, total in enumerate(sums, 1):
        exact = 0 if order % 2 else math.prod(range(1, order, 2))
        spread = math.sqrt((math.prod(range(1, 2 * order, 2)) - exact**2) / n)
        worst = max(worst, abs(total / n - exact) / spread)
    return min(1.0, 8 * 2 * float(stats.norm.sf(worst)))


def pairs(a: Floats, b: Floats) -> NDArray[np.int64]:
    """Counts of pairs in SIDE x SIDE cells of equal probability."""
    index = np.searchsorted(CELLS, a.ravel()) * SIDE + np.searchsorted(CELLS, b.ravel())
    return np.bincount(index, minlength=SIDE * SIDE)


def uniform(counts: NDArray[np.int64]) -> float:
    """The p-value of chi² against equal probabilities."""
    return float(stats.chisquare(counts).pvalue)


def battery(noise: str, rng: str, chunks: int, seed: int) -> dict[str, float]:
    """The p-values of all tests on `chunks` times 2 million normals."""
    sums, bins = np.zeros(8), np.zeros(BINS, dtype=np.int64)
    tails, joint, spectrum = np.zeros(3), {}, np.zeros(STEPS // 2 - 1)
    for chunk in range(chunks):
        numbers = np.arange(chunk * PATHS, (chunk + 1) * PATHS)
        z = sg.normals(seed, paths=numbers, steps=STEPS, components=COMPONENTS, noise=noise, rng=rng)
        flat = z.ravel()
        sums += [np.sum(flat**k) for k in range(1, 9)]
        bins += np.bincount(np.searchsorted(EDGES, flat), minlength=BINS)
        tails += [np.sum(np.abs(flat) > k) for k in (4, 5, 6)]
        for name, a, b in (
            ("paths", z[1:], z[:-1]),
            ("steps", z[:, 1:], z[:, :-1]),
            ("components", z[..., 0], z[..., 1]),
        ):
            joint[name] = joint.get(name, 0) + pairs(a, b)
        spectrum += np.mean(np.abs(np.fft.rfft(z[..., 0], axis=1)[:, 1:-1]) ** 2, axis=0) / STEPS
    n = chunks * PATHS * STEPS * COMPONENTS
    deviation = np.abs(np.cumsum(bins)[:-1] / n - np.arange(1, BINS) / BINS).max()
    expected = 2 * stats.norm.sf([4, 5, 6]) * n
    found = {
        "moments 1-8": moments(sums, n),
        "KS on bins": float(stats.kstwobign.sf(deviation * math.sqrt(n))),
        "chi² of bins": uniform(bins),
    }
    for k, seen, wanted in zip((4, 5, 6), tails, expected, strict=True):
        both = 2 * min(stats.poisson.cdf(seen, wanted), stats.poisson.sf(seen - 1, wanted))
        found[f"beyond {k} sigma: {int(seen)} of {wanted:.1f}"] = min(1.0, float(both))
    found |= {f"chi² of pairs, {name}": uniform(counts) for name, counts in joint.items()}
    # means of chunks * PATHS exponentials at every frequency
    found["spectrum"] = float(stats.kstest((spectrum / chunks - 1) * math.sqrt(chunks * PATHS), "norm").pvalue)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50, help="of two million normals")
    parser.add_argument("--seed", type=int, default=2026)
    chosen = parser.parse_args()
    lines = ["| normals | test | p-value |", "|---|---|---|"]
    for noise, rng in KINDS:
        for name, p in battery(noise, rng, chosen.chunks, chosen.seed).items():
            lines.append(f"| {noise}, {rng} | {name} | {p:.3g} |")
            print(lines[-1], flush=True)
    head = (
        f"{chosen.chunks * 2} million normals of each kind, seed {chosen.seed}; `python benchmarks/randomness.py`\n\n"
    )
    (Path(__file__).parent / "results" / "randomness.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
