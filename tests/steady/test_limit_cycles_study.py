"""The example of Chaudhari and Soatto, as the study draws it: what stays, what grows, and what sees it."""

import numpy as np
import pytest

from sgdyn.studies import limit_cycles


@pytest.fixture(scope="module")
def found():
    config = limit_cycles.Config(cells=60, n_paths=64, t=100.0)
    return config, limit_cycles.run(config)


def test_modes_stay_and_currents_grow(found):
    """The densities are solved for from the drift alone."""
    _, arrays = found
    for k in range(3):
        np.testing.assert_allclose(np.sort(arrays[f"modes {k}"][:, 0]), [-1, 1], atol=0.02)
        np.testing.assert_allclose(arrays[f"modes {k}"][:, 1], 0, atol=0.02)
    value, error = arrays["production"].T
    exact = limit_cycles.PRODUCTION * arrays["strength"] ** 2
    assert np.all(
        np.abs(value - exact) <= 2 * error + 1e-6 * exact
    )  # the box, beyond which a millionth lies and np.all(error <= 0.02 * exact + 1e-12)


def test_there_is_no_limit_cycle(found):
    """All paths without noise come nearer and nearer to the origin, as t^-1/2: a weak spiral, purely imaginary to first order."""
    _, arrays = found
    early, late = arrays["radii"].T
    assert np.all(late < early) and np.all(early < 0.3)
    np.testing.assert_allclose(late / early, 0.5, atol=0.05)
    origin = limit_cycles.scene(1.5).drift.gradient()([0.0, 0.0])
    np.testing.assert_allclose(np.linalg.eigvals(origin).real, 0, atol=1e-12)
    for strength in (0.77, 0.79):
        growth = np.linalg.eigvals(limit_cycles.scene(strength).drift.gradient()([0.0, 0.0])).real.max()
        assert (growth > 1e-9) == (strength < np.exp(-0.25))


def test_only_the_antisymmetric_covariance_changes_with_the_direction_of_time(found):
    _, arrays = found
    for k, strength in enumerate(limit_cycles.STRENGTHS):
        turned, spectra = arrays[f"reversed {k}"]
        assert turned < 1e-12 and spectra < 1e-6
        value, error = limit_cycles.slope(arrays, k)
        expected = limit_cycles.mean_Q() * strength  # to first order in the lag of 0.1
        assert abs(value - expected) < 4 * error + 0.08 * expected
        assert (value > 8 * error) == (strength > 0)
    assert limit_cycles.mean_Q() == pytest.approx(0.41209492455958413593, rel=1e-9)  # pi/Z, mpmath


def test_the_text_and_the_picture(found):
    config, arrays = found
    text = limit_cycles.summary(config, arrays)
    assert "spiral into the origin" in text and "at 0.0" in text
    assert len(limit_cycles.draw(config, arrays).axes) == 6
