"""D and H of two networks, ours and the peers': `python benchmarks/bridge.py --net mlp` (or cnn), one thread.

Peers (curvlinops-for-pytorch, hessian-eigenthings, nngeometry, backpack-for-pytorch) are measured where they are installed. Times are CPU
seconds of this process, single products the best of two, everything else one run; memory is the growth of the resident set while a row ran,
sampled every 10 ms. Data: digits, N = 1797, single precision, batches of 256 (the last one has 5; ours of 512, the default). Prints a table for results/bridge.md.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib.util
import os
import resource
import threading
import time
from collections.abc import Callable
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


Row = tuple[str, str, float, float, str]


class Bench:
    """Rows of (quantity, who, seconds, megabytes, remark), printed as they come."""

    def __init__(self, make: Callable[[], tuple[nn.Module, torch.Tensor]]) -> None:
        self.model, self.x, self.y = trained(make)
        self.batches = list(zip(self.x.split(BATCH), self.y.split(BATCH), strict=True))
        self.params = list(self.model.parameters())
        self.p = sum(part.numel() for part in self.params)
        self.v = torch.randn(self.p, generator=torch.Generator().manual_seed(1))
        self.rows: list[Row] = []

    def network(self) -> nets.Network:
        return nets.Network(self.model, nn.CrossEntropyLoss(), (self.x, self.y))

    def row(
        self,
        quantity: str,
        who: str,
        run: Callable[[], Any],
        remark: Callable[[Any], str] = lambda _: "",
        repeat: int = 1,
    ) -> Any:
        best, memory, found = np.inf, 0.0, None
        for _ in range(repeat):
            with Meter() as meter:
                found = run()
            best, memory = min(best, meter.seconds), max(memory, meter.megabytes)
        self.rows.append((quantity, who, best, memory, remark(found)))
        print(f"| {quantity} | {who} | {best:.2f} | {memory:.0f} | {remark(found)} |", flush=True)
        return found

    def ours(self, D: np.ndarray | None, H: np.ndarray | None) -> None:
        """Our rows; residuals like those of eigsh(1e-4), which are relative to each eigenvalue, where the peer's are known."""
        net, v = self.network(), self.v
        plain, graph = net.noise(ghosts=False), net.hessian(products="graph")
        self.row("D v", "sgdyn, JVP and VJP", lambda: plain.apply(v), repeat=2)
        noise = net.noise()
        self.row("look at the layers, keep what they saw", "sgdyn", lambda: noise.ghosts)
        self.row("D v", "sgdyn, ghosts", lambda: noise.apply(v), repeat=2)
        self.row("H v", "sgdyn, differentiated anew", lambda: net.hessian(products="plain").apply(v), repeat=2)
        self.row("keep the gradient's graph", "sgdyn", lambda: graph._graph)
        self.row("H v", "sgdyn, kept graph", lambda: graph.apply(v), repeat=2)

        def top(quantity: str, who: str, run: Callable[[], nets.Spectrum], peer: np.ndarray | None) -> None:
            def remark(s: nets.Spectrum) -> str:
                other = "" if peer is None else f", values as the peer's to {np.abs(s.values / peer - 1).max():.0e}"
                return f"{s.products} products, residuals <= {(s.residuals / s.values).max():.0e} of each{other}"

            self.row(quantity, who, run, remark)

        near = [1e-5 if w is None else float(1e-4 * w[-1] / w[0]) for w in (D, H)]
        top("top 10 of D", "sgdyn, Gram (auto)", lambda: self.network().noise().top(K, method="gram"), D)
        lanczos = lambda: self.network().noise().top(K, method="lanczos", tolerance=near[0])  # noqa: E731
        top("top 10 of D", "sgdyn, Lanczos on ghosts", lanczos, D)
        top("top 10 of H", "sgdyn, Lanczos (auto)", lambda: self.network().hessian().top(K, tolerance=near[1]), H)
        self.row("all eigenvalues of D", "sgdyn, Gram", lambda: self.network().noise().density(method="gram").known)
        self.row("tr D", "sgdyn, ghosts", lambda: self.network().noise().trace(), str)

    def curvlinops(self) -> tuple[np.ndarray, np.ndarray]:
        """The peer's rows, and the top eigenvalues that it finds."""
        from curvlinops import EFLinearOperator, HessianLinearOperator

        given = (self.model, nn.CrossEntropyLoss(), self.params, self.batches)
        noise = EFLinearOperator(*given, check_deterministic=False)
        hessian = HessianLinearOperator(*given, check_deterministic=False)
        mean = self.network().mean_gradient().numpy()
        self.row("D v", "curvlinops EF (not centred)", lambda: noise @ self.v, repeat=2)
        self.row("H v", "curvlinops", lambda: hessian @ self.v, repeat=2)
        counts = {"D": 0, "H": 0}

        def top(name: str, kind: Any, centre: np.ndarray | float) -> np.ndarray:
            flat = kind(*given).to_scipy()  # with its check of determinism, as ours is with our checks

            def product(u: np.ndarray) -> np.ndarray:
                counts[name] += 1
                u = u.astype(np.float32).ravel()
                return flat @ u - (centre * (centre @ u) if isinstance(centre, np.ndarray) else 0.0)

            seen = LinearOperator((self.p, self.p), matvec=product, dtype=np.float32)
            return np.sort(eigsh(seen, k=K, which="LA", tol=1e-4)[0])[::-1]

        said = lambda name: lambda _: f"{counts[name]} products"  # noqa: E731
        D = self.row(
            "top 10 of D",
            "curvlinops - gg' and eigsh(1e-4)",
            lambda: top("D", EFLinearOperator, mean.astype(np.float32)),
            said("D"),
        )
        H = self.row(
            "top 10 of H", "curvlinops and eigsh(1e-4)", lambda: top("H", HessianLinearOperator, 0.0), said("H")
        )
        return D, H

    def hessian_eigenthings(self) -> None:
        from hessian_eigenthings import HessianOperator, supervised_loss

        operator = HessianOperator(self.model, self.batches, supervised_loss(F.cross_entropy))
        exact = self.network().hessian(products="plain").apply(self.v)
        wrong = lambda w: f"relative error {float((w - exact).norm() / exact.norm()):.0e}: batches weighted equally"  # noqa: E731
        self.row("H v", "hessian-eigenthings", lambda: operator.matvec(self.v), wrong, repeat=2)

    def nngeometry(self) -> None:
        from nngeometry.backend import TorchHooksJacobianBackend
        from torch.utils.data import DataLoader, TensorDataset

        losses = lambda x, t: F.cross_entropy(self.model(x), t, reduction="none")[:, None]  # noqa: E731
        backend = TorchHooksJacobianBackend(self.model, function=losses, centering=True)
        loader = DataLoader(TensorDataset(self.x, self.y), batch_size=BATCH)
        self.row("centred Gram matrix", "nngeometry, single precision", lambda: backend.get_gram_matrix(loader))
        self.row("centred Gram matrix", "sgdyn, double precision", lambda: self.network().noise().gram())

    def backpack(self) -> None:
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

        self.row("tr D", "BackPACK BatchL2Grad", trace, lambda t: f"{t:.6g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=("mlp", "cnn"), default="mlp")
    chosen = parser.parse_args().net
    torch.set_num_threads(1)
    bench = Bench({"mlp": mlp, "cnn": cnn}[chosen])
    print(
        f"## {chosen}, {bench.p} parameters; load average at the start {os.getloadavg()[0]:.1f}\n\n| quantity | by | CPU s | MB | |\n|---|---|---|---|---|"
    )
    installed = {name: importlib.util.find_spec(name) is not None for name in PEERS}
    expected = bench.curvlinops() if installed["curvlinops"] else (None, None)
    bench.ours(*expected)
    for name in PEERS[1:]:
        if installed[name]:
            getattr(bench, name)()
    missing = [name for name, there in installed.items() if not there]
    print(f"\nNot installed: {', '.join(missing) or 'none'}.")
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
