"""The study of reachability: valleys that are equal by construction, a gate that is not; and small runs of it."""

import numpy as np
import pytest

from sgdyn.studies import reachability as study

CONFIG = study.Config()


@pytest.mark.slow
def test_valleys_and_costs_are_equal_and_prefactors_are_not():
    """Depths, eigenvalues of the Hessians and heights of the gates; Kramers' rates differ by the curvatures across the gates."""
    U, process = study.landscape(CONFIG), study.problem(CONFIG)
    points = np.array([[study.valley(CONFIG, s), study.gate(CONFIG, s)] for s in study.SIDES])
    np.testing.assert_allclose(U(points), [[0, 1], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(U.grad(points), 0, atol=1e-12)
    np.testing.assert_allclose(*np.linalg.eigvalsh(U.hess(points[:, 0])), rtol=1e-12)
    across = U.hess(points[:, 1])[:, 1, 1]
    np.testing.assert_allclose(across, CONFIG.k * np.exp([0, CONFIG.narrowing]), rtol=1e-6)
    rates = [study._roads(CONFIG, process, side)["rate"] for side in study.SIDES]
    expected = np.prod(np.linalg.eigvalsh(U.hess(points[:, 1]))[:, 1:], axis=1)
    assert rates[0] > 5 * rates[1] and expected[1] > 30 * expected[0]


def test_strings_through_a_narrow_gate_find_its_height():
    """Accelerated steps swing ever wider there: the string begins anew without."""
    for side in study.SIDES:
        found = study._roads(CONFIG, study.problem(CONFIG), side)
        assert found["barrier"] == pytest.approx(1.0, abs=1e-9)
        value, error = found["action"]
        assert abs(value - 1) < 2 * error + 1e-6 and error < 1e-3
        assert np.linalg.norm(found["path"] - study.gate(CONFIG, side), axis=1).min() < 1e-6


@pytest.mark.slow
def test_a_small_run_agrees_with_itself():
    config = study.Config(cells=120, times=6, latest=400.0, n_paths=400, dt=0.002, simulated=50.0)
    found = study.run(config)
    for side in study.SIDES:
        times = found[f"{side} late"]
        on_grid = np.exp(np.interp(np.log(times), np.log(found["t"]), np.log(found[f"{side} grid"][:, 0])))
        value, error = found[f"{side} simulation"].T
        assert np.all(np.abs(value - on_grid)[1:] < 4 * error[1:] + 0.25 * on_grid[1:])
    laplace, on_grid = found["wide laplace"][0], found["wide grid"][0]
    assert abs(laplace[0] - on_grid[0]) < 2 * laplace[1] + 2 * on_grid[1]
    odds = found["narrow odds"]
    assert np.all(np.diff(odds) > 0) and odds[-1] < found["wide rate"] / found["narrow rate"] < 1.3 * odds[-1]
    growth = np.log(found["high odds"][-1] / found["high odds"][-2]) / np.diff(found["beta"])[-1]
    assert growth == pytest.approx(config.raised, rel=0.05)
    assert "static factors 1" in study.summary(config, found)
    assert len(study.draw(config, found).axes) == 4
    assert found["samples"].shape[-1] == 2
