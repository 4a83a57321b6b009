"""The studies of spectra, small."""

import numpy as np
import pytest

from sgdyn.studies import noise_spectrum, perform, sloppy


@pytest.mark.slow
def test_the_noise_spectrum_is_that_of_the_network_at_each_time(tmp_path):
    config = noise_spectrum.Config(samples=90, hidden=3, epochs=5, batch=30)
    found, place = perform("noise_spectrum", config, tmp_path)
    start = noise_spectrum.network(config, "hidden layer")
    np.testing.assert_allclose(found["hidden layer D"][0].sum(), float(start.noise().trace()), rtol=1e-12)
    np.testing.assert_allclose(found["hidden layer H"][0].sum(), np.trace(start.hessian().dense()), rtol=1e-10)
    for name in noise_spectrum.MODELS:
        D, p = found[f"{name} D"], found[f"{name} D"].shape[1]
        np.testing.assert_allclose(np.diag(found[f"{name} matrix cosine"]), 1, rtol=1e-12)
        assert np.all(
            found[f"{name} shape cosine"] >= found[f"{name} matrix cosine"] - 1e-12
        )  # von Neumann's inequality
        by_rule = noise_spectrum.rank_curve(D[-1], np.array([p * noise_spectrum.FLOAT32]))[0] * p
        assert found[f"{name} ranks"][-1, 2] == pytest.approx(by_rule)
        assert np.all(np.diff(noise_spectrum.rank_curve(D[0], np.geomspace(1e-12, 1, 20))) <= 0)
        assert found[f"{name} loss"][-1] < found[f"{name} loss"][0]
    text = (place / "table.txt").read_text()
    assert text.count("100%") == 2 and "participation" in text
    assert "single precision" in noise_spectrum.summary(config, found)
    assert len(noise_spectrum.draw(config, found).axes) == 6


def test_stored_images_are_averaged_to_seven_pixels(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x_train=x, y_train=np.arange(20) % 4)
    config = noise_spectrum.Config(data=str(tmp_path / "images.npz"), samples=16)
    found, labels = noise_spectrum.images(config)
    assert found.shape == (16, 49) and labels.tolist() == [0, 1, 2, 3] * 4
    assert found[0, 1] / found[0, 0] == pytest.approx(x[0, :4, 4:8].mean() / x[0, :4, :4].mean())
    assert noise_spectrum.network(config, "softmax").dim == 49 * 4 + 4
    np.savez(tmp_path / "images.npz", x_train=x[:, :10, :10], y_train=np.arange(20) % 4)
    with pytest.raises(ValueError, match="multiple of 7"):
        noise_spectrum.images(config)
    with pytest.raises(ValueError, match="at least a step"):
        noise_spectrum.run(noise_spectrum.Config(samples=20, epochs=1))


@pytest.mark.slow
def test_sloppy_inputs_make_sloppy_networks(tmp_path):
    config = sloppy.Config(samples=150, tests=200, hidden=4, weight_decay=1e-3, slopes=2, repeats=2, groups=2)
    size = np.square(sloppy.inputs(config, "digits")[0]).sum(1).mean()
    for name in ("sloppy", "isotropic"):
        x, y = sloppy.inputs(config, name)
        assert np.square(x).sum(1).mean() == pytest.approx(size, rel=0.1) and set(y) <= set(range(10))
    x, _ = sloppy.teacher(config, 0.1, 20_000, 0)
    np.testing.assert_allclose(np.polyfit(np.arange(64), np.log(x.var(0)), 1)[0], -0.1, atol=1e-3)
    found, place = perform("sloppy", config, tmp_path)
    ranks = {name: found[f"{name} Gauss-Newton rank"][0] for name in sloppy.INPUTS}
    assert ranks["isotropic"] > 2 * ranks["digits"]
    assert found["isotropic data rank"][0] > 2 * found["sloppy data rank"][0]
    assert found["test errors"].shape == (2, 2) and np.all(found["train errors"] <= found["test errors"])
    assert len((place / "table.txt").read_text().splitlines()) == 1 + 3 * len(sloppy.SHOWN)
    assert "participation" in sloppy.summary(config, found)
    assert len(sloppy.draw(config, found).axes) == 4
