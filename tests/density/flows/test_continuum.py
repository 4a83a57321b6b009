"""The Fokker-Planck solution beside a flow, drifts that would be dropped, curls in turns, and what flows say of their errors."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import sgdyn as sg

START = stats.norm(-0.5, 0.4)
BOX = sg.Grid([(-3, 3, 120)])
PLANE = sg.Grid([(-4, 4, 24)] * 2)
ROUND = sg.gaussian(PLANE, [1.0, 0.0], [0.3, 0.3])


@sg.potential(dim=1)
def well(x):
    return (x[0] ** 2 - 1) ** 2


def swirl(turn=2.0):
    return sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), curl=lambda x: np.array([-turn * x[1], turn * x[0]]))


ROTATING = sg.Langevin.from_drift(lambda x: np.array([-x[0] - 5 * x[1], 5 * x[0] - x[1]]), T=1.0, dim=2)


def free(mean, variance, T):
    """Of a normal density in x²/2."""
    return 0.5 * (mean**2 + variance) - 0.5 * T * (np.log(2 * np.pi * variance) + 1)


@pytest.mark.parametrize(("start", "method", "near"), [
    (sg.GaussianState([1.0], [[0.3]]), sg.Gaussian(), 1e-12),
    (sg.GaussianState([1.0], [[0.3]]), sg.Particles(400, "affine"), 1e-12),
    (stats.norm(1.0, np.sqrt(0.3)), sg.Quantile(), 2e-4),
    (sg.gaussian(sg.Grid([(-5, 5, 400)]), [1.0], [0.3]), sg.Quantile(), 5e-4),
    (sg.gaussian(sg.Grid([(-5, 5, 400)]), [1.0], [0.3]), sg.Graph(), 5e-4),
])  # fmt: skip
def test_the_solution_beside_flows_is_that_of_the_same_times(start, method, near):
    """Ornstein-Uhlenbeck: m e^-t, T + (s - T) e^-2t."""
    T = 0.5
    flow = sg.jko(sg.Langevin(sg.quadratic([[1.0]]), T), start, tau=0.05, n=8, method=method)
    t = flow.times
    np.testing.assert_allclose(flow.continuous, free(np.exp(-t), T + (0.3 - T) * np.exp(-2 * t), T), atol=near)
    # steps are implicit: energies above, by an amount of first order
    assert 0 < (flow.energies - flow.continuous)[-1] < 0.05


def test_the_solution_of_another_equation_is_none():
    process = sg.Langevin(sg.quadratic([[1.0]]), 0.5)
    others = [
        sg.PotentialEnergy(sg.quadratic([[9.0]], [2.0])) + sg.Entropy(0.5),
        sg.PotentialEnergy(process.U) + sg.Entropy(0.4),
        sg.PotentialEnergy(process.U) + sg.PorousMedium(2.0),
        sg.Entropy(0.5),
    ]
    for start, method in ((sg.gaussian(BOX, [0.0], [0.3]), sg.Graph()), (START, sg.Quantile(100))):
        for energy in others:
            assert sg.jko(process, start, tau=0.05, n=1, energy=energy, method=method).continuous is None
        again = sg.PotentialEnergy(process.U) + sg.Entropy(0.25) + sg.Entropy(0.25)
        given = sg.jko(process, start, tau=0.05, n=1, energy=again, method=method).continuous
        np.testing.assert_allclose(given, sg.jko(process, start, tau=0.05, n=1, method=method).continuous, rtol=1e-12)
    normal = sg.GaussianState([0.0], [[0.3]])
    assert sg.jko(process, normal, tau=0.05, n=1, energy=others[0], method=sg.Gaussian()).continuous is None


def test_quantiles_far_out_have_no_grid_that_is_fine_enough():
    flow = sg.jko(sg.Langevin(sg.quadratic([[1.0]])), stats.cauchy(), tau=0.1, n=1)
    assert flow.continuous is None and np.all(np.isfinite(flow.energies))


def test_pictures_have_the_energy_beside_the_densities():
    flow = sg.jko(sg.Langevin(well, 1 / 3), START, tau=0.1, n=3, method=sg.Quantile(100))
    ax = flow.plot()
    ax.figure.canvas.draw()
    beside = ax.figure.axes[1]
    assert beside.get_ylabel() == "energy" and len(beside.lines) == 2 and not ax.child_axes
    assert beside.get_position().x0 > ax.get_position().x1
    plt.close(ax.figure)
    figure = plt.figure()
    assert flow.plot(figure.add_axes((0.1, 0.1, 0.4, 0.8))).has_data()
    plt.close(figure)


def test_drifts_are_not_dropped_for_an_energy():
    energy = sg.PotentialEnergy(sg.quadratic([1.0, 1.0])) + sg.Entropy(1.0)
    linear = sg.Langevin.linear([[1.0, 2.0], [-2.0, 1.0]])
    for process in (ROTATING, linear):
        with pytest.raises(ValueError, match="no free energy"):
            sg.jko(process, ROUND, tau=0.1, n=1, energy=energy)
        for more in ({}, {"energy": energy}):
            with pytest.raises(ValueError, match="curl="):
                sg.jko(process, ROUND, tau=0.1, n=1, split="curl", **more)
    balanced = sg.Langevin.linear([[1.0, 0.0], [0.0, 2.0]])
    assert len(sg.jko(balanced, ROUND, tau=0.1, n=1, energy=energy)) == 2


def test_curls_turn_with_the_energy_of_their_problem_only():
    other = sg.PotentialEnergy(sg.quadratic([4.0, 1.0])) + sg.Entropy(1.0)
    with pytest.raises(ValueError, match="free energy of the problem"):
        sg.jko(swirl(), ROUND, tau=0.1, n=1, split="curl", energy=other)
    given = sg.PotentialEnergy(sg.quadratic([1.0, 1.0])) + sg.Entropy(1.0)
    flows = [sg.jko(swirl(), ROUND, tau=0.1, n=2, split="curl", energy=energy) for energy in (None, given)]
    np.testing.assert_array_equal(flows[0].energies, flows[1].energies)


def test_what_taking_turns_leaves_is_measured():
    """Smaller steps do not take away what cells add; smaller cells do."""
    left = {}
    for cells, n in ((24, 4), (24, 16), (48, 16)):
        rho = sg.gaussian(sg.Grid([(-4, 4, cells)] * 2), [1.0, 0.0], [0.3, 0.3])
        flow = sg.jko(swirl(), rho, tau=0.4 / n, n=n, method=sg.Graph(2), split="curl")
        exact = sg.fokker_planck(swirl(), rho.grid).evolve(rho, 0.4)
        left[cells, n] = np.abs(flow[-1].masses - exact.masses).sum()
        assert f"{left[cells, n]:.2g} (L1)" in flow.warnings[0]
    assert left[24, 16] > 0.5 * left[24, 4] and left[48, 16] < 0.4 * left[24, 16]
    still = sg.jko(sg.Langevin(sg.quadratic([1.0, 1.0])), ROUND, tau=0.1, n=1, split="curl")
    assert still.split is None and not any("split" in text for text in still.warnings)


def test_energies_of_points_have_errors_of_sampling():
    """Where the points of a start are the user's: var of x²/2 is 1/2, entropies count from theirs."""
    points = np.random.default_rng(3).normal(size=(800, 1))
    process = sg.Langevin(sg.quadratic([[1.0]]), 0.5)
    flow = sg.jko(process, points, tau=0.1, n=1, method=sg.Particles(map="affine"))
    assert flow.errors[0] == pytest.approx(np.std(points**2 / 2) / np.sqrt(800), rel=1e-12)
    assert flow.errors[0] == pytest.approx(np.sqrt(0.5 / 800), rel=0.15)
    assert any(f"{flow.errors[0]:.2g} at the start" in text for text in flow.warnings)
    assert not sg.jko(process, START, tau=0.1, n=1).errors.any()


def test_going_on_keeps_the_errors(tmp_path):
    settings = {"tau": 0.1, "method": sg.Particles(200, "affine"), "checkpoint": tmp_path}
    process, start = sg.Langevin(sg.quadratic([[1.0]])), sg.GaussianState([1.0], [[0.2]])
    first = sg.jko(process, start, n=2, **settings)
    np.testing.assert_allclose(sg.jko(process, start, n=2, **settings).errors, first.errors, rtol=1e-12)


def test_boxes_cells_and_masses_are_mentioned():
    process = sg.Langevin(well, T=1 / 3)
    small = sg.gaussian(sg.Grid([(-0.9, 0.9, 40)]), [-0.5], [0.16])
    for method in (sg.Graph(), sg.Quantile(200)):
        found = " ".join(sg.jko(process, small, tau=0.1, n=2, method=method).warnings)
        assert "walls at the start" in found and "walls at the end" in found
    coarse = sg.gaussian(sg.Grid([(-2, 2, 6)] * 2), [-0.5, 0.0], 0.16 * np.eye(2))
    steep = sg.jko(sg.Langevin(sg.quadratic([100.0, 100.0])), coarse, tau=0.1, n=1, method=sg.Graph())
    assert any("cells do not resolve" in text for text in steep.warnings)
    seven = sg.jko(process, sg.Density(BOX, 7 * sg.gaussian(BOX, [-0.5], [0.16]).values), tau=0.1, n=1)
    assert any("mass 7" in text for text in seven.warnings)
    assert not sg.jko(process, sg.gaussian(BOX, [-0.5], [0.16]), tau=0.1, n=1).warnings


def test_entropic_flows_say_their_bias():
    """Variances of a normal density at rest: h s² = T + e² tau h/(8 T) against what comes out."""
    grid, tau = sg.Grid([(-4, 4, 80)]), 0.8
    flow = sg.jko(
        sg.Langevin(sg.quadratic([[1.0]]), 0.5),
        sg.gaussian(grid, [0.0], [0.5]),
        tau=tau,
        n=8,
        method=sg.Entropic(tolerance=1e-8),
    )
    excess = flow[-1].cov()[0, 0] / 0.5 - 1
    said = float(flow.warnings[-1].split("about ")[1].split(" %")[0]) / 100
    assert said == pytest.approx(excess, rel=0.25) and said > 0.03


def test_distances_of_second_order_steps_are_those_of_the_densities():
    rho = sg.gaussian(BOX, [0.8], [0.2])
    process = sg.Langevin(sg.quadratic([[1.0]]), 0.5)
    for order in (1, 2):
        flow = sg.jko(process, rho, tau=0.02, n=2, method=sg.Graph(order))
        np.testing.assert_allclose(flow.w2, [flow[k].w2(flow[k + 1]) for k in range(2)], rtol=0.03)
