"""What speaks against the diffusion, in runs of which it is known."""

import numpy as np
import pytest

import sgdyn as sg
from tests.fit.runs import network, run

NET = network()
PROCESS = sg.Langevin.linear([[1.0, 0.5], [-0.5, 2.0]], T=0.5, D=[[1.0, 0.3], [0.3, 0.8]])


def path(problem=PROCESS, dt=0.1, times=2000, replicas=8, **options):
    chosen = {"dt": dt, "n_paths": replicas, "seed": 0, "save": times + 200, "method": sg.ExactLinear()} | options
    return sg.simulate(problem, [0.0, 0.0], t=(times + 200) * dt, **chosen).x[:, 200:]


@pytest.mark.slow
def test_small_steps_and_large_batches_leave_nothing_to_say():
    found = sg.fit.validity(NET, lr=0.05, batch=256, k=4, gaussian=True, replicas=12, relaxations=4)
    assert not found.failing, str(found)
    half = found["edge of stability"].size.value  # lr h_max/2, which is the error of the stiffest direction
    assert 0.5 * half < found["small steps"].size.value <= half
    normal = found["Gaussian noise in its place"].size
    assert abs(found["SVAG(4)"].size.value) < 0.1 and abs(normal.value) < 0.05 + 4 * normal.error < 0.5
    assert found.plot() is not None
    with pytest.raises(KeyError, match="small steps"):
        found["no such thing"]


def test_large_steps_and_small_batches_fail_by_name():
    """The exact theory of the quadratic loss says by how much; SVAG, which has smaller steps, sees it without that theory."""
    found = sg.fit.validity(NET, lr=0.3, batch=8, k=4, replicas=16)
    failing = [each.name for each in found.failing]
    assert {"small steps", "variances, diffusion", "SVAG(4)"} <= set(failing)
    assert found["edge of stability"].size.value > 0.5 and "fails" in found.verdict
    assert found["Gaussian noise"].size.value > 2


@pytest.mark.slow
def test_the_epoch_sampler_is_no_white_noise():
    found = sg.fit.validity(NET, lr=0.02, batch=64, k=4, sampler="epoch", replicas=16, relaxations=6)
    assert found["white noise"].state == "fails" and found["white noise"].size.value < -0.3
    space = NET.subspace(4)
    recording = run(NET, space, sampler="epoch", replicas=32, every=1, batch=150).after(400)
    alone = sg.fit.validity(recording)
    assert alone["white noise"].state == "fails" and alone["white noise"].size.value < -0.2
    assert "epoch" in str(alone)
    plain = sg.fit.validity(run(NET, space, replicas=32, every=1, batch=150).after(400))
    assert plain["white noise"].state == "holds" and plain["stationary"].state == "holds"


def test_a_linear_process_holds_and_what_is_none_does_not(rng):
    fair = sg.fit.validity(path(), dt=0.1)
    assert [each.state for each in fair.findings] == ["holds"] * 6, str(fair)
    assert "holds here" in fair.verdict
    tails = sg.simulate(
        sg.Langevin.linear(np.eye(2), T=0.5, D=np.eye(2)), [0.0, 0.0], t=150, dt=0.01, n_paths=8, save=1501, seed=1,
        method=sg.LevyEuler(1.7),
    ).x  # fmt: skip
    assert sg.fit.validity(tails, dt=0.1)["Gaussian noise"].state == "fails"
    hidden = path()[..., :1]
    turning = sg.Langevin.linear([[0.2, 3.0], [-3.0, 0.2]], T=0.5, D=np.eye(2))
    assert sg.fit.validity(path(turning)[..., :1], dt=0.1)["Markov"].state == "fails"
    assert sg.fit.validity(hidden, dt=0.1)["Gaussian noise"].state == "holds"
    walk = np.cumsum(rng.standard_normal((8, 500, 2)), axis=1)
    assert "confined" in sg.fit.validity(walk, dt=1.0).verdict


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match=r"type sgdyn\.fit\.validity"):
        sg.fit.validity(NET)
    with pytest.raises(ValueError, match="momentum"):
        sg.fit.validity(run(NET, NET.subspace(3), momentum=0.5, replicas=8, steps=200))
    heavy = sg.fit.validity(NET, lr=0.02, batch=128, k=4, momentum=0.5, replicas=16, relaxations=5, amplification=2)
    assert heavy["SVAG(2)"].state == "holds" and "underdamped" in str(heavy)
