"""Generators and solutions in other processes: they travel by cloudpickle, factors are found again there."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import numpy as np
import pytest

import sgdyn as sg
from tests.density.processes import LINE, WIDE, quartic, rotating

LINEAR = sg.Langevin.linear([[1.0, 0.8], [-0.8, 1.0]], T=0.1)
SQUARE = sg.Grid([(-2, 2, 16), (-2, 2, 16)])
PROCESSES = [
    (LINE, sg.Grid([(-2, 2, 40)])),
    (sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, T=1 / 3, D=WIDE), SQUARE),
    (sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, T=1 / 3, D=rotating), SQUARE),
    (sg.landscapes.maier_stein().problem(0.1), SQUARE),
    (sg.Momentum(quartic, T=1 / 3, friction=1.0), SQUARE),
    (LINEAR, SQUARE),
]
NAMES = ["line", "full", "rotating", "maier-stein", "momentum", "linear"]


def elsewhere(thing):
    return cloudpickle.loads(cloudpickle.dumps(thing))


def left(x):
    return x[0] < -1


def right(x):
    return x[0] > 1


@pytest.mark.parametrize(("problem", "grid"), PROCESSES, ids=NAMES)
def test_generators_and_solutions_travel(problem, grid):
    generator = sg.fokker_planck(problem, grid)
    start = np.full(grid.dim, 0.1)
    time, q = generator.mean_first_passage(right, moments=2), generator.committor(left, right)
    known = [
        time.at(start),
        time.component(1).at(start),
        q.at(start),
        generator.stationary().mean(),
    ]  # all caches are full
    found = elsewhere([generator, time, q, time.component(1)])
    assert found[1].cut.generator is found[0]
    np.testing.assert_array_equal(found[0].rates.toarray(), generator.rates.toarray())
    again = [found[1].at(start), found[3].at(start), found[2].at(start), found[0].stationary().mean()]
    for a, b in zip(known[:3], again[:3], strict=True):
        np.testing.assert_allclose(b.value, a.value, rtol=1e-9)
        np.testing.assert_allclose(b.error, a.error, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(again[3], known[3], atol=1e-9)


def test_a_process_without_formulas_travels_by_pickle():
    generator = sg.fokker_planck(LINEAR, SQUARE)
    generator.spectrum(2)
    found = cloudpickle.loads(pickle.dumps(generator))
    np.testing.assert_array_equal(found.rates.toarray(), generator.rates.toarray())


def test_what_generators_answer_travels():
    generator = sg.fokker_planck(LINE, sg.Grid([(-2, 2, 40)]))
    path = generator.evolve(generator.stationary(), [0.1, 0.2])
    answers = [generator.current(), generator.quasi_stationary(right), generator.spectrum(2), path, generator.coarse]
    current, quasi, spectrum, path, coarse = elsewhere(answers)
    assert current.values.shape == (40, 1) and quasi.rate.value > 0 and spectrum.functions.shape == (2, 40)
    assert path.at(0.3).masses.sum() == pytest.approx(1)
    np.testing.assert_allclose(coarse.rates.toarray(), generator.coarse.rates.toarray(), rtol=1e-10)


def test_threads_may_share_a_generator():
    generator = sg.fokker_planck(LINE, sg.Grid([(-2, 2, 40)]))
    with ThreadPoolExecutor(2) as pool:
        times = list(pool.map(lambda x: float(generator.mean_first_passage(right, [x])), (-1.0, -1.0)))
    assert times[0] == times[1]
