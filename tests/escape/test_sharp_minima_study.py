"""The study of sharp minima: its landscape, its theory, and a small run of it."""

from dataclasses import replace

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.studies import sharp_minima as study

SMALL = study.Config(
    lowest=4.0,
    highest=6.0,
    temperatures=2,
    cells=1600,
    dt=0.002,
    finer=1,
    levels=100,
    walkers=40,
    repetitions=8,
    floor=0.5,
)


def test_the_wells_are_equally_deep_and_one_is_sharp():
    config = study.Config()
    flat, sharp = study.minima(config)
    U = study.loss(config)
    np.testing.assert_allclose(U([[flat], [sharp], [0.0]]), [0.5, 0.5, 1.5], atol=1e-12)
    np.testing.assert_allclose(U.grad([[flat], [sharp], [0.0]]), 0.0, atol=1e-10)
    h_flat, h_sharp, h_saddle = study.curvatures(config)
    assert h_sharp > 2.5 * h_flat > 0 > h_saddle
    for D in study.noises(config).values():
        assert float(D([flat])) == pytest.approx(1.0, abs=0.11)


def test_laplace_is_the_limit_of_the_exact_times_for_each_noise():
    """The relative error falls with T, as it must if prefactor and exponent are right: where D turns at the saddle, once the saddle is narrower than that."""
    config = replace(study.Config(), floor=0.3)
    for name, D in study.noises(config).items():
        temperatures = (0.005, 0.00125) if name == "D ∝ L H*" else (0.05, 0.0125)
        for start, end in (study.minima(config), study.minima(config)[::-1]):
            gaps = [
                abs(study.laplace(config, D, start, T) / float(sg.mean_first_passage_1d(sg.Langevin(study.loss(config), T, D), start, end)) - 1)
                for T in temperatures
            ]  # fmt: skip
            assert gaps[1] < max(0.5 * gaps[0], 1e-3)


@pytest.mark.slow
def test_a_small_run_agrees_with_itself_and_says_which_is_left_first():
    found = study.run(SMALL)
    for name in study.NOISES:
        pulls = (found[f"{name} simulated"] - found[f"{name} exact"]) / found[f"{name} error"]
        assert np.abs(pulls).max() < 4
        np.testing.assert_allclose(found[f"{name} grid"], found[f"{name} exact"], rtol=0.02)
    first, second, third = (study.ratios(found, name)["exact"] for name in study.NOISES)
    assert abs(np.log(first[1] / first[0])) < 0.1  # a factor, whatever T
    assert np.log(second[1] / second[0]) < -0.5 and np.log(third[1] / third[0]) < -0.5  # exponential in 1/T
    assert "sharp minimum" in study.summary(SMALL, found)
    assert len(study.draw(SMALL, found).axes) == 3
