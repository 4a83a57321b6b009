"""Executors, checkpoints and arrays on disk: the same bits, whatever happens on the way."""

import _thread
import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.sde import passage, simulation
from sgdyn.sde.checkpoint import Checkpoint
from sgdyn.sde.portions import portions
from tests.interruption import interruptible


@sg.potential(dim=2)
def bowl(x, k=1.5):
    return k * (x[0] ** 2 + 2 * x[1] ** 2 - 1) ** 2 + 0.3 * np.sin(3 * x[0])


PROCESS = sg.Langevin(bowl, T=0.3, D=[[1.0, 0.4], [0.4, 0.5]])
OPTIONS = {"t": 1.0, "dt": 0.01, "n_paths": 70, "save": 5, "seed": 3}
WATCHED = {"m": sg.Covariance(), "d": sg.Histogram(sg.Grid([(-1, 1, 5), (-1, 1, 4)]))}


def reference():
    return sg.simulate(PROCESS, [0.5, 0.0], **OPTIONS).x


def test_portions_cover_all_paths_once():
    for n, unit in ((1, 1), (31, 1), (1000, 64), (33, 32)):
        parts = portions(n, unit)
        assert parts[0][0] == 0 and parts[-1][1] == n and len(parts) <= 33
        assert all(a[1] == b[0] and a[1] % unit == 0 for a, b in itertools.pairwise(parts))


def check(executor):
    np.testing.assert_array_equal(sg.simulate(PROCESS, [0.5, 0.0], executor=executor, **OPTIONS).x, reference())
    found = sg.first_passage(PROCESS, [-0.8, 0.0], lambda x: x[0] > 0.5, dt=0.01, n_paths=40, seed=1, executor=executor)
    alone = sg.first_passage(PROCESS, [-0.8, 0.0], lambda x: x[0] > 0.5, dt=0.01, n_paths=40, seed=1)
    np.testing.assert_array_equal(found.samples, alone.samples)
    options = {"t": 1.0, "dt": 0.01, "n_paths": 900, "seed": 3, "after": 0.2}
    spread, whole = (sg.observe(PROCESS, [0.5, 0.0], WATCHED, executor=e, **options) for e in (executor, None))
    np.testing.assert_array_equal(spread["m"].value, whole["m"].value)
    np.testing.assert_array_equal(spread["d"].values, whole["d"].values)
    np.testing.assert_array_equal(spread["m"].error, whole["m"].error)


def test_threads():
    with ThreadPoolExecutor(2) as executor:
        check(executor)


SINKING = sg.Langevin.linear([[1.0]], T=1.0)


@pytest.mark.parametrize("extrapolate", [False, True])
def test_no_path_outside_the_ensemble_takes_part(extrapolate):
    options = {"n_paths": 3, "t_max": 4.405, "dt": 0.01, "seed": 3}
    if extrapolate:
        options |= {"extrapolate": True, "t_max": 4.41}
    alone = sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, **options)
    with ThreadPoolExecutor(2) as executor:
        found = sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, executor=executor, **options)
    np.testing.assert_array_equal(found.samples, alone.samples)
    assert str(found) == str(alone)


@pytest.mark.parametrize("options", [{}, {"extrapolate": True}, {"level": 50.0}])
def test_portions_are_censored_together(options):
    level = options.get("level", 1.0)
    call = {"dt": 0.01, "n_paths": 100, "t_max": 2.0, "seed": 3, "extrapolate": options.get("extrapolate", False)}
    errors = []
    with ThreadPoolExecutor(2) as pool:
        for executor in (None, pool):
            with pytest.raises(sg.CensoredError) as info:
                sg.first_passage(SINKING, [0.0], lambda x: x[0] > level, executor=executor, **call)
            errors.append(info.value)
    alone, spread = errors
    np.testing.assert_array_equal(spread.times, alone.times)
    assert spread.times.shape == (100,) and (spread.waiting, spread.limit) == (alone.waiting, alone.limit)
    assert str(spread) == str(alone)


def test_a_portion_gives_up_only_if_no_other_arrives(monkeypatch):
    monkeypatch.setattr(passage, "HOPELESS_WORK", 1000)
    options = {"dt": 0.01, "n_paths": 40, "seed": 3}
    alone = sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, **options)
    with ThreadPoolExecutor(2) as pool:
        found = sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, executor=pool, **options)
        np.testing.assert_array_equal(found.samples, alone.samples)
        with pytest.raises(sg.CensoredError, match="none of 40 paths") as info:
            sg.first_passage(SINKING, [0.0], lambda x: x[0] > 50.0, executor=pool, **options)
    assert info.value.waiting == 40 and info.value.limit < 10


class InterruptedExecutor(Executor):
    """Finishes so many tasks; then comes Ctrl-C."""

    def __init__(self, tasks):
        self.left = tasks

    def submit(self, function, /, *arguments):
        future, self.left = Future(), self.left - 1
        if self.left < 0:
            future.set_exception(KeyboardInterrupt())
        else:
            future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize("tasks", [0, 3, 20])
def test_ctrl_c_carries_the_times_of_the_portions_that_are_done(tasks, monkeypatch):
    """Of 20 portions of two paths; those that had given up are asked again, which is what ends after the twentieth."""
    monkeypatch.setattr(passage, "HOPELESS_WORK", 1000)
    options = {"dt": 0.01, "n_paths": 40, "seed": 3}
    alone = sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, **options).samples
    with pytest.raises(sg.CensoredError, match="at Ctrl-C") as info:
        sg.first_passage(SINKING, [0.0], lambda x: x[0] > 1.0, executor=InterruptedExecutor(tasks), **options)
    known, error = np.isfinite(info.value.times), info.value
    np.testing.assert_array_equal(error.times[known], alone[known])
    assert error.waiting == np.sum(~known) and np.all(error.times[known] > 0)
    assert not known[2 * tasks :].any() and (tasks == 0) == (not known.any()) and not known.all()


@pytest.mark.slow
def test_processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        check(executor)


def test_one_process_and_the_errors_it_raises():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        np.testing.assert_array_equal(sg.simulate(PROCESS, [0.5, 0.0], executor=executor, **OPTIONS).x, reference())
        with pytest.raises(sg.BlowUpError, match="too large") as info:
            sg.simulate(PROCESS, [9.0, 9.0], executor=executor, **OPTIONS)
        assert info.value.path >= 0


def test_a_dask_cluster_on_loopback():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        np.testing.assert_array_equal(
            sg.simulate(PROCESS, [0.5, 0.0], executor=client.get_executor(), **OPTIONS).x, reference()
        )


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_an_interrupted_run_goes_on_to_the_identical_result(slices, tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "SLICE_WORK", 400)
    whole, calls, keep = reference(), [], Checkpoint.keep

    def interrupting(self, *arguments, **options):
        calls.append(1)
        if len(calls) == slices:
            _thread.interrupt_main()
        keep(self, *arguments, **options)

    monkeypatch.setattr(Checkpoint, "keep", interrupting)
    with interruptible(), pytest.warns(UserWarning, match="interrupted"):
        part = sg.simulate(PROCESS, [0.5, 0.0], checkpoint=tmp_path / "run", **OPTIONS)
    assert not part.complete and part.x.shape[1] < 5
    np.testing.assert_array_equal(part.x, whole[:, : part.x.shape[1]])
    for _ in range(2):
        np.testing.assert_array_equal(sg.simulate(PROCESS, [0.5, 0.0], checkpoint=tmp_path / "run", **OPTIONS).x, whole)


KILLED = """
import numpy as np, sgdyn as sg
import sgdyn.storage as storage
from sgdyn.sde import simulation
storage.SECONDS, simulation.SLICE_WORK = 0.0, 2e5
process = sg.Langevin(sg.quadratic([[2.0, 0.3], [0.3, 1.0]]), T=0.3, D=[1.0, 0.5])
print("go", flush=True)
sg.simulate(process, [0.5, 0.0], t=200.0, dt=0.001, n_paths=200, save=11, seed=3, checkpoint="{folder}")
"""


def test_a_killed_run_goes_on_to_the_identical_result(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(folder=folder)], stdout=subprocess.PIPE, env=os.environ
    )
    deadline = time.monotonic() + 60
    while not (folder / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    process = sg.Langevin(sg.quadratic([[2.0, 0.3], [0.3, 1.0]]), T=0.3, D=[1.0, 0.5])
    options = {"t": 200.0, "dt": 0.001, "n_paths": 200, "save": 11, "seed": 3}
    resumed = sg.simulate(process, [0.5, 0.0], checkpoint=folder, **options)
    np.testing.assert_array_equal(resumed.x, sg.simulate(process, [0.5, 0.0], **options).x)


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(tmp_path):
    folder = tmp_path / "run"
    sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **OPTIONS)
    for other in ({"seed": 4}, {"dt": 0.005}, {"noise": "single"}, {"save": 3}):
        with pytest.raises(ValueError, match="another run"):
            sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **(OPTIONS | other))
    with pytest.raises(ValueError, match="another run"):
        sg.simulate(sg.Langevin(bowl.replace(k=1.6), T=0.3, D=PROCESS.D), [0.5, 0.0], checkpoint=folder, **OPTIONS)
    moving = lambda a: sg.Langevin.from_drift(lambda x, t=0.0, a=a: -x + a * np.sin(t), T=0.1, dim=2)
    other = tmp_path / "moving"
    sg.simulate(moving(1.0), [0.5, 0.0], checkpoint=other, **OPTIONS)
    with pytest.raises(ValueError, match="another run"):
        sg.simulate(moving(5.0), [0.5, 0.0], checkpoint=other, **OPTIONS)
    points = next(folder.glob("points-*.npz"))
    with np.load(points) as stored:
        other = stored["x"].copy()
    other[-1, -1] += 1e-12
    content = bytearray(points.read_bytes())
    np.savez(points, x=other)
    with pytest.raises(ValueError, match="has changed"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **OPTIONS)
    content[len(content) // 2] ^= 1
    points.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **OPTIONS)
    points.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **OPTIONS)
    (folder / "run.json").write_text("[]")
    with pytest.raises(ValueError, match="not the index"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=folder, **OPTIONS)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=tmp_path / "file", **OPTIONS)


def test_checkpoints_know_the_arrays_of_a_method_and_the_factor_of_the_noise(tmp_path):
    """NumPy prints long arrays with dots, and two factors may have one D."""
    gradients = np.random.default_rng(0).choice([-1.0, 1.0], size=(4000, 1))
    moved = np.concatenate(
        [gradients[:100], np.random.default_rng(1).permutation(gradients[100:-100]), gradients[-100:]]
    )
    D = np.cov(gradients.T, bias=True).reshape(1, 1)
    process = sg.sgd(sg.quadratic([1.0]), D, lr=0.1, batch=4)
    options = {"t": 1.0, "dt": 0.1, "n_paths": 5, "seed": 1}
    sg.simulate(process, [0.0], checkpoint=tmp_path / "map", method=sg.ResampledSGDMap(gradients), **options)
    with pytest.raises(ValueError, match="another run"):
        sg.simulate(process, [0.0], checkpoint=tmp_path / "map", method=sg.ResampledSGDMap(moved), **options)

    def mirrored(sign):
        sigma = sg.factor(lambda x: np.array([[1.0 + 0 * x[0], 0.0], [0.0, sign]]), dim=2)
        noisy = sg.Langevin(bowl, T=0.3, D=sigma)
        return sg.simulate(noisy, [0.5, 0.0], checkpoint=tmp_path / "factor", **OPTIONS)

    mirrored(1.0)
    with pytest.raises(ValueError, match="another run"):
        mirrored(-1.0)


def test_wrong_places_and_executors_are_named():
    with pytest.raises(TypeError, match="name of a folder"):
        sg.simulate(PROCESS, [0.5, 0.0], checkpoint=3, **OPTIONS)
    with pytest.raises(TypeError, match=r"concurrent\.futures"):
        sg.simulate(PROCESS, [0.5, 0.0], executor=3, **OPTIONS)


def test_paths_are_written_into_a_memmap(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "SLICE_WORK", 2000)
    disk = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", shape=(70, 5, 2), dtype=np.float64)
    found = sg.simulate(PROCESS, [0.5, 0.0], into=disk, **OPTIONS)
    assert found.x is disk
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), reference())
    with pytest.raises(ValueError, match="of floats"):
        sg.simulate(PROCESS, [0.5, 0.0], into=np.empty((70, 5, 2), dtype=int), **OPTIONS)
    with pytest.raises(ValueError, match=r"\(70, 5, 2\)"):
        sg.simulate(PROCESS, [0.5, 0.0], into=np.empty((3, 5, 2)), **OPTIONS)


def test_paths_are_written_into_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    disk = zarr.open_array(str(tmp_path / "x.zarr"), mode="w", shape=(70, 5, 2), chunks=(35, 1, 2), dtype="f8")
    sg.simulate(PROCESS, [0.5, 0.0], into=disk, **OPTIONS)
    np.testing.assert_array_equal(disk[:], reference())
