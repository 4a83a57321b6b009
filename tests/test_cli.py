"""The command line as a person types it."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sgdyn as sg
from sgdyn import cli
from sgdyn.errors import NotConvergedError
from tests.interruption import interruptible


def run(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_help_shows_the_four_commands():
    text = run("--help").output
    assert all(command in text for command in ("fit", "simulate", "study", "info"))


def test_info_prints_versions_and_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SGDYN_CACHE", str(tmp_path / "cache"))
    facts = json.loads(run("info").output)
    assert facts["torch"] and str(tmp_path) in facts["cache"]
    (tmp_path / "cache" / "x").write_text("x")
    assert "deleted" in run("info", "--clear-cache").output and not (tmp_path / "cache" / "x").exists()


def test_simulate_writes_paths_and_a_picture(tmp_path):
    done = run("simulate", "maier_stein", "-T", 0.1, "--time", 1, "--paths", 20, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "paths.npz") as stored:
        assert stored["x"].shape == (20, 101, 2)
    assert (tmp_path / "paths.png").stat().st_size > 1000
    assert run("simulate", "nowhere").exit_code == 2


def test_studies_are_listed_run_cached_and_configured(tmp_path):
    assert "escape_time" in run("study").output
    words = ("study", "escape_time", "--out", tmp_path, "--n_paths", 200, "--temperatures", 3, "--coldest", 0.1)
    first = run(*words)
    assert first.exit_code == 0, first.output
    place = next(tmp_path.glob("escape_time-*"))
    before = (place / "result.npz").stat().st_mtime_ns
    assert run(*words).exit_code == 0 and (place / "result.npz").stat().st_mtime_ns == before
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["config"]["n_paths"] == 200 and (place / "figure.svg").exists()
    assert isinstance(run("study", "escape_time", "--colour", "red").exception, ValueError)
    assert isinstance(run("study", "nothing").exception, ValueError)


def test_the_sampler_study_finds_what_is_known(tmp_path):
    """Kühn and Rosenow, arXiv:2306.05300: epoch by epoch the variance falls in flat directions; white samplers are as predicted."""
    from sgdyn.studies import sampler

    arrays = sampler.run(sampler.Config(softest=0.05, directions=3, replicas=100))
    for name in ("replacement", "without"):
        assert np.all(np.abs(arrays[name] - 1) < 4 * arrays[f"{name}_error"])
    assert np.all(np.diff(arrays["epoch"]) > 0) and arrays["epoch"][0] < 0.1 and abs(arrays["epoch"][-1] - 0.6) < 0.05
    assert np.all(np.abs(arrays["epoch"] - arrays["epoch_exact"]) < 4 * arrays["epoch_error"])


def test_fit_prints_a_table_and_a_verdict_and_writes_a_report(tmp_path):
    done = run(
        "fit",
        "--model",
        "softmax",
        "--lr",
        0.1,
        "--batch",
        256,
        "--directions",
        3,
        "--replicas",
        16,
        "--relaxations",
        8,
        "--out",
        tmp_path,
    )
    assert done.exit_code == 0, done.output
    assert (
        "variance: SGD" in done.output
        and "controlled" in done.output
        and "The diffusion describes this run" in done.output
    )
    assert "as measured, over exact discrete theory" in done.output and "elements stand" in done.output
    assert {"report.html", "result.npz", "manifest.json"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_default_fit_tells_the_four_stories(tmp_path):
    done = run("fit", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    verdicts = list(json.loads((tmp_path / "manifest.json").read_text())["verdicts"].values())
    assert [v.startswith("The diffusion describes") for v in verdicts] == [True, True, True, False]
    assert "anti-correlated" in verdicts[3]


EAGER = "from sgdyn.nets import training; training.CHECKPOINT_SECONDS = 0.0; from sgdyn.cli import main; main()"
TINY = ("fit", "--model", "softmax", "--lr", "0.1", "--directions", "2", "--replicas", "8", "--relaxations", "3", "--batch", "16", "--out")  # fmt: skip


@pytest.mark.slow
def test_a_process_that_is_killed_half_way_and_run_again_writes_the_same_bytes(tmp_path):
    """SIGKILL in the midst of SGD, which no program can answer."""
    for name in ("whole", "killed"):
        command = [sys.executable, "-c", EAGER, *TINY, str(tmp_path / name)]
        if name == "killed":
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while not list((tmp_path / name).glob("checkpoints/*/state-*")) and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            assert process.wait() == -signal.SIGKILL and not (tmp_path / name / "report.html").exists()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for file in ("report.html", "result.npz"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()


MINE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
def data():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(203, 4, generator=g)
    return x, (x[:, 0] + 0.5 * x[:, 1] + torch.randn(203, generator=g) > 0).long()
def dataset(): return TensorDataset(*data())
def pictures(): return torch.randn(9)
def loader(): return DataLoader(TensorDataset(*data()), batch_size=16, shuffle=True)
def model(): return nn.Linear(4, 2)
def kinked(): return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
def buggy(): raise KeyError("my own bug")
def missing(): return open("/nonexistent/data.csv")
class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Linear(4, 2)
    def forward(self, x): return {}["nothing"]
"""
OWN = ("--model", "mine:model", "--data", "mine:data", "--replicas", 16, "--batch", 8, "--directions", 4)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("def model(:\n")
    (tmp_path / "raising.py").write_text("import torch\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def one_line(monkeypatch, capsys, *words):
    """The error of a command; fails if SGD or the search for a minimum was begun."""

    def never(*args, **options):
        raise AssertionError("began to compute")

    monkeypatch.setattr("sgdyn.fit.run.train", never)
    return failure(monkeypatch, capsys, "fit", *words)


def failure(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["sgdyn", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.startswith("error: ") and error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--relaxations", 0), "relaxations=0"), (("--relaxations", -5), "relaxations=-5"), (("--relaxations", "nan"), "nan in relaxations"),
        (("--lr", "nan"), "nan in lr"), (("--lr", -1), "lr=-1"), (("--batch", 0), "batch=0"), (("--batch", 500, "--sampler", "without"), "batch=500 of n=203"),
        (("--replicas", 4), "replicas=4, expected at least 8"), (("--directions", 1000), "directions=1000, expected at most the 10"), (("--directions", 0), "directions=0"),
        (("--momentum", 1.5), "momentum=1.5"), (("--weight-decay", -1), "weight_decay=-1"), (("--seed", -1), "seed=-1"), (("--device", "nonsense"), "device='nonsense'"),
        (("--out", "mine.py"), "mine.py as run folder"), (("--out", "mine.py/sub"), "as run folder"), (("--data", "mine:missing"), "mine:missing failed with FileNotFoundError"),
        (("--model", "mine:buggy"), "mine:buggy failed with KeyError: 'my own bug' (mine.py, line 14)"), (("--model", "mine:Odd"), "mine:Odd on mine:data failed with KeyError"), (("--model", "mine:data"), "expected a torch.nn.Module"),
        (("--model", "nothing"), "got 'nothing'"), (("--data", "mine:pictures"), "got data of type Tensor"), (("--model", "mine:Typo"), "no attribute 'Typo'"),
        (("--model", "broken:model"), "broken cannot be imported: SyntaxError"), (("--model", "raising:model"), "raising cannot be imported: ZeroDivisionError: division by zero (raising.py, line 2)"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_before_anything_is_computed(mine, monkeypatch, capsys, words, says):
    def never(self, **options):
        raise AssertionError("looked for a minimum")

    monkeypatch.setattr("sgdyn.nets.Network.minimize", never)
    assert says in one_line(monkeypatch, capsys, *OWN, *words)


def test_a_learning_rate_beyond_its_limit_is_refused_before_sgd(mine, monkeypatch, capsys):
    error = one_line(monkeypatch, capsys, *OWN, "--lr", 1e3)
    assert "2(1 + momentum)/h_max" in error and "lr=1000" in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_said_so(mine, monkeypatch, capsys):
    assert "device='cuda'" in one_line(monkeypatch, capsys, *OWN, "--device", "cuda")


@pytest.mark.slow
def test_a_data_loader_and_fewer_parameters_than_directions_will_do(mine):
    from sgdyn.fit.run import Case, build, run_case

    case = Case(
        "mine", model="mine:model", data="mine:loader", lr=0.05, batch=8, replicas=8, relaxations=2.0, weight_decay=0.5
    )
    assert build(case).n == build(replace(case, data="mine:dataset")).n == 203
    assert run_case(case).subspace.k == 10


def test_a_run_of_ones_own_is_examined(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 60, 4))
    np.savez(tmp_path / "mine.npz", x=x, dt=0.5)
    done = run("fit", "--recording", tmp_path / "mine.npz", "--skip", 10, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "8 replicas, 50 times 0.5 apart" in done.output and "The arrow of time:" in done.output
    assert {"report.html", "result.npz", "manifest.json"} == {p.name for p in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["name"] == "mine.npz"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--recording", "x.npz", "--lr", 0.1, "--model", "mlp"), "got --model, --lr with --recording"),
        (("--dt", 0.1), "--dt, --skip or --odd without --recording"), (("--odd", 1), "without --recording"), (("--skip", 3), "without --recording"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(words, says):
    done = run("fit", *words)
    assert done.exit_code == 2 and says in done.output


def test_a_file_that_holds_no_run_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "run.npz").write_bytes(b"nothing")
    assert "np.savez" in failure(monkeypatch, capsys, "fit", "--recording", tmp_path / "run.npz")


def test_a_study_refuses_before_it_computes(monkeypatch, capsys, tmp_path):
    from sgdyn.studies import sampler

    monkeypatch.setattr(sampler, "_variances", None)
    assert "batch=999 of n=256" in failure(monkeypatch, capsys, "study", "sampler", "--batch", 999, "--out", tmp_path)
    assert "--dt abc, expected a float" in failure(monkeypatch, capsys, "study", "escape_time", "--dt", "abc")
    (tmp_path / "file").write_text("x")
    failure(monkeypatch, capsys, "study", "sampler", "--out", tmp_path / "file")


def test_the_version_is_printed():
    assert run("--version").output.strip() == sg.__version__


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(mine):
    command = [sys.executable, "-c", EAGER, "fit", *(str(word) for word in OWN), "--out", "here"]
    with interruptible():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list((mine / "here").glob("checkpoints/*/*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert "interrupted; the same command continues" in process.communicate()[1] and process.returncode == 130


@pytest.mark.slow
def test_a_network_with_kinks_is_described_where_the_search_ends(mine):
    """At the lowest points of a ReLU network the gradient jumps; the report says that the center is no minimum, and goes on."""
    from sgdyn.fit.run import Case, build, run_case

    case = Case("mine", model="mine:kinked", data="mine:data", replicas=8, directions=3, relaxations=1.0, lr=0.02)
    with pytest.raises(NotConvergedError, match="kinks") as end:
        build(case).minimize()
    outcome = run_case(case)
    assert outcome.subspace.gradient == pytest.approx(np.linalg.norm(end.value.reached.gradient()))
    assert "not a minimum" in str(outcome.comparison.verdict)
    with pytest.raises(NotConvergedError, match="tolerance"):
        run_case(replace(case, weight_decay=0.0))
