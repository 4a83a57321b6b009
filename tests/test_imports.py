"""`import sgdyn` is quick and loads nothing heavy; the public names are what they say."""

import inspect
import json
import statistics
import subprocess
import sys

import sgdyn as sg


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_loads_neither_torch_nor_matplotlib_nor_sympy():
    loaded = json.loads(
        python("import sys, json, sgdyn; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))")
    )
    assert not {"torch", "matplotlib", "sympy", "rich", "typer"} & set(loaded)


def test_importing_takes_no_longer_than_numpy_scipy_and_numba_by_a_third():
    """CPU time of whole processes, medians of alternating runs: the bound the project set itself."""
    code = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    ours, base = [], []
    for _ in range(7):
        base.append(float(python(code.format("numpy, scipy, numba"))))
        ours.append(float(python(code.format("sgdyn, numpy, scipy, numba"))))
    assert statistics.median(ours) <= 1.3 * statistics.median(base)


def test_simulation_needs_neither_torch_nor_matplotlib():
    code = """
import sys, sgdyn as sg
@sg.potential(dim=1)
def U(x): return x[0]**4
sg.simulate(sg.Langevin(U), [0.0], t=0.1, dt=0.01)
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
"""
    python(code)


def test_public_names_are_found_and_listed():
    assert len(sg.__all__) > 100
    for name in sg.__all__:
        assert getattr(sg, name).__doc__, name
    assert set(sg.__all__) <= set(dir(sg))


def test_no_module_has_the_name_of_a_public_function():
    from pathlib import Path

    modules = {path.stem for path in Path(sg.__file__).parent.rglob("*.py")}
    functions = {name for name in sg.__all__ if name[0].islower() and not inspect.ismodule(getattr(sg, name))}
    assert not modules & functions
