"""Every result draws itself, on new axes or given ones."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import sgdyn as sg
from tests.nets import models


@pytest.fixture(scope="module")
def results():
    well, plane = sg.landscapes.double_well(), sg.landscapes.double_well_2d(0.1)
    paths = sg.simulate(plane.problem(0.3), [-1, 0], t=2, dt=0.01, n_paths=50, save=21, seed=0)
    line = sg.simulate(well.problem(0.3), [-1], t=2, dt=0.01, n_paths=50, save=21, seed=0)
    net = models.network().minimize()
    space = net.subspace(3)
    plane_box, line_box = sg.Grid([(-2, 2, 20)] * 2), sg.Grid([(-2, 2, 30)])
    grids = [sg.fokker_planck(plane.problem(0.3), plane_box), sg.fokker_planck(well.problem(0.3), line_box)]
    recording = sg.nets.train(net, steps=200, lr=0.1, batch=8, replicas=8, record=space, every=4, seed=0)
    return {
        "landscape": plane, "landscape without potential": sg.landscapes.maier_stein(), "one dimension": well, "paths": paths, "line": line, "final": paths.component(0),
        "passage": sg.first_passage(well.problem(0.3), [-1], lambda x: x[0] > 1, dt=0.01, n_paths=50, seed=0), "vector": paths.mean(),
        "density": paths.histogram(sg.Grid([(-2, 2, 20), (-2, 2, 20)])), "density 1d": line.histogram(sg.Grid([(-2, 2, 20)])),
        "linear": sg.linear_stationary(sg.Langevin(sg.quadratic([[2, 0.3], [0.3, 1]]), D=[1.0, 0.3])), "spectrum": net.hessian().top(3), "recording": recording,
        "current": grids[0].current(sg.gaussian(plane_box, [-1, 0.5], [0.1, 0.1])), "current 1d": grids[1].current(), "no current": grids[0].current(),
        "evolution": grids[0].evolve([-1, 0], [0.1, 1.0]), "evolution 1d": grids[1].evolve([-1], np.linspace(0, 3, 20)),
        "bare recording": sg.nets.train(net, steps=20, lr=0.1, batch=8, seed=0), "comparison": sg.fit.compare(recording, space, paths=16),
        "discrete": sg.discrete_sgd(np.diag([2.0, 0.7]), np.eye(2), lr=0.1, batch=8), "epoch": sg.epoch_sgd(np.diag([2.0, 0.7]), np.eye(2), lr=0.1, batch=8, n=100),
    }  # fmt: skip


def test_every_result_has_a_picture(results):
    for name, result in results.items():
        ax = sg.plot.figure(result)
        ax.figure.canvas.draw()
        assert ax.has_data(), name
        assert ax.get_xlabel() or ax.get_title(), name
        plt.close(ax.figure)


def test_results_draw_themselves_on_given_axes(results):
    figure, axes = plt.subplots(1, 2)
    assert results["paths"].plot(axes[0]) is axes[0]
    for draw in (sg.plot.pulls, sg.plot.times, sg.plot.circulation):
        assert draw(results["comparison"], axes[1]) is axes[1]
    plt.close(figure)


def test_what_has_no_picture_says_what_has():
    with pytest.raises(TypeError, match="Ensemble"):
        sg.plot.figure(np.zeros(3))
    with pytest.raises(TypeError, match="dimension 3"):
        sg.plot.figure(sg.quadratic([1.0, 1.0, 1.0]))
