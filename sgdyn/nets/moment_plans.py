"""Which way second moments of gradients take to their eigenvalues, and what the ways cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgdyn.linalg.plans import Plan, Way

if TYPE_CHECKING:
    from sgdyn.nets.second_moments import SecondMoments

METHODS = ("auto", "dense", "gram", "lanczos")
DENSE = 4096
GRAM = 10_000


def moment_plan(operator: SecondMoments) -> Plan:
    """The ways to the eigenvalues, with their cost, and which of them "auto" takes."""
    net, source = operator.network, operator.source
    p, n, width = net.dim, net.n, net.weights.element_size()
    kept = min(source.bytes, operator.budget) if source.possible else float(n * p * width)
    passes = 1 if source.bytes <= operator.budget else len(source.modules)
    gram_work = (
        f"{passes} pass{'es' * (passes > 1)}, N x N products, eigenvalues" if source.possible else "all gradients"
    )
    ways = (
        Way("dense", 16.0 * p * p, "all gradients, p x p eigenvalues", _against("p", p, DENSE)),
        Way("gram", 16.0 * n * n + kept, gram_work, f"{_against('N', n, GRAM)}; {_ghosts(operator)}"),
        Way("lanczos", 40.0 * width * p, "k + 20 products, two passes each", "any p and N"),
    )
    fits = source.possible or kept <= operator.budget
    auto = "dense" if p <= DENSE else "gram" if n <= GRAM and fits else "lanczos"
    return Plan(auto if operator.method == "auto" else operator.method, ways)


def _against(name: str, value: int, limit: int) -> str:
    return f"{name} = {value} {'<=' if value <= limit else '>'} {limit}"


def _ghosts(operator: SecondMoments) -> str:
    source = operator.source
    return "layer by layer, without gradients" if source.possible else f"gradients kept, since {source.reason}"
