"""The script benchmarks/large.py at tiny sizes: what it reads, what it builds, what it writes."""

import importlib.util
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

FILE = Path(__file__).parents[2] / "benchmarks" / "large.py"


@pytest.fixture(scope="module")
def large():
    spec = importlib.util.spec_from_file_location("large", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_networks_have_the_sizes_that_are_claimed(large):
    """11,173,962 is the published count of the ResNet-18 for CIFAR-10 (kuangliu/pytorch-cifar)."""
    count = lambda model: sum(p.numel() for p in model.parameters())
    with torch.device("meta"):
        assert count(large.resnet18()) == 11_173_962
        assert 0.9e8 < count(large.Decoder(12, 768, 20_000, 128)) < 1.1e8
    words = torch.randint(9, (2, 5), generator=torch.Generator().manual_seed(0))
    decoder = large.Decoder(1, 8, 9, 5).double().eval()
    changed = words.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 9
    torch.testing.assert_close(decoder(words)[:, :3], decoder(changed)[:, :3])  # no word sees later ones
    assert large.next_words(decoder(words), words).shape == (2,)


def test_pictures_are_read_from_folders_archives_and_the_binary_version(large, tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in ("train/cat", "train/dog", "test/cat"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    x, y, said = large.images(tmp_path / "set", 6)
    assert x.shape == (6, 3, 32, 32) and sorted(y.tolist()) == [0, 0, 0, 1, 1, 1] and said == "images of set"
    torch.testing.assert_close(large.images(tmp_path / "set.tar", 6)[0], x)
    (tmp_path / "binary").mkdir()
    rows = rng.integers(0, 10, (4, 3073), dtype=np.uint8)
    rows.tofile(tmp_path / "binary" / "data_batch_1.bin")
    x, y = large.binary(tmp_path / "binary")
    assert y.tolist() == rows[:, 0].tolist() and x[2, 0, 0, 1] == rows[2, 2]
    with pytest.raises(SystemExit, match=r"got 4 images.*expected 5"):
        large.images(tmp_path / "binary", 5)


@pytest.mark.slow
def test_the_script_writes_its_table(large, tmp_path):
    sizes = "--samples 12 --width 2 --k 2 --layers 1 --embedding 8 --vocabulary 9 --length 4 --sequences 3 --steps 4 --epochs 1 --device cpu"
    large.main(["--small", *sizes.split(), "--out", str(tmp_path / "large.md")])
    text = (tmp_path / "large.md").read_text()
    assert text.count("|---|---|---|---|") == 2 and "no GPU could be started" in text and "12 synthetic images" in text
    for row in ("all eigenvalues of D", "log det(1 + 100 D)", "top 2 of H", "density of H", "| H v, "):
        assert row in text
