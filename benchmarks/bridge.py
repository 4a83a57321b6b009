"""D and H of two networks, ours and the peers': `python benchmarks/bridge.py --net mlp` (or cnn), one thread.

Peers (curvlinops-for-pytorch, hessian-eigenthings, nngeometry, backpack-for-pytorch) are measured where they are installed. Times are CPU
seconds of this process; all who answer one question take turns, --rounds times for single products and --repeat times for the rest, and the
best counts. Memory is the largest growth of the resident set while a row ran, sampled every 10 ms, after what was free was given back to the
system. Data: digits, N = 1797, single precision, batches of 256 (the last one has 5; ours of 512, the default). Prints a table for results/bridge.md.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import importlib.util
import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn import functional as F

import sgdyn as sg
from sgdyn import nets

BATCH, K = 256, 10
PEERS = ("curvlinops", "hessian_eigenthings", "nngeometry", "backpack")


def mlp() -> tuple[nn.Module, torch.Tensor]:
    """994,570 parameters."""
    x = torch.tensor(sg.datasets.digits()[0], dtype=torch.float32)
    layers = [nn.Linear(64, 960), nn.Tanh(), nn.Linear(960, 960), nn.Tanh(), nn.Linear(960, 10)]
    return nn.Sequential(*layers), x - x.mean(0)


def cnn() -> tuple[nn.Module, torch.Tensor]:
    """840,226 parameters."""
    x = torch.tensor(sg.datasets.digits()[0], dtype=torch.float32)
    layers = [
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 200), nn.ReLU(),
        nn.Linear(200, 10),
    ]  # fmt: skip
    return nn.Sequential(*layers), (x - x.mean(0)).reshape(-1, 1, 8, 8)


def trained(make: Callable[[], tuple[nn.Module, torch.Tensor]]) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """After three epochs of SGD with momentum."""
    torch.manual_seed(0)
    model, x = make()
    y = torch.tensor(sg.datasets.digits()[1])
    order, optimizer = torch.Generator().manual_seed(0), torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for i in torch.randperm(len(x), generator=order).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[i]), y[i]).backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model.eval(), x, y


class Meter:
    """CPU seconds and growth of the resident set of what runs inside."""

    def __enter__(self) -> Meter:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.base = self.peak = resident()
        self.running = True
        self.watch = threading.Thread(target=self._look, daemon=True)
        self.watch.start()
        self.start = time.process_time()
        return self

    def _look(self) -> None:
        while self.running:
            self.peak = max(self.peak, resident())
            time.sleep(0.01)

    def __exit__(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.start
        self.running = False
        self.watch.join()
        self.megabytes = max(self.peak, resident()) - self.base


def resident() -> float:
    """Megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@dataclass
class Entry:
    """Who answers a question, how, and what is to be said of the answer."""

    who: str
    run: Callable[[], Any]
    remark: Callable[[Any], str] = lambda _: ""
    seconds: float = np.inf
    megabytes: float = 0.0
    found: Any = None

    def turn(self) -> None:
        with Meter() as meter:
            self.found = self.run()
        self.seconds, self.megabytes = min(self.seconds, meter.seconds), max(self.megabytes, meter.megabytes)


Entries = dict[str, list[Entry]]


def compare(quantity: str, entries: list[Entry], turns: int) -> None:
    """All take turns; a row each."""
    for _ in range(turns):
        for entry in entries:
            entry.turn()
    for e in entries:
        print(f"| {quantity} | {e.who} | {e.seconds:.2f} | {e.megabytes:.0f} | {e.remark(e.found)} |", flush=True)


class Bench:
    """A network, and who answers which question about it."""

    def __init__(self, make: Callable[[], tuple[nn.Module, torch.Tensor]]) -> None:
        self.model, self.x, self.y = trained(make)
        self.batches = list(zip(self.x.split(BATCH), self.y.split(BATCH), strict=True))
        self.params = list(self.model.parameters())
        self.p = sum(part.numel() for part in self.params)
        self.v = torch.randn(self.p, generator=torch.Generator().manual_seed(1))
        self.expected: dict[str, np.ndarray] = {}

    def network(self) -> nets.Network:
        return nets.Network(self.model, nn.CrossEntropyLoss(), (self.x, self.y))

    def near(self, name: str) -> float:
        """Our tolerance for residuals like those of eigsh(1e-4), which are relative to each eigenvalue."""
        w = self.expected.get(name)
        return 1e-5 if w is None else float(1e-4 * w[-1] / w[0])

    def said(self, name: str) -> Callable[[nets.Spectrum], str]:
        def remark(s: nets.Spectrum) -> str:
            peer = self.expected.get(name)
            other = "" if peer is None else f", values as the peer's to {np.abs(s.values / peer - 1).max():.0e}"
            return f"{s.products} products, residuals <= {(s.residuals / s.values).max():.0e} of each{other}"

        return remark

    def products(self) -> Entries:
        net, v = self.network(), self.v
        plain, noise, graph = net.noise(ghosts=False), net.noise(), net.hessian(products="graph")
        compare("look at the layers, keep what they saw", [Entry("sgdyn", lambda: noise.ghosts)], 1)
        compare("keep the gradient's graph", [Entry("sgdyn", lambda: graph._graph)], 1)
        return {
            "D v": [
                Entry("sgdyn, ghosts", lambda: noise.apply(v)),
                Entry("sgdyn, JVP and VJP", lambda: plain.apply(v)),
            ],
            "H v": [
                Entry("sgdyn, kept graph", lambda: graph.apply(v)),
                Entry("sgdyn, differentiated anew", lambda: net.hessian(products="plain").apply(v)),
            ],
        }

    def ours(self) -> Entries:
        """Checks of the network included, except where it says otherwise."""
        net = self.network
        lanczos = lambda: net().noise().top(K, method="lanczos", tolerance=self.near("D"))  # noqa: E731
        frugal = lambda: net().noise(ghosts=False).top(K, method="lanczos", basis=K + 4, tolerance=self.near("D"))  # noqa: E731
        plain = lambda: net().hessian(products="plain").top(K, basis=K + 4, tolerance=self.near("H"))  # noqa: E731
        known = net()
        return {
            "top 10 of D": [
                Entry("sgdyn, Gram (auto)", lambda: net().noise().top(K, method="gram"), self.said("D")),
                Entry("sgdyn, Gram, budget=5e7", lambda: net().noise(budget=5e7).top(K, method="gram"), self.said("D")),
                Entry("sgdyn, Lanczos on ghosts", lanczos, self.said("D")),
                Entry("sgdyn, least memory", frugal, self.said("D")),
            ],
            "centred Gram matrix": [Entry("sgdyn, double precision", lambda: net().noise().gram())],
            "tr D": [
                Entry("sgdyn, ghosts", lambda: net().noise().trace(), str),
                Entry("sgdyn, of a network at hand", lambda: known.noise().trace(), str),
            ],
            "all eigenvalues of D": [Entry("sgdyn, Gram", lambda: net().noise().density(method="gram").known)],
            "top 10 of H": [
                Entry(
                    "sgdyn, Lanczos (auto)", lambda: net().hessian().top(K, tolerance=self.near("H")), self.said("H")
                ),
                Entry(
                    "sgdyn, never restarted",
                    lambda: net().hessian().top(K, tolerance=self.near("H"), basis=100),
                    self.said("H"),
                ),
                Entry("sgdyn, least memory", plain, self.said("H")),
            ],
        }

    def curvlinops(self) -> Entries:
        """The peer's; its top eigenvalues are what ours are compared with."""
        from curvlinops import EFLinearOperator, HessianLinearOperator

        given = (self.model, nn.CrossEntropyLoss(), self.params, self.batches)
        noise = EFLinearOperator(*given, check_deterministic=False)
        hessian = HessianLinearOperator(*given, check_deterministic=False)
        mean = self.network().mean_gradient().numpy().astype(np.float32)
        counts = {"D": 0, "H": 0}

        def top(name: str, kind: Any, centre: np.ndarray | None) -> np.ndarray:
            flat, counts[name] = kind(*given).to_scipy(), 0  # with its check of determinism, as ours is with our checks

            def product(u: np.ndarray) -> np.ndarray:
                counts[name] += 1
                u = u.astype(np.float32).ravel()
                return flat @ u - (0.0 if centre is None else centre * (centre @ u))

            seen = LinearOperator((self.p, self.p), matvec=product, dtype=np.float32)
            start = np.random.default_rng(0).normal(size=self.p).astype(np.float32)
            self.expected[name] = np.sort(eigsh(seen, k=K, which="LA", tol=1e-4, v0=start)[0])[::-1]
            return self.expected[name]

        said = lambda name: lambda _: f"{counts[name]} products"  # noqa: E731
        centred = "curvlinops - gg' and eigsh(1e-4)"
        return {
            "D v": [Entry("curvlinops EF (not centred)", lambda: noise @ self.v)],
            "H v": [Entry("curvlinops", lambda: hessian @ self.v)],
            "top 10 of D": [Entry(centred, lambda: top("D", EFLinearOperator, mean), said("D"))],
            "top 10 of H": [
                Entry("curvlinops and eigsh(1e-4)", lambda: top("H", HessianLinearOperator, None), said("H"))
            ],
        }

    def hessian_eigenthings(self) -> Entries:
        from hessian_eigenthings import HessianOperator, supervised_loss

        operator = HessianOperator(self.model, self.batches, supervised_loss(F.cross_entropy))
        exact = self.network().hessian(products="plain").apply(self.v)
        wrong = lambda w: f"relative error {float((w - exact).norm() / exact.norm()):.0e}: batches weighted equally"  # noqa: E731
        return {"H v": [Entry("hessian-eigenthings", lambda: operator.matvec(self.v), wrong)]}

    def nngeometry(self) -> Entries:
        from nngeometry.backend import TorchHooksJacobianBackend
        from torch.utils.data import DataLoader, TensorDataset

        losses = lambda x, t: F.cross_entropy(self.model(x), t, reduction="none")[:, None]  # noqa: E731
        backend = TorchHooksJacobianBackend(self.model, function=losses, centering=True)
        loader = DataLoader(TensorDataset(self.x, self.y), batch_size=BATCH)
        found = Entry("nngeometry, single precision", lambda: backend.get_gram_matrix(loader))
        return {"centred Gram matrix": [found]}

    def backpack(self) -> Entries:
        from backpack import backpack, extend
        from backpack.extensions import BatchL2Grad

        model, loss = extend(copy.deepcopy(self.model)), extend(nn.CrossEntropyLoss(reduction="sum"))

        def trace() -> float:
            total = 0.0
            model.zero_grad()
            for x, y in self.batches:
                with backpack(BatchL2Grad()):
                    loss(model(x), y).backward()
                total += sum(float(part.batch_l2.double().sum()) for part in model.parameters())
            mean = sum(float((part.grad / len(self.x)).double().square().sum()) for part in model.parameters())
            return total / len(self.x) - mean

        return {"tr D": [Entry("BackPACK BatchL2Grad", trace, lambda t: f"{t:.6g}")]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose quantity begins so")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench({"mlp": mlp, "cnn": cnn}[asked.net])
    print(f"## {asked.net}, {bench.p} parameters; load average at the start {os.getloadavg()[0]:.1f}\n")
    print("| quantity | by | CPU s | MB | |\n|---|---|---|---|---|", flush=True)
    there = [name for name in PEERS if importlib.util.find_spec(name) is not None]
    answers = [getattr(bench, name)() for name in there]
    for ours, turns in ((bench.products, asked.rounds), (bench.ours, asked.repeat)):
        for quantity, entries in ours().items():
            if not quantity.startswith(asked.only):
                continue
            compare(quantity, [e for one in answers for e in one.get(quantity, [])] + entries, turns)
    missing = [name for name in PEERS if name not in there]
    print(f"\nNot installed: {', '.join(missing) or 'none'}.")
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
