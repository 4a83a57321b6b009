"""The study of a small network's escapes: what is known of it in closed form, and a small run."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.studies import network_escape as study

pytestmark = pytest.mark.slow
CONFIG = study.Config(smallest=4, sizes=1, levels=2, replicas=60, t=60.0, cells=40)


@pytest.fixture(scope="module")
def arrays():
    return study.run(CONFIG)


def test_both_minima_are_mirror_images_and_noise_depends_on_the_weights(arrays):
    np.testing.assert_allclose(arrays["minima"][0], arrays["minima"][1] * [1, -1], atol=1e-8)
    assert arrays["saddle"][1] == pytest.approx(0, abs=1e-8) and arrays["saddle"][0] > 0
    space = study.network(CONFIG).subspace(2, basis=np.eye(2))
    D = space.noise().matrix(np.array([arrays["saddle"], arrays["minima"][0]]) - study.CENTER)
    assert not np.allclose(*D, rtol=0.1)
    x, y = study.data()
    np.testing.assert_allclose(x, -x[::-1], atol=1e-12)
    np.testing.assert_allclose(y, -y[::-1])


def test_the_diffusion_of_the_real_noise_has_another_rate_than_with_noise_of_the_minimum(arrays):
    """0.00600 at 40, 60 and 90 cells (90 on a box wider by a sixth); Kramers' exponent alone would not tell them apart."""
    assert abs(arrays["diffusion"][0] - 0.00600) < 3e-5 and arrays["diffusion"][1] < 5e-5
    assert arrays["fixed D"][0] < 0.6 * arrays["diffusion"][0]


def test_measured_rates_have_errors_and_a_picture(arrays):
    for name in ("SGD", "Gaussian noise", "SVAG"):
        rate, error, lower, upper = arrays[name][:, :4].T
        assert np.all((lower < rate) & (rate < upper) & (error > 0) & np.isfinite(error))
    gauss = sg.Estimate(*arrays["Gaussian noise"][0, :2], "run")
    assert gauss.agrees(arrays["diffusion"][0])
    assert "SGD escapes" in study.summary(CONFIG, arrays)
    assert len(study.draw(CONFIG, arrays).axes) == 3
