"""Few paths, whose random numbers are made for many steps at once."""

import numpy as np
import pytest

import sgdyn as sg

WELL = sg.landscapes.double_well().problem(0.1)
SURFACE = sg.landscapes.muller_brown().problem(15.0)
CHAIN = sg.Langevin(sg.quadratic(np.diag([1.0, 2.0, 3.0]) + 0.3), T=0.5, D=0.2 + np.eye(3))
STARTS = {"one": (WELL, [0.0]), "two": (SURFACE, [-0.558, 1.442]), "linear": (CHAIN, np.zeros(3))}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": "single"},
        {"noise": "single", "rng": "fast"},
        {"refine": 3},
        {"noise": "single", "refine": 2},
        {"save": 250},
        {"method": sg.Heun()},
        {"method": sg.Adaptive()},
        {"method": sg.SRA1(), "noise": "single"},
        {"temperature": lambda t: 0.1 + t},
    ],
    ids=lambda options: ", ".join(options) or "plain",
)
def test_few_paths_are_the_first_of_many(name, options):
    process, start = STARTS[name]
    chosen = {"t": 777e-4, "dt": 1e-4, "seed": 1, "first_path": 2**32 - 3} | options
    many = sg.simulate(process, start, n_paths=100, **chosen).x
    for few in (1, 5, 8):
        np.testing.assert_array_equal(sg.simulate(process, start, n_paths=few, threads=1, **chosen).x, many[:few])


def test_few_arrivals_are_the_first_of_many():
    times = [
        sg.first_passage(
            WELL, [-1.0], lambda x: x[0] > 0.5, dt=0.01, n_paths=n, seed=3, correction=c, threads=1
        ).samples
        for c in ("shift", "bridge")
        for n in (3, 100)
    ]
    np.testing.assert_array_equal(times[0], times[1][:3])
    np.testing.assert_array_equal(times[2], times[3][:3])
    assert np.all(times[2] <= times[3].max()) and np.unique(times[0]).size == 3
