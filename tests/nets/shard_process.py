"""One of several processes that hold a network's samples between them: `python -m tests.nets.shard_process FOLDER RANK COUNT WHAT`.

Writes what it found into FOLDER/RANK.npz; the processes meet by a file in FOLDER and talk over the loopback.
"""

import datetime
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sgdyn import nets, storage
from sgdyn.linalg import journals
from tests.nets import models

ENDS = {1: [0, 101], 2: [0, 37, 101], 3: [0, 40, 43, 101]}
"""Shards of unequal sizes of 101 samples, in chunks of 32."""
ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}


def shard(rank, count):
    x, y = models.data()
    part = slice(ENDS[count][rank], ENDS[count][rank + 1])
    return x[part], y[part]


def network(name, rank, count):
    return nets.distributed(ARCHITECTURES[name](), nn.CrossEntropyLoss(), shard(rank, count), 0.01, chunk=32)


def answers(net):
    """Everything that operators say, by name; the same function for one process and for several."""
    V = np.random.default_rng(0).normal(size=(net.dim, 3))
    u = np.random.default_rng(1).normal(size=3 * net.n)
    found = {"value": net.value(), "gradient": net.gradient(), "n": net.n}
    matrices = {
        "H": net.hessian(), "G": net.gauss_newton(), "D": net.noise(), "D rows": net.noise(ghosts=False), "F": net.fisher(),
        "E": net.fisher("empirical"), "M": net.fisher("monte carlo", draws=2, seed=3), "J'J": net.jacobian(1).normal(),
    }  # fmt: skip
    for name, A in matrices.items():
        found |= {f"{name} v": A @ V[:, 0], f"{name} V": A @ V, f"{name} dense": A.dense()}
        found |= {f"{name} trace": A.trace().value, f"{name} diag": A.diag().value}
        found |= {f"{name} {rule} trace": A.trace(method=rule, products=12).value for rule in ("hutch++", "xtrace")}
    for name in ("D", "D rows", "E"):
        A = matrices[name]
        found |= {f"{name} gram": A.gram(), f"{name} rows": np.concatenate([part.numpy() for part in A.rows()])}
        found |= {f"{name} {way}": A.top(4, method=way).values for way in ("dense", "gram", "lanczos")}
    D, J = matrices["D"], net.jacobian()
    found |= {"H lanczos": matrices["H"].top(4, method="lanczos").values, "H density": matrices["H"].density().known}
    found |= {"logdet": D.logdet(10.0).value, "rank": D.effective_rank().value, "coordinates": D.coordinates(V)}
    found |= {"draws": D.sample(3, batch=5, seed=0), "J v": J @ V[:, 0], "J'u": J.T @ u, "J": J.dense()}
    biases = lambda name, part: part.ndim == 1
    found |= {f"block {name}": matrices[name].block(biases).dense() for name in ("H", "D", "M", "J'J")}
    found |= {"plan": matrices["D"].plan().chosen == "dense" and matrices["G"].plan().ways[0].seconds > 0}
    look = nets.Monitor(net, k=2).look(0)
    found |= {"look": [look.gradient_norm, look.noise_trace, look.noise_scale, *look.values]}
    space = net.subspace(basis=V)
    return found | {"space H": space.H, "space D": space.D, "samples": space.samples}


def resumed(net, folder):
    """Lanczos that broke down after six products, of which the second process has written down four: its products when it goes on."""
    operator, made = net.hessian(), []
    keep, apply = journals.Journal.save, operator.apply

    def counted(v, last):
        if len(made) == last:
            raise InterruptedError
        made.append(0)
        if net.own.start and len(made) == 5:
            journals.Journal.save = lambda self: None
        return apply(v)

    storage.SECONDS = -1.0
    expected = operator.top(3, method="lanczos")
    operator.apply = lambda v: counted(v, 6)
    try:
        operator.top(3, method="lanczos", checkpoint=folder)
    except InterruptedError:
        journals.Journal.save = keep
    made.clear()
    operator.apply = lambda v: counted(v, -1)
    found = operator.top(3, method="lanczos", checkpoint=folder)
    return {"resumed": np.array_equal(found.vectors, expected.vectors), "saved": expected.products - len(made)}


def refusals(rank, count):
    """What is said, in every process, of networks that do not fit together."""
    x, y = shard(rank, count)
    loss = nn.CrossEntropyLoss()

    def said(make):
        try:
            make()
        except (ValueError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    none = slice(0, 0) if rank else slice(None)
    net = network("mlp", rank, count)
    cases = {
        "weights": lambda: nets.distributed(models.mlp(seed=rank), loss, (x, y)),
        "model": lambda: nets.distributed(models.mlp((5, 7 + rank, 3)), loss, (x, y)),
        "empty": lambda: nets.distributed(models.mlp(), loss, (x[none], y[none])),
        "loss": lambda: nets.distributed(models.mlp(), loss, (x, y), 0.1 * rank),
        "at": lambda: net.at(np.full(net.dim, 0.1 + 1e-12 * rank)),
        "train": lambda: nets.train(net, steps=1, lr=0.1, batch=8),
    }
    return {name: said(make) for name, make in cases.items()}


def main():
    folder, rank, count, what = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=count,
        timeout=datetime.timedelta(seconds=300),
    )
    net = network(what, rank, count)
    found = (
        answers(net)
        | resumed(net, folder / "kept")
        | {f"said of {k}": text for k, text in refusals(rank, count).items()}
    )
    np.savez(folder / f"{rank}.npz", allow_pickle=False, **found)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
