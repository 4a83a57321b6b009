"""The study of the linear scaling rule, small."""

import numpy as np
import pytest

from sgdyn.studies import linear_scaling


@pytest.mark.slow
def test_small_steps_follow_the_diffusion_and_large_ones_the_exact_iteration():
    config = linear_scaling.Config(directions=3, replicas=16, relaxations=6.0)
    arrays = linear_scaling.run(config)
    for model in linear_scaling.MODELS:
        measured, error, discrete = (arrays[f"{model}.{name}"] for name in ("measured", "error", "discrete"))
        assert np.abs(measured[0] - 1).max() < 0.1 + 3 * error.max()
        assert np.all(np.abs(measured - discrete) < 0.05 + 4 * error)
        assert np.all(np.diff(measured[:, 0]) > 0) and measured[2, 0] - 1 > 4 * error[2, 0]
    assert arrays["mlp.measured"][2].max() > 1.15 and not arrays["mlp.holds"][2]
    assert "mlp: variances differ" in linear_scaling.summary(config, arrays)
    assert len(linear_scaling.draw(config, arrays).axes) == 2
