"""Reports on runs that are there: what files they may come from, what they say, the same when killed, readable in a browser."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import sgdyn as sg
from sgdyn.fit import chapters, examinations
from sgdyn.fit.run_files import load_run
from sgdyn.nets import Recording
from tests.fit import browser, runs


@pytest.fixture(scope="module")
def recording():
    net = runs.network()
    return runs.run(net, net.subspace(3), replicas=24, steps=600).after(250)


@pytest.fixture(scope="module")
def circling():
    """Two coordinates that turn: F = [[1, 2], [-2, 1]], T D = 0.5, by the exact transition."""
    rng, F, dt = np.random.default_rng(1), np.array([[1.0, 2.0], [-2.0, 1.0]]), 0.1
    A, spread = np.exp(-dt) * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]), np.sqrt(0.5 * (1 - np.exp(-0.2)))  # fmt: skip
    x = np.empty((12, 600, 2))
    x[:, 0] = np.sqrt(0.5) * rng.normal(size=(12, 2))
    for i in range(599):
        x[:, i + 1] = x[:, i] @ A.T + spread * rng.normal(size=(12, 2))
    return x, dt, F


@pytest.fixture(scope="module")
def examined(circling, tmp_path_factory):
    return sg.fit.examine(circling[0], tmp_path_factory.mktemp("report"), dt=circling[1])


def test_a_recording_comes_back_from_its_file_to_the_bit(recording, tmp_path):
    place = recording.save(tmp_path / "deep" / "run")
    assert place.name == "run.safetensors"
    for path in (place, tmp_path / "deep" / "run"):
        found = Recording.load(path)
        assert found.settings == recording.settings and found.subspace == recording.subspace and found.complete
        for name in ("steps", "x", "gradients", "shadow", "losses", "gradient_norms"):
            np.testing.assert_array_equal(getattr(found, name), getattr(recording, name))
        assert torch.equal(found.weights, recording.weights)
    assert load_run(place, skip=3).series.x.shape[1] == recording.x.shape[1] - 3


def test_what_is_no_recording_is_refused(recording, tmp_path):
    place = recording.save(tmp_path / "run")
    place.write_bytes(place.read_bytes()[:-100])
    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    for path in (place, tmp_path / "other", tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"expected a file of recording.save\(path\)"):
            Recording.load(path)


def test_arrays_in_files_of_every_kind_are_the_same_run(circling, tmp_path):
    x, dt, _ = circling
    np.savez(tmp_path / "a.npz", x=x, dt=dt)
    np.save(tmp_path / "b.npy", x)
    save_file({"x": x, "dt": np.array([dt])}, tmp_path / "c.safetensors")
    found = [load_run(tmp_path / "a.npz"), load_run(tmp_path / "b.npy", dt=dt), load_run(tmp_path / "c.safetensors")]
    assert len({run.digest for run in found}) == 1
    np.testing.assert_array_equal(load_run(tmp_path / "a.npz", skip=100).series.x, x[:, 100:])


class Opened:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"y": np.zeros((30, 1)), "dt": 0.1}, "expected an array 'x'"), ({"x": np.zeros((30, 1))}, "without 'dt'"), ({"x": np.zeros((30, 1)), "dt": 0.0}, "dt=0"),
        ({"x": np.zeros(30), "dt": 0.1}, "got a run of shape"), ({"x": np.full((30, 1), np.nan), "dt": 0.1}, "not finite at time 0"), ({"x": np.array([[Opened()]]), "dt": 0.1}, "no pickled objects"),
        ({"x": np.zeros((30, 1)) + 1j, "dt": 0.1}, "complex"), ({"x": np.zeros((30, 1)), "dt": [0.1, 0.2]}, "dt of shape"),
    ],
)  # fmt: skip
def test_files_that_hold_no_run_say_what_was_expected(tmp_path, arrays, says):
    np.savez(tmp_path / "run.npz", allow_pickle=True, **arrays)
    with pytest.raises((ValueError, TypeError), match=says):
        examinations.examine_file(load_run(tmp_path / "run.npz"), tmp_path / "out")


def test_names_that_are_no_files_of_runs_are_refused(tmp_path):
    (tmp_path / "run.pkl").write_bytes(b"x")
    (tmp_path / "run.npz").write_bytes(b"PK\x03\x04 damaged")
    for name, says in (("run.pkl", "ends in '.pkl'"), ("run.csv", "is no file"), ("run.npz", "cannot be read")):
        with pytest.raises(ValueError, match=says):
            load_run(tmp_path / name)


def test_the_report_holds_what_is_true_of_the_process(examined, circling):
    """F, T D and the entropy production 2 omega²/gamma = 8 of the simulated process within four standard errors; it circulates."""
    with np.load(examined.folder / "result.npz") as found:
        assert np.abs((found["linear.F"] - circling[2]) / found["linear.F.error"]).max() < 4
        assert np.abs((found["linear.noise"] - 0.5 * np.eye(2)) / found["linear.noise.error"]).max() < 4
        assert abs(found["irreversibility.entropy_production"] - 8) < 4 * found["irreversibility.entropy_production.error"]  # fmt: skip
        assert found["confinement.confined"].all()
        known = found["kramers_moyal.known"]
        pull = (found["kramers_moyal.drift"] + found["kramers_moyal.points"] @ circling[2].T)[known] / found["kramers_moyal.drift.error"][known]  # fmt: skip
        assert np.sqrt(np.mean(pull**2)) < 1.5
    assert "irreversible: it circulates" in examined["irreversibility"].verdict and examined["confinement"].holds
    assert "holds here" in examined["validity"].verdict or "nothing speaks against" in examined["validity"].verdict
    manifest = json.loads((examined.folder / "manifest.json").read_text())
    assert manifest["shape"] == [12, 600, 2] and manifest["dt"] == 0.1 and manifest["versions"]["numpy"] == np.__version__  # fmt: skip
    text = examined.report.read_text(encoding="utf-8")
    assert "how to cite" in text and "@software{sgdyn" in text and manifest["data"] in text


@pytest.mark.slow
def test_a_recording_is_asked_for_its_balance_and_four_coordinates_not_for_drift_without_a_model(recording, tmp_path):
    found = sg.fit.examine(recording, tmp_path)
    assert "balance" in {section.name for section in found.sections} and "lr 0.02, batch 64" in found["run"].lines[0]
    wide = load_run(recording.save(tmp_path / "run"))
    assert "kramers_moyal" in {name for name, _, _ in chapters.chapters(wide)}
    x = np.random.default_rng(0).normal(size=(4, 50, 5))
    assert "kramers_moyal" not in {name for name, _, _ in chapters.chapters(examinations.of_source(x, 0.1))}


def test_what_cannot_be_answered_says_why_and_the_rest_is_there(tmp_path):
    walk = np.cumsum(np.random.default_rng(0).normal(size=(8, 60, 1)) * [[[1.0]]], axis=1)
    walk = np.concatenate([walk, np.zeros_like(walk)], axis=2)
    found = sg.fit.examine(walk, tmp_path, dt=1.0)
    assert "no answer: got coordinate 1 that is constant" in found["irreversibility"].verdict
    assert not found["confinement"].holds and "no answer" in found.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("finished", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_between_two_sections_it_goes_on_to_the_same_files(examined, circling, tmp_path, monkeypatch, finished):
    asked, real = [], examinations._asked

    def dying(run, seed, name, title, chapter):
        if len(asked) == finished:
            raise KeyboardInterrupt
        asked.append(name)
        return real(run, seed, name, title, chapter)

    monkeypatch.setattr(examinations, "_asked", dying)
    with pytest.raises(KeyboardInterrupt):
        sg.fit.examine(circling[0], tmp_path, dt=circling[1])
    again = []
    monkeypatch.setattr(examinations, "_asked", lambda *given: again.append(given[2]) or real(*given))
    sg.fit.examine(circling[0], tmp_path, dt=circling[1])
    assert len(asked) == finished and set(again).isdisjoint(asked) and len(again) + finished == len(examined.sections)
    with np.load(tmp_path / "result.npz") as here, np.load(examined.folder / "result.npz") as there:
        assert sorted(here.files) == sorted(there.files)
        for key in here.files:
            np.testing.assert_array_equal(here[key], there[key])
    assert (tmp_path / "report.html").read_bytes() == examined.report.read_bytes()
    assert not (tmp_path / "checkpoints").exists()


def test_sections_of_another_run_are_refused(circling, tmp_path, monkeypatch):
    def dying(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(examinations, "_written", dying)
    monkeypatch.setattr(examinations, "chapters", lambda run: chapters.chapters(run)[:1])
    with pytest.raises(KeyboardInterrupt):
        sg.fit.examine(circling[0][:, :100], tmp_path, dt=circling[1])
    with pytest.raises(ValueError, match="checkpoint of another examination"):
        sg.fit.examine(circling[0][:, :101], tmp_path, dt=circling[1])


@browser.needed
@pytest.mark.parametrize("width", [1100, 420])
def test_the_report_in_a_browser(examined, tmp_path, width):
    figures = sum(len(section.figures) for section in examined.sections)
    seen = browser.check(examined.report, tmp_path, figures, width)
    assert figures == 8 and len(seen["tables"]) == 8
