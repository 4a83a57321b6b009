"""Pictures of spectra."""

from __future__ import annotations

from typing import Any

import numpy as np

BLUE, ORANGE = "#0072b2", "#e69f00"


def spectrum(found: Any, ax: Any) -> None:
    """Eigenvalues with residuals against rank."""
    ax.errorbar(np.arange(1, len(found.values) + 1), found.values, found.residuals, fmt="o", ms=3, color=BLUE)
    if np.all(found.values > 0):
        ax.set_yscale("log")
    ax.set(xlabel="rank", ylabel="eigenvalue", title=f"{found.method}, {found.products} products")


def spectral_density(density: Any, ax: Any) -> None:
    """The number of eigenvalues above each, log-log: positive ones, and the moduli of negative ones."""
    nodes = np.concatenate([density.known, density.nodes.ravel()])
    shares = density.rest * density.weights.ravel() / len(density.weights)
    counts = np.concatenate([np.ones(len(density.known)), shares])
    for sign, color, label in ((1, BLUE, "positive"), (-1, ORANGE, "negative, modulus")):
        kept = (sign * nodes > 0) & (counts > 0)
        order = np.argsort(-sign * nodes[kept])
        if kept.any():
            ax.step(np.cumsum(counts[kept][order]), sign * nodes[kept][order], color=color, lw=1, label=label)
    ax.set(xlabel="rank", ylabel="eigenvalue", xscale="log", yscale="log", title=density.method)
    ax.legend()


def history(seen: Any, ax: Any) -> None:
    """Top eigenvalues of the Hessian with the edge of stability, and the noise scale on an axis of its own, against steps."""
    for i, values in enumerate(seen.values.T):
        ax.plot(
            seen.steps, values, color=BLUE, lw=1.2, alpha=1 / (1 + 0.5 * i), label="eigenvalues of H" if not i else None
        )
    if np.isfinite(seen.edges).any():
        ax.plot(seen.steps, seen.edges, color="black", ls="--", lw=1, label="edge of stability")
    ax.set(xlabel="step", ylabel="eigenvalue", yscale="log")
    ax.plot([], [], color=ORANGE, lw=1, label="noise scale")
    ax.legend()
    beside = ax.twinx()
    beside.plot(seen.steps, seen.noise_scales, color=ORANGE, lw=1)
    beside.set(ylabel="tr D/|grad U|²", yscale="log")


SPECTRA = {"History": history, "Spectrum": spectrum, "SpectralDensity": spectral_density}
