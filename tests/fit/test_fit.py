"""The main job: exact where it must be, failing where it must fail, the same when killed and run again."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn.fit import compare, report
from sgdyn.fit import run as job
from sgdyn.fit.evidence import circulation, control, evidence
from sgdyn.fit.run import Case, build, run_all, run_case, schedule
from tests.fit import browser, runs

SMALL = Case("softmax", lr=0.1, batch=256, directions=9, replicas=24, relaxations=12.0)


@pytest.fixture(scope="module")
def outcome():
    return run_case(SMALL)


def test_at_a_small_temperature_every_variance_and_time_is_the_exact_one_within_its_error(outcome):
    """The convex case: pulls of the nine stiff directions of softmax regression on the digits, as measured and controlled."""
    c = outcome.comparison
    for found, error in ((c, 0.12), (c.resolved, 5e-3)):
        pulls = [found.variance.pull(c.discrete), found.correlation_time.pull(c.correlation_time_discrete)]
        assert np.abs(pulls).max() < 4
        assert np.max(found.variance.error / c.discrete) < error
    assert c.verdict.holds and "describes" in str(c.verdict)
    assert np.abs(c.resolved.variance.pull(1.03 * c.discrete)).max() > 4


def test_the_engine_and_lyapunov_agree(outcome):
    c = outcome.comparison
    assert np.all(np.abs(c.simulated.value - c.diffusion) < 4 * c.simulated.error + 0.01 * c.diffusion)


def test_the_circulation_is_the_predicted_one_as_far_as_it_is_resolved(outcome):
    c = outcome.comparison
    upper = np.triu_indices(9, 1)
    for found in (c, c.resolved):
        pulls = ((found.Q.value - c.Q_discrete) / np.where(c.Q.error > 0, found.Q.error, 1))[upper]
        assert np.sqrt(np.mean(pulls**2)) < 1.5 and np.abs(pulls).max() < 4.5
        np.testing.assert_allclose(found.Q.value, -found.Q.value.T, atol=1e-12)
    out = int(np.sum(np.abs(c.Q.value[upper]) > 4 * c.Q.error[upper]))
    assert ("none of 36" if out == 0 else f"{out} of 36") in circulation(c)
    assert np.mean(np.abs(c.Q_discrete[upper]) > 4 * c.controlled.Q.error[upper]) > 0.3


def test_noise_and_curvature_along_the_run_are_those_at_the_minimum(outcome):
    c = outcome.comparison
    assert np.all(
        np.abs(np.diag(c.dressed.D.value - c.subspace.D))
        < 4 * np.diag(c.dressed.D.error) + 0.02 * np.diag(c.subspace.D)
    )
    assert np.all(np.abs(np.diag(c.dressed.F.value - c.subspace.H)) < 4.5 * np.diag(c.dressed.F.error))
    assert np.all(np.abs(c.innovation.value - 1) < 4 * c.innovation.error + 0.02)


def test_kurtosis_of_the_exact_iteration(outcome):
    c = outcome.comparison
    assert np.all(np.abs(c.kurtosis.value - c.kurtosis_discrete) < 4 * c.kurtosis.error)


def test_the_kurtosis_formula_is_right_for_few_samples_per_batch(rng):
    """One direction, batches of one heavy-tailed sample, brute force."""
    g = np.concatenate([np.full(95, 1.0), np.full(5, -19.0)])
    h, lr = 0.5, 0.4
    w = np.zeros(200_000)
    for _ in range(60):
        w = w - lr * (h * w + rng.choice(g, size=w.shape))
    fourth = np.mean(g**4) - 3 * np.mean(g**2) ** 2
    variance = lr**2 * np.mean(g**2) / (1 - (1 - lr * h) ** 2)
    predicted = lr**4 * fourth / (1 - (1 - lr * h) ** 4) / variance**2
    assert np.mean(w**4) / np.mean(w**2) ** 2 - 3 == pytest.approx(predicted, rel=0.05)


def test_the_epoch_sampler_fails_and_the_verdict_says_why():
    from dataclasses import replace

    c = run_case(replace(SMALL, batch=16, sampler="epoch", replicas=16, relaxations=6.0)).comparison
    verdict = c.verdict
    assert not verdict.holds
    assert "epoch sampler" in str(verdict) and "anti-correlated" in str(verdict)
    assert re.search(r"adds up to [\d.]+±[\d.]+ %", str(verdict)) and re.search(
        r"variances are [\d.]+±[\d.]+ ", str(verdict)
    )
    assert c.controlled is None and "no exact theory for the epoch sampler" in control(c)
    assert np.median(c.ratio("discrete").value) < 0.85


def test_large_steps_are_named_as_the_reason():
    from dataclasses import replace

    c = run_case(replace(SMALL, lr=0.6, batch=64, replicas=16)).comparison
    assert not c.verdict.holds and "steps are not small" in str(c.verdict)
    assert "correlated" not in str(c.verdict)
    assert c.verdict.discrete_deviation.value < c.verdict.deviation.value / 3


@pytest.mark.slow
def test_a_run_that_leaves_its_minimum_is_called_so():
    """Recorded around the wrong point; every reason that applies is named."""
    net = build(SMALL).minimize()
    space = net.subspace(4)
    moved = net.at(net.weights + 8e-2 * torch.as_tensor(space.basis[:, 0]))
    there = moved.subspace(basis=space.basis)
    recording = sg.nets.train(net, steps=600, lr=0.1, batch=256, replicas=8, record=there, every=4, seed=0).after(200)
    verdict = str(compare(recording, there, paths=0).verdict)
    assert (
        "has left the minimum" in verdict and "not a minimum (|grad U|" in verdict and "anti-correlated" not in verdict
    )


@pytest.mark.slow
def test_momentum_is_compared_with_the_heavy_ball():
    from dataclasses import replace

    c = run_case(replace(SMALL, lr=0.02, momentum=0.8, replicas=24, relaxations=8.0)).comparison
    assert isinstance(c.process, sg.Momentum)
    assert np.abs(c.variance.pull(c.discrete)).max() < 4.5 and np.abs(c.resolved.variance.pull(c.discrete)).max() < 4.5
    assert np.all(np.abs(c.simulated.value / c.diffusion - 1) < 4 * c.simulated.error / c.diffusion + 0.02)


def test_directions_that_no_noise_reaches_are_left_out_and_named():
    """An input that is always zero: along its weight the gradients of all samples vanish."""
    net = runs.network()
    padded = torch.cat([net.x, torch.zeros_like(net.x[:, :1])], dim=1)
    dead = sg.nets.Network(nn.Linear(4, 1).double(), nn.MSELoss(), (padded, net.y), weight_decay=0.3).minimize()
    space = dead.subspace(5)
    c = compare(runs.run(dead, space).after(250), space, paths=0)
    silent = int(np.argmin(np.diag(space.D)))
    assert list(np.flatnonzero(~c.noisy)) == [silent] and np.isnan(c.ratio().value[silent])
    assert c.verdict.holds and "in the 4 noisy of the top 5 directions" in str(c.verdict)
    assert "no noise reaches 1 of the directions" in evidence(c)[-1] and "of 6 elements" in circulation(c)


def test_the_schedule_follows_the_relaxation_times():
    net = build(SMALL).minimize()
    space = net.subspace(9)
    settle, steps, every = schedule(SMALL, space)
    slow = 1 / (SMALL.lr * space.H[8, 8])
    assert settle >= 200 and steps - settle >= 11 * slow and 1 <= every < slow


def test_everything_is_on_disk_and_a_killed_run_gives_the_same(tmp_path, monkeypatch):
    from dataclasses import replace

    case = replace(SMALL, directions=3, replicas=16, relaxations=6.0)
    seen = []
    run_all([case], tmp_path / "one", seen.append)
    report = (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert (
        report.count("<svg") == 5
        and "describe" in report
        and "as measured" in report
        and "SME-2" in report
        and "@software{sgdyn" in report
    )
    for outside in ("http:", "https:", "<script", "<link rel='stylesheet"):
        assert outside not in report.replace("http://www.w3.org/", "")
    if browser.CHROMIUM is not None:
        page = browser.check(tmp_path / "one" / "report.html", tmp_path, 5)
        assert len(page["tables"]) == 6 and all(table["width"] <= table["room"] + 1 for table in page["tables"])
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert (
        manifest["cases"][0]["seed"] == 0
        and manifest["versions"]["torch"]
        and str(seen[0].comparison.verdict) in manifest["verdicts"].values()
    )
    from sgdyn.nets import training

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    real = training._Run._advance

    def dying(self):
        if self.step == 150:
            raise KeyboardInterrupt
        real(self)

    monkeypatch.setattr(training._Run, "_advance", dying)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="interrupted"):
        run_all([case], tmp_path / "two", seen.append)
    monkeypatch.setattr(training._Run, "_advance", real)
    run_all([case], tmp_path / "two", seen.append)
    with np.load(tmp_path / "one" / "result.npz") as one, np.load(tmp_path / "two" / "result.npz") as two:
        assert sorted(one.files) == sorted(two.files)
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])
    assert (tmp_path / "one" / "report.html").read_bytes() == (tmp_path / "two" / "report.html").read_bytes()


TWO = [
    Case(name, "tests.fit.runs:layer", "tests.fit.runs:data", lr=0.1, batch=16, replicas=8, relaxations=4.0, weight_decay=0.05, seed=seed)
    for seed, name in enumerate(("one", "two"))
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_all(TWO, folder, lambda outcome: None)
    return folder


@pytest.mark.parametrize("part", [pytest.param("minimize", marks=pytest.mark.slow), "compare", pytest.param("write_report", marks=pytest.mark.slow)]
)  # fmt: skip
def test_killed_in_any_part_it_gives_the_same(part, whole, tmp_path, monkeypatch):
    """The kill comes in the second case, or while the report is written. No minimum is looked for twice."""
    owner = {"compare": job, "write_report": report}.get(part, sg.nets.Network)
    real, find, calls, looked = getattr(owner, part), sg.nets.Network.minimize, [], []

    def dying(*given, **options):
        calls.append(1)
        if len(calls) == (1 if part == "write_report" else 2):
            raise KeyboardInterrupt
        return real(*given, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, part, dying)
        run_all(TWO, tmp_path, lambda outcome: None)
    monkeypatch.setattr(sg.nets.Network, "minimize", lambda self, **options: looked.append(1) or find(self, **options))
    run_all(TWO, tmp_path, lambda outcome: None)
    assert len(looked) == (part == "minimize")
    for name in ("report.html", "result.npz"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_networks_of_users_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def model(): return nn.Linear(3, 1)\n"
        "def data():\n    g = torch.Generator().manual_seed(0)\n    x = torch.randn(80, 3, generator=g)\n    return x, x.sum(1, keepdim=True) + torch.randn(80, 1, generator=g)\n"
        "def loss(output, y): return ((output - y) ** 2).flatten(1).mean(1)\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    case = Case("mine", model="mine:model", data="mine:data", lr=0.02, batch=8, directions=4, replicas=16)
    for loss in ("auto", "mine:loss"):
        net = build(job.with_options(case, loss=loss, lr=None))
        assert net.dim == 4 and net.n == 80
    for name in ("mine:nothing", "mine:number", "nowhere:model", "softmix"):
        with pytest.raises(ValueError, match="expected"):
            job.resolve(name)


def test_too_few_replicas_have_no_errors():
    net = build(SMALL)
    space = net.subspace(2)
    recording = sg.nets.train(net, steps=20, lr=0.1, batch=8, replicas=2, record=space, seed=0)
    with pytest.raises(ValueError, match="at least 8"):
        compare(recording, space)
    with pytest.raises(ValueError, match="directions"):
        compare(sg.nets.train(net, steps=20, lr=0.1, batch=8, replicas=9, seed=0), space)
