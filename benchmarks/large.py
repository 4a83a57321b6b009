"""D and H of a ResNet-18 (1.1e7 parameters at --width 64), products of a transformer (1e8 at --layers 12 --embedding 768).

`python benchmarks/large.py --data FOLDER` on a GPU, if there is one; `python benchmarks/large.py --small` on a processor, in two minutes or so.

--data: CIFAR-10 as a folder with one folder of images a class (or train/ with these in it; a .tar of such a folder will do), or as the
binary version (data_batch_*.bin); the pickled "python version" is not read. Without it the images are synthetic: noise around ten patterns.
Writes results/large.md (--out): minutes (wall time of a GPU, else CPU time of the process) and peak memory of each row.
"""

from __future__ import annotations

import argparse
import io
import math
import resource
import sys
import tarfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdyn import nets

PIXELS, CLASSES = 32, 10
SMALL = {
    "samples": 128,
    "width": 16,
    "k": 5,
    "head": 0,
    "epochs": 2,
    "layers": 2,
    "embedding": 64,
    "vocabulary": 500,
    "sequences": 8,
    "probes": 2,
    "steps": 10,
}


class Block(nn.Module):
    """Two convolutions beside a shortcut (He et al., arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


def resnet18(width: int = 64) -> nn.Module:
    """The network for 32 x 32 images: 11,173,962 parameters at width 64."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for level in range(4):
        after = width * 2**level
        layers += [Block(before, after, 1 if level == 0 else 2), Block(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


class Decoder(nn.Module):
    """A transformer that predicts the next word: 1.0e8 parameters with 12 layers of 768 and 20,000 words."""

    def __init__(self, layers: int, embedding: int, vocabulary: int, length: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, embedding), nn.Embedding(length, embedding)
        heads = max(1, embedding // 64)
        one = nn.TransformerEncoderLayer(
            embedding, heads, 4 * embedding, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(one, layers, nn.LayerNorm(embedding), enable_nested_tensor=False)

    def forward(self, words: Tensor) -> Tensor:
        length = words.shape[1]
        later = torch.full((length, length), -math.inf, device=words.device, dtype=self.words.weight.dtype).triu(1)
        h = self.words(words) + self.places(torch.arange(length, device=words.device))
        return self.layers(h, mask=later) @ self.words.weight.T


def next_words(output: Tensor, words: Tensor) -> Tensor:
    """The mean cross entropy of each sequence (batch,)."""
    return F.cross_entropy(output[:, :-1].transpose(1, 2), words[:, 1:], reduction="none").mean(1)


def images(folder: Path | None, samples: int, seed: int = 0) -> tuple[Tensor, Tensor, str]:
    """(x (N, 3, 32, 32) of mean 0 and variance 1, y (N,), what they are)."""
    if folder is None:
        x, y = synthetic(samples, seed)
        return x, y, "synthetic images"
    x, y = next((found for found in (binary(folder), pictures(folder, samples)) if found is not None), (None, None))
    if x is None or y is None or len(y) < samples:
        got = 0 if y is None else len(y)
        raise SystemExit(
            f"got {got} images in {folder}, expected {samples}: a folder a class, a .tar of it, or data_batch_*.bin"
        )
    chosen = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:samples]
    x, y = x[chosen].float(), y[chosen]
    return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True), y, f"images of {folder.name}"


def synthetic(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    y = torch.arange(samples) % CLASSES
    patterns = F.interpolate(torch.randn(CLASSES, 3, 8, 8, generator=made), PIXELS, mode="bilinear")
    return patterns[y] + torch.randn(samples, 3, PIXELS, PIXELS, generator=made), y


def binary(folder: Path) -> tuple[Tensor, Tensor] | None:
    """The binary version of CIFAR-10: a label and 3072 bytes a picture."""
    files = sorted(folder.rglob("data_batch_*.bin")) if folder.is_dir() else []
    if not files:
        return None
    rows = torch.tensor(np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files]))
    return rows[:, 1:].reshape(-1, 3, PIXELS, PIXELS), rows[:, 0].long()


def pictures(folder: Path, samples: int) -> tuple[Tensor, Tensor] | None:
    """Picture files whose last folder is their class; of those in train/, where there is one; equally many of each class."""
    from PIL import Image

    files = sorted(named(folder), key=lambda one: one[0])
    trained = [one for one in files if "train" in Path(one[0]).parts]
    classes: dict[str, list[Callable[[], bytes]]] = {}
    for name, read in trained or files:
        classes.setdefault(Path(name).parent.name, []).append(read)
    each = math.ceil(samples / max(1, len(classes)))
    chosen = [(i, read) for i, name in enumerate(sorted(classes)) for read in classes[name][:each]]
    made = [np.asarray(Image.open(io.BytesIO(read())).convert("RGB").resize((PIXELS, PIXELS))) for _, read in chosen]
    return (torch.tensor(np.stack(made)).permute(0, 3, 1, 2), torch.tensor([i for i, _ in chosen])) if made else None


def named(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names of pictures in a folder or an archive, and how to read them."""
    if folder.is_dir():
        for file in folder.rglob("*.*"):
            if file.suffix in (".jpg", ".jpeg", ".png"):
                yield str(file.relative_to(folder)), file.read_bytes
        return
    with tarfile.open(folder) as archive:
        held = {
            member.name: archive.extractfile(member) for member in archive if member.name.endswith((".jpg", ".png"))
        }
        content = {name: file.read() for name, file in held.items() if file is not None}
    for name, picture in content.items():
        yield name, lambda picture=picture: picture


def trained(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """After some epochs of SGD with momentum, in evaluation mode: its batch norms have statistics then."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for i in torch.randperm(len(y), generator=order).split(128):
            optimizer.zero_grad()
            F.cross_entropy(model(x[i]), y[i]).backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model.eval()


class Table:
    """Rows (quantity, value, minutes, peak memory), printed as they come."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.lines = device, ["| quantity | value | minutes | peak GB |", "|---|---|---|---|"]

    def row(self, quantity: str, run: Callable[[], Any], said: Callable[[Any], str]) -> Any:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        clock = time.perf_counter if self.device.type == "cuda" else time.process_time
        start = clock()
        found = run()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        minutes = (clock() - start) / 60
        self.lines.append(f"| {quantity} | {said(found)} | {minutes:.2f} | {self.peak():.2f} |")
        print(self.lines[-1], flush=True)
        return found

    def peak(self) -> float:
        """Of the GPU in this row; of the process, since it began, without one."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def convolutional(table: Table, asked: argparse.Namespace) -> str:
    """D and H of the ResNet; a sentence about it."""
    torch.manual_seed(0)
    x, y, source = images(asked.data, asked.samples)
    x, y = x.to(table.device), y.to(table.device)
    model = trained(resnet18(asked.width).to(table.device), x, y, asked.epochs)
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y), chunk=asked.chunk)
    noise, hessian, k = net.noise(budget=asked.budget), net.hessian(budget=asked.budget), asked.k
    v = torch.randn(net.dim, generator=torch.Generator().manual_seed(1)).to(net.weights)
    table.row("D v, any layers", lambda: net.noise(ghosts=False).apply(v), size_of)
    table.row("H v", lambda: hessian.fresh(v), size_of)
    table.row(
        "all eigenvalues of D, by the Gram matrix", lambda: noise.density(method="gram"), lambda d: values(d.known[:3])
    )
    table.row("log det(1 + 100 D), from these", lambda: noise.logdet(100.0, method="gram"), str)
    table.row("tr D", noise.trace, str)
    table.row(f"top {k} of D, with vectors", lambda: noise.top(k, method="gram"), lambda s: values(s.values))
    found = table.row(
        f"top {k} of H", lambda: hessian.top(k, tolerance=1e-4), lambda s: f"{values(s.values)}; {s.products} products"
    )
    del found
    slq = {"probes": asked.probes, "steps": asked.steps, "head": k}
    density = table.row(
        "density of H, stochastic Lanczos", lambda: hessian.density(**slq), lambda d: f"lowest {d.lowest:.3g}"
    )
    table.row("log det(1 + 0.01 H), from it", lambda: density.sum(lambda w: np.log(np.abs(1 + 0.01 * w))), str)
    return f"ResNet-18 of width {asked.width}: {net.dim:,} parameters, {net.n:,} {source}, {asked.epochs} epochs."


def transformer(table: Table, asked: argparse.Namespace) -> str:
    """Products of a transformer's H and D; a sentence about it."""
    torch.manual_seed(0)
    model = Decoder(asked.layers, asked.embedding, asked.vocabulary, asked.length).to(table.device).eval()
    words = torch.randint(asked.vocabulary, (asked.sequences, asked.length), generator=torch.Generator().manual_seed(0))
    net = nets.Network(model, next_words, (words.to(table.device),) * 2, chunk=asked.together)
    v = torch.randn(net.dim, generator=torch.Generator().manual_seed(1)).to(net.weights)
    table.row(f"H v, {net.derivatives}", lambda: net.hessian().fresh(v), size_of)
    table.row("D v", lambda: net.noise(ghosts=False).apply(v), size_of)
    return f"Transformer: {net.dim:,} parameters, {net.n} sequences of {asked.length} words."


def size_of(v: Tensor) -> str:
    return f"length {float(v.double().norm()):.4g}"


def values(found: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in found[:3]) + (f", ... {found[-1]:.4g}" if len(found) > 3 else "")


def options(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="CIFAR-10 (see the head of this file)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "large.md")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=float, default=2e9, help="bytes that operators may keep")
    parser.add_argument("--small", action="store_true", help=f"{SMALL}")
    sizes = {
        "samples": 10_000, "width": 64, "epochs": 5, "chunk": 256, "k": 50, "head": 10, "probes": 4, "steps": 40, "layers": 12, "embedding": 768,
        "vocabulary": 20_000, "length": 128, "sequences": 64, "together": 8,
    }  # fmt: skip
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    if parser.parse_known_args(given)[0].small:
        parser.set_defaults(**SMALL)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    asked = options(given)
    device = torch.device(asked.device)
    torch.backends.cudnn.allow_tf32 = False
    warnings.simplefilter("ignore", UserWarning)
    machine = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"a processor, {torch.get_num_threads()} thread(s); no GPU could be started"
    )
    parts = []
    for study in (convolutional, transformer):
        table = Table(device)
        said = study(table, asked)
        parts.append("\n".join([f"## {said}", "", *table.lines]))
    spent, kind = (
        ("Wall time", "of the GPU, row by row")
        if device.type == "cuda"
        else ("CPU time", "of the process since it began")
    )
    head = f"# D and H of larger networks\n\n`python benchmarks/large.py {' '.join(sys.argv[1:] if given is None else given)}`, torch {torch.__version__}, on {machine}. {spent}; peak memory {kind}.\n"
    asked.out.write_text("\n".join([head, "\n\n".join(parts), ""]))


if __name__ == "__main__":
    main()
