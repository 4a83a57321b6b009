"""Inner products of long vectors in single precision."""

import pytest
import torch

from sgdyn.nets import vectors


@pytest.mark.parametrize("sums", [vectors.one_by_one, vectors.together])
@pytest.mark.parametrize("size", [100, vectors.BLOCK, 3 * vectors.BLOCK + 5])
def test_sums_of_blocks_keep_the_digits_of_long_vectors(sums, size, device, monkeypatch):
    """Also where the blocks are more than one call takes."""
    monkeypatch.setattr(vectors, "GROUP", 2 * vectors.BLOCK)
    made = torch.Generator().manual_seed(0)
    rows, v = torch.rand(3, size, generator=made), torch.rand(size, generator=made)
    exact = rows.double() @ v.double()
    found = sums(rows.to(device), v.to(device), torch.float32)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.cpu(), exact, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(sums(rows.to(device), v.to(device), torch.float64).cpu(), exact, rtol=1e-13, atol=0.0)
