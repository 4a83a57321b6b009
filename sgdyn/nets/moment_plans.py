"""Which way second moments of gradients take to their eigenvalues, and what the ways cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sgdyn.linalg.plans import EIGEN, Cost, Plan, Way
from sgdyn.nets.ghosts import Ghosts
from sgdyn.nets.prices import measured, scaled

if TYPE_CHECKING:
    from sgdyn.nets.second_moments import SecondMoments

METHODS = ("auto", "dense", "gram", "lanczos")
DENSE = 4096
GRAM = 10_000
SHOWN = 10
"""Eigenvalues that a plan is made for."""


def moment_plan(operator: SecondMoments) -> Plan:
    """The ways to the eigenvalues, with their cost, and which of them "auto" takes."""
    net, source = operator.network, operator.source
    p, n, width = net.dim, net.n, net.weights.element_size()
    kept = min(source.bytes, operator.budget) if source.possible else float(n * p * width)
    passes = 1 if source.bytes <= operator.budget else len(source.modules)
    gram_work = (
        f"{passes} pass{'es' * (passes > 1)}, N x N products, eigenvalues" if source.possible else "all gradients"
    )
    dense = {"gradients": 1.0, "algebra": 2.0 * n * p**2 + EIGEN * p**3}
    pairs = {"pass": float(passes), "pairs": 1.0} if source.possible else {"gradients": 1.0, "algebra": 2.0 * p * n**2}
    pairs["algebra"] = pairs.get("algebra", 0.0) + EIGEN * n**3
    pairs["product"] = float(SHOWN)
    ways = (
        Way("dense", 16.0 * p * p, "all gradients, p x p eigenvalues", _against("p", p, DENSE), dense),
        Way("gram", 16.0 * n * n + kept, gram_work, f"{_against('N', n, GRAM)}; {_ghosts(operator)}", pairs),
        Way("lanczos", 40.0 * width * p, "k + 20 products, two passes each", "any p and N", {"product": SHOWN + 20.0}),
    )
    fits = source.possible or kept <= operator.budget
    auto = "dense" if p <= DENSE else "gram" if n <= GRAM and fits else "lanczos"
    return Plan(auto if operator.method == "auto" else operator.method, ways)


def moment_price(operator: SecondMoments, kind: str) -> Cost:
    """The price of all gradients ("gradients"), of what layers keep ("pass"), and of the N x N inner products of that ("pairs")."""
    few, batches = operator.few()
    device = operator.network.weights.device
    if kind == "gradients":
        return scaled(measured(lambda: [None for _ in few.rows()], device), batches)
    modules = operator.source.modules
    if kind == "pass":
        return scaled(measured(lambda: Ghosts.of(few.network, modules), device), batches)
    kept = Ghosts.of(few.network, modules)
    total = torch.zeros((few.network.n,) * 2, dtype=torch.float64, device=device)

    def add() -> None:
        for piece in kept.pieces:
            piece.add_gram(total)

    return scaled(measured(add, device), batches**2)


def _against(name: str, value: int, limit: int) -> str:
    return f"{name} = {value} {'<=' if value <= limit else '>'} {limit}"


def _ghosts(operator: SecondMoments) -> str:
    source = operator.source
    return "layer by layer, without gradients" if source.possible else f"gradients kept, since {source.reason}"
