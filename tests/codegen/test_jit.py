"""What all compiled functions have in common."""

import importlib
import platform

import numpy as np
import pytest
from numba import njit

from sgdyn.codegen import jit
from sgdyn.codegen.vector import LANES, load, store


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for an instruction of x86-64")
def test_the_stack_of_a_compiled_function_begins_with_a_cache_line():
    def scaled(x, out):
        for p in range(0, x.shape[1], LANES):
            store(out, 0, p, load(x, 0, p) * 2.0)

    compiled = njit(pipeline_class=jit.AlignedCompiler)(scaled)
    x, out = np.ones((2, 1, 4 * LANES))
    compiled(x, out)
    assert out.tolist() == (2 * x).tolist()
    (code,) = compiled.inspect_asm().values()
    assert f"andq\t$-{jit.STACK_ALIGNMENT}, %rsp" in code


def test_a_kernel_in_a_file_that_changes_is_compiled_anew(tmp_path, monkeypatch):
    """Wherever the file lies: the answer must be the source's, not the cache's."""
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from sgdyn.codegen.jit import VECTOR, kernel\n\n@kernel(VECTOR)\ndef fill(x):\n    x[:] = {}\n"
    found = []
    for name, value in (("first", 1.0), ("second", 2.0)):
        (tmp_path / f"{name}.py").write_text(text.format(value))
        x = np.zeros(3)
        importlib.import_module(name).fill(x)
        found.append(x[0])
    assert found == [1.0, 2.0]
