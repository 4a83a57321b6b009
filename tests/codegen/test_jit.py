"""What all compiled functions have in common."""

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
