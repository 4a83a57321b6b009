"""The CUDA kernels give the CPU's numbers: by the simulator everywhere, by a device where there is one."""

import json
import os
import subprocess
import sys

import pytest

import sgdyn as sg

DT = 0.02
ROUNDING, SINGLE = 1e-13, 2e-5  # after 12 steps of size 0.02; normals and points of single precision


def found(**environment):
    """What the checks print, run in a process of their own: the simulator must be chosen before numba is imported."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.sde.cuda_checks"],
        capture_output=True, text=True, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def simulated():
    return found(NUMBA_ENABLE_CUDASIM="1")


def check_equal(results):
    assert max(results["double"].values()) < ROUNDING, results["double"]
    for kind in ("single", "float32"):
        assert max(results[kind].values()) < SINGLE, results[kind]
    assert results["float32, double"] < SINGLE
    for name in ("path numbers", "twice in one step", "schedule"):
        assert results[name] < ROUNDING, name
    for name, (difference, size) in results["observed"].items():
        assert difference < ROUNDING < 0.1 < size, name
    assert 0 < results["observed in float32"][0] < SINGLE
    assert results["observed in pieces"] == [True, True]
    for difference, spread in [*results["passage"], results["passage in float32"]]:
        assert difference < ROUNDING < 5 * DT < spread
    assert results["far steps"][0] < ROUNDING and results["far steps"][1] < SINGLE


def test_points_observables_and_arrivals_equal_the_cpus(simulated):
    check_equal(simulated)


def test_float32_is_float32(simulated):
    """Mutation check of the tolerances: less precision is seen."""
    assert min(simulated["float32"].values()) > ROUNDING and min(simulated["single"].values()) > 0


def test_launches_change_no_bit(simulated):
    assert simulated["slices"] == [True, True]


def test_what_does_not_work_is_refused_and_what_works_is_named(simulated):
    expected = (
        "rng='fast'",
        "noise='weak'",
        "refine=2",
        "a boundary",
        "a checkpoint",
        "D of type Varying",
        "device='tpu'",
        "precision='float32'",
        "precision='half'",
    )
    for name, message in zip(expected, simulated["refused"], strict=True):
        assert message.startswith(f"got {name}") and "expected" in message
    assert all("sg.EulerMaruyama()" in message for message in simulated["refused"][:6])


def test_what_cannot_be_watched_is_refused_and_what_can_is_named(simulated):
    expected = (
        "got 'm': Own with device='cuda', expected some of sg.Average, sg.Covariance, sg.Histogram, sg.Autocovariance",
        "got a function of the time t",
        "got 1829 numbers a path in 'm'",
        "got a boundary",
        "got method=Heun()",
        "got an executor",
        "got precision='float32' on device='cpu'",
        "got extrapolate=True",
        "got an executor",
        "got a boundary",
        "got rng='fast'",
        "got a drift, D or region with the time t",
    )
    for words, message in zip(expected, simulated["refused watching"], strict=True):
        assert message.startswith(words) and "expected" in message and len(message) > 60, message
        assert "type " in message, message


def test_paths_lost_while_they_are_watched(simulated):
    messages = simulated["lost on the way"]
    assert len(messages) == 4 and all(m.startswith("path 0 (3 lost in all)") for m in messages)
    assert all("type dt=" in m for m in messages[:2]) and all("float32" in m for m in messages[2:])


def test_blow_up_names_path_time_and_step(simulated):
    double, single = simulated["blow-up"]
    assert double.startswith("path 4 (2 lost in all)") and "type dt=" in double
    assert single.startswith("path 4 (2 lost in all)") and "float32" in single


def test_without_a_device_the_error_says_what_to_install(monkeypatch):
    from sgdyn.sde import cuda

    monkeypatch.setattr(cuda, "_available", lambda: False)
    with pytest.raises(RuntimeError, match=r'found no CUDA device, expected .* type pip install "sgdyn\[cuda\]"'):
        sg.simulate(sg.landscapes.double_well().problem(0.1), [0.0], t=0.1, dt=0.01, device="cuda")


def test_the_cpu_does_not_load_the_cuda_package():
    code = """
import sys, sgdyn as sg
sg.simulate(sg.Langevin.linear([[1.0]]), [0.0], t=0.1, dt=0.01)
assert not [name for name in sys.modules if name.startswith(("numba.cuda", "sgdyn.sde.cuda", "sgdyn.codegen.cuda"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
def test_points_observables_and_arrivals_of_a_device_equal_the_cpus():
    check_equal(found(NUMBA_ENABLE_CUDASIM="0"))
