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


def test_the_summary_is_not_the_largest_of_many_deviations():
    """Noise alone: of 200 summaries one in ten has a chance below 0.1; one direction that differs is seen."""
    rng, chances = np.random.default_rng(1), []
    for _ in range(200):
        noise = rng.normal(size=(3, 8)) * 0.01
        arrays = {"mlp.measured": 1 + noise, "mlp.error": np.full((3, 8), 0.01), "mlp.discrete": np.ones((3, 8))}
        chances.append(float(linear_scaling._gap(arrays, "mlp", 0, "discrete").split()[-1]))
    assert 0.05 < np.mean(np.array(chances) < 0.1) < 0.16
    arrays["mlp.measured"] = arrays["mlp.measured"] + np.array([0.1, 0, 0, 0, 0, 0, 0, 0])
    assert float(linear_scaling._gap(arrays, "mlp", 0, "discrete").split()[-1]) < 1e-6
