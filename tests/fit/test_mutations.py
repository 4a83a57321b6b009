"""Theories that are wrong on purpose, and recordings that are not what they are said to be: each must fail, with and without momentum."""

from dataclasses import replace

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.fit import compare, moments
from sgdyn.fit.evidence import circulation, evidence
from sgdyn.nets.subspace import Subspace
from sgdyn.steady.discrete import DiscreteSGD
from sgdyn.steady.linear import LinearStationary
from tests.fit import runs

BATCHES = "same batches does not follow its own exact theory"


@pytest.fixture(scope="module")
def net():
    return runs.network()


@pytest.fixture(scope="module")
def space(net):
    return net.subspace(4)


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["plain", "momentum"])
def recording(net, space, request):
    return runs.run(net, space, momentum=request.param).after(250)


def claimed(recording, subspace):
    """The comparison as if the recording had been made on that subspace."""
    return compare(replace(recording, subspace=subspace.digest()), subspace, paths=0)


def fails(comparison, *words):
    verdict = comparison.verdict
    assert not verdict.holds
    for word in words:
        assert word in str(verdict)


def test_the_right_theory_holds_as_measured(recording, space):
    """Raw numbers against theory, and the size of their errors."""
    c = compare(recording, space, paths=0)
    assert c.verdict.holds and str(c.verdict).startswith("The diffusion describes this run to")
    for check, limit in zip(c.checks, (0.03, 0.06, 0.15), strict=True):
        assert abs(check.size.value - 1) < 4 * check.size.error < 4 * limit
    assert all(check.passed for check in c.shadow_checks) and c.controlled is not None
    assert "have the sense as predicted" in circulation(c)


def test_the_measured_column_is_the_recording_and_nothing_else(recording, space):
    c = compare(recording, space, paths=0)
    x = recording.x - recording.x.mean(axis=(0, 1))
    np.testing.assert_allclose(c.variance.value, np.mean(x**2, axis=(0, 1)), rtol=2e-3)
    C = np.einsum("rti,rtj->ij", x[:, 1:], x[:, :-1]) / (x.shape[0] * (x.shape[1] - 1))
    s = recording.settings
    T = s.lr / (1 - s.momentum) / (2 * s.batch) * (1 - s.momentum)
    np.testing.assert_allclose(
        c.Q.value, -(C - C.T) / (2 * T * s.lr * s.every), rtol=1e-3, atol=1e-3 * np.abs(c.Q.value).max()
    )
    shadowless = replace(recording, shadow=recording.shadow[..., :0])
    other = compare(shadowless, space, paths=0)
    np.testing.assert_array_equal(other.variance.value, c.variance.value)
    assert other.controlled is None and other.verdict.holds and "not available" in " ".join(evidence(other))


def test_another_subspace_is_refused(recording, space, net):
    for other in (
        replace(space, D=2 * space.D), replace(space, H=1.5 * space.H), net.subspace(basis=np.random.default_rng(0).normal(size=(net.dim, 4))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="another subspace"):
            compare(recording, other, paths=0)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_wrong_noise_or_curvature_fails(recording, space, factor):
    fails(claimed(recording, replace(space, D=factor * space.D)), BATCHES, "as measured")
    fails(claimed(recording, replace(space, H=factor * space.H)), BATCHES)
    fails(
        claimed(recording, replace(space, H=factor * space.H, D=factor * space.D)), BATCHES, "lagged"
    )  # the variances stay right


def test_wrong_settings_fail(recording, space):
    for name, value in (("batch", 32), ("batch", 128), ("lr", 2 * recording.settings.lr)):
        fails(
            compare(replace(recording, settings=replace(recording.settings, **{name: value})), space, paths=0), BATCHES
        )


def test_another_basis_fails(recording, space, net):
    """Of the same span: directions turned among themselves."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    fails(claimed(recording, net.subspace(basis=space.basis @ turn)), BATCHES)


def test_a_recording_run_backwards_fails_by_its_circulation(recording, space):
    """Every variance and correlation time is the same backwards."""
    back = {name: getattr(recording, name)[:, ::-1] for name in ("x", "shadow", "gradients")}
    c = compare(replace(recording, **back), space, paths=0)
    fails(c, "circulation Q -", BATCHES)
    assert c.checks[0].passed and c.checks[1].passed and not c.checks[2].passed
    assert "opposite to the prediction" in circulation(c)
    only = compare(replace(recording, x=recording.x[:, ::-1]), space, paths=0)  # and if the shadow is left alone
    fails(only, "as measured, without control variate: circulation Q -")


def test_a_temperature_wrong_by_two_in_all_theories_fails(recording, space, monkeypatch):
    right = DiscreteSGD.noise.fget
    monkeypatch.setattr(DiscreteSGD, "noise", property(lambda self: 2 * right(self)))
    _double_temperature(monkeypatch)
    fails(compare(recording, space, paths=0), BATCHES, "variances 0.5", "as measured")


def test_a_temperature_wrong_by_two_in_the_diffusion_alone_fails_and_steps_are_not_blamed(
    recording, space, monkeypatch
):
    _double_temperature(monkeypatch)
    c = compare(recording, space, paths=0)
    fails(c, "one of the two is wrong")
    assert "steps are not small" not in str(c.verdict) and BATCHES not in str(c.verdict)


def _double_temperature(monkeypatch):
    right = Subspace.local_model
    wrong = lambda self, **options: (lambda p: replace(p, T=2 * p.T))(right(self, **options))
    monkeypatch.setattr(Subspace, "local_model", wrong)


def test_predicted_variances_wrong_by_three_fail(recording, space, monkeypatch):
    before = compare(recording, space, paths=0).variance.value
    lagged, continuous = DiscreteSGD.lagged_covariance, LinearStationary.lagged_covariance
    monkeypatch.setattr(DiscreteSGD, "lagged_covariance", lambda self, lag: 3 * lagged(self, lag))
    monkeypatch.setattr(LinearStationary, "lagged_covariance", lambda self, lag: 3 * continuous(self, lag))
    c = compare(recording, space, paths=0)
    fails(c, "as measured", "variances 0.3")
    np.testing.assert_array_equal(c.variance.value, before)  # the measured column does not follow the theory
    np.testing.assert_allclose(c.controlled.variance.value, before, rtol=0.15)  # nor does the controlled one


def test_the_opposite_sign_of_the_measured_circulation_fails(recording, space, monkeypatch):
    right = moments._turning
    monkeypatch.setattr(moments, "_turning", lambda *args: -right(*args))
    fails(compare(recording, space, paths=0), "circulation Q -")


def test_a_run_that_has_hardly_begun_is_not_stationary(net, space):
    for momentum in (0.0, 0.8):
        early = runs.run(net, space, momentum=momentum, steps=60, lr=1e-3, every=1)
        c = compare(early, space, paths=0)
        fails(c, "not stationary", ".after(")
        assert c.memory.max() > 0.5 and np.all(c.variance.value < 0.8 * c.discrete)
        assert all(check.passed for check in c.shadow_checks)  # its transient is known, so that it is not blamed


def test_a_run_that_was_started_elsewhere_has_no_control_variate(net, space):
    """Far away, and cut where the theory of a run from rest would be stationary."""
    start = net.weights.numpy() + 10.0 * space.basis[:, 3]
    recording = sg.nets.train(
        net, steps=700, lr=0.02, batch=64, replicas=64, record=space, every=5, seed=0, start=start
    ).after(100)
    c = compare(recording, space, paths=0)
    assert c.controlled is None
    fails(c, BATCHES, "did not begin at the center")


@pytest.mark.slow
def test_a_drift_of_the_variance_within_the_recording_is_seen(net, space, recording):
    """The first half from a run with twice the batch size: right on average, and not stationary."""
    s = recording.settings
    calm = runs.run(net, space, momentum=s.momentum, batch=256).after(250)
    half = len(recording.steps) // 2
    mixed = {
        name: np.concatenate([getattr(calm, name)[:, :half], getattr(recording, name)[:, half:]], axis=1)
        for name in ("x", "shadow", "gradients")
    }
    fails(compare(replace(recording, **mixed), space, paths=0), "not stationary", "between the halves")


def test_too_short_a_run_says_so(net, space):
    short = runs.run(net, space, replicas=8, steps=300).after(250)
    fails(compare(short, space, paths=0), "too short to tell")
