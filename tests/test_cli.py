"""The command line as a person types it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sgdyn import cli


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
        8,
        "--relaxations",
        3,
        "--out",
        tmp_path,
    )
    assert done.exit_code == 0, done.output
    assert "variance: SGD" in done.output and "The diffusion describes this run" in done.output
    assert {"report.html", "result.npz", "manifest.json"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_default_fit_tells_the_four_stories(tmp_path):
    done = run("fit", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    verdicts = list(json.loads((tmp_path / "manifest.json").read_text())["verdicts"].values())
    assert [v.startswith("The diffusion describes") for v in verdicts] == [True, True, True, False]
    assert "anti-correlated" in verdicts[3]


def test_mistakes_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sgdyn", "fit", "--model", "nothing"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1 and capsys.readouterr().err.startswith("error: got 'nothing'")
