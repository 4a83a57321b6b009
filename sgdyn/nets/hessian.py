"""The Hessian of a network's loss as a linear operator."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from sgdyn.linalg.plans import Cost, Plan, Way
from sgdyn.nets.graphs import GradientGraph, graph_bytes
from sgdyn.nets.network import Network
from sgdyn.nets.operators import BUDGET, NetworkOperator

PRODUCTS = ("auto", "graph", "plain")
FEW = 2
"""So many products are not worth a graph."""


class Hessian(NetworkOperator):
    """The second derivative of U (p, p), weight decay included.

    products: "graph" keeps what a gradient computes, and a product is one backward pass through it; "plain" differentiates anew, by
    forward over reverse mode where torch has it; "auto" takes the graph if it fits into `budget` bytes.
    """

    def __init__(self, network: Network, *, products: str = "auto", budget: float = BUDGET) -> None:
        if products not in PRODUCTS:
            raise ValueError(f"got products={products!r}, expected {', '.join(map(repr, PRODUCTS))}")
        super().__init__(network)
        self.products, self.budget, self._asked = products, budget, 0

    @cached_property
    def graph_bytes(self) -> float:
        """What the graph of the gradient of all samples would keep; infinite where torch has none."""
        return graph_bytes(self.network)

    @cached_property
    def _graph(self) -> GradientGraph | None:
        """The graph, if it is wanted, fits, and gives the same products of two samples as the other way."""
        if self.products == "plain" or (self.products == "auto" and self.graph_bytes > self.budget):
            return None
        return GradientGraph.checked(self.network)

    def prepare(self) -> None:
        """Products come from the kept graph from now on, if there is to be one."""
        self._asked += FEW

    def apply(self, v: Tensor) -> Tensor:
        """H v (p,) for a tensor v (p,)."""
        net = self.network
        self._asked += 1
        if (self.products == "graph" or self._asked > FEW) and self._graph is not None:
            return self._graph.product(v) / net.n + net.weight_decay * v
        return self.fresh(v)

    def fresh(self, v: Tensor) -> Tensor:
        """H v (p,) by differentiation anew."""
        net = self.network
        total = torch.zeros_like(v)
        for x, y in net.batches():
            total += net.derivatives.curvature(net.of_weights(x, y), net.weights, v)
        return total / net.n + net.weight_decay * v

    def price(self, kind: str) -> Cost:
        """Seconds and operations of a product by either way, as one batch says, or of one operation of dense "algebra"."""
        if kind not in PRODUCTS:
            return super().price(kind)
        other = self.on(self.network)
        other.products = kind
        return NetworkOperator.price(other, "product")

    def ways(self) -> Plan:
        """The ways to the top eigenvalues and to products, without prices."""
        ways, plan = self.graph_bytes, super().ways()
        kept = ways <= self.budget and self.products != "plain"
        reason = f"fits into {self.budget:.2g} bytes" if kept else f"needs more than {self.budget:.2g} bytes"
        rows = (
            Way("graph", ways, "a product: one backward pass", reason, {"graph": 1.0}),
            Way(
                "plain",
                0.0,
                "a product: forward, backward, and both along v",
                str(self.network.derivatives),
                {"plain": 1.0},
            ),
        )
        return Plan(plan.chosen, (*plan.ways, *rows))
