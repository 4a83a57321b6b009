"""What the noise does to the stationary state, as the study draws it."""

import numpy as np
import pytest

from sgdyn.studies import anisotropy


@pytest.mark.slow
def test_anisotropic_noise_leaves_the_minima_and_circulates():
    config = anisotropy.Config(cells=80)
    found = anisotropy.run(config)
    gaps = {
        name: np.linalg.norm(found[f"{name} maxima"][:, None] - anisotropy.minima(), axis=-1).min(axis=1).max()
        for name in anisotropy.NAMES
    }
    np.testing.assert_array_equal(anisotropy.loss.grad(anisotropy.minima()), 0.0)
    assert gaps["isotropic"] < 0.01 < 0.03 < gaps["anisotropic"] < 0.1 and gaps["state dependent"] > 0.2
    assert found["isotropic entropy"][0] < 1e-9
    for name in ("anisotropic", "state dependent"):
        value, error = found[f"{name} entropy"]
        assert value > 10 * error > 0
    text = anisotropy.summary(config, found)
    assert text.count("per unit time") == 3
    figure = anisotropy.draw(config, found)
    assert len(figure.axes) == 4
