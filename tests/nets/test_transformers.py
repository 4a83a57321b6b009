"""Models of the transformers library, where it is installed: both forms of their attention give one Hessian."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sgdyn import nets

WORDS = torch.randint(0, 50, (5, 7), generator=torch.Generator().manual_seed(0))


def next_word(output, y):
    return F.cross_entropy(output.logits[:, :-1].transpose(1, 2), y[:, 1:], reduction="none").mean(1)


def test_fused_attention_is_taken_apart_for_second_derivatives(device):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
    found = {}
    for attention in ("sdpa", "eager"):
        torch.manual_seed(1)
        config = transformers.GPT2Config(**sizes, attn_implementation=attention)
        model = transformers.GPT2LMHeadModel(config).double().eval().to(device)
        net = nets.Network(model, next_word, {"input_ids": WORDS, "labels": WORDS}, chunk=3)
        v = np.random.default_rng(0).normal(size=net.dim)
        found[attention] = net.hessian() @ v, net.noise(ghosts=False) @ v, net.derivatives.unfused
        assert model.config._attn_implementation == attention
    assert found["sdpa"][2] and not found["eager"][2]
    for one, other in zip(found["sdpa"][:2], found["eager"][:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10 * np.abs(other).max())
