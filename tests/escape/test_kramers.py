"""Asymptotic escape times against quadrature, published values and each other; each error covers what it says."""

import numpy as np
import pytest

import sgdyn as sg

WELL = sg.landscapes.double_well()
A = np.array([[1.0, 0.6], [0.6, 1.0]])


@sg.potential(dim=2)
def plane(x):
    """The double well and a stiff direction beside it."""
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2


@sg.potential(dim=2)
def narrows(x):
    """The entropic barrier of table C04A: the valley is narrow at the saddle."""
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + 2 * (1 + 9 * np.exp(-2 * x[0] ** 2)) * x[1] ** 2


@pytest.mark.parametrize(("order", "slope"), [(1, 1.0), (2, 2.0)])
def test_the_error_of_kramers_falls_with_the_right_power_of_T(order, slope):
    temperatures = np.array([0.0025, 0.005, 0.01])
    gaps = [
        abs(
            float(sg.kramers_time(WELL.problem(T), [-1], [0], order=order))
            / float(sg.mean_first_passage_1d(WELL.problem(T), -1, 1))
            - 1
        )
        for T in temperatures
    ]
    slopes = np.diff(np.log(gaps)) / np.diff(np.log(temperatures))
    assert slopes == pytest.approx(slope, abs=0.12)
    if order == 1:
        assert gaps[0] / temperatures[0] == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize(("T", "ratio"), [(0.025, 0.958), (0.05, 0.904), (0.1, 0.817)])
def test_table_c01(T, ratio):
    """Kramers/exact of the table C01; the error bar covers the exact value at both orders."""
    exact = WELL.answer("mean passage time -1 -> 1", T)
    leading, next_order = (sg.kramers_time(WELL.problem(T), [-1], [0], order=order) for order in (1, 2))
    assert float(leading) / exact == pytest.approx(ratio, abs=6e-4)
    assert abs(leading.pull(exact)) < 1 and abs(next_order.pull(exact)) < 1 and next_order.error < leading.error
    assert any("2.5 T" in note for note in leading.warnings) == (T == 0.1)


def test_separatrix_other_well_and_slowest_rate():
    """1/k to the other well, 1/2k to the separatrix, 2k the slowest rate."""
    T = 0.0125
    k = 1 / float(sg.kramers_time(WELL.problem(T), [-1], [0]))
    assert float(sg.mean_first_passage_1d(WELL.problem(T), -1, 1)) * k == pytest.approx(1, abs=0.01)
    assert float(sg.mean_first_passage_1d(WELL.problem(T), -1, 0)) * k == pytest.approx(0.5, abs=0.01)
    assert sg.chebyshev(WELL.problem(0.025), (-2.2, 2.2)).rates(2).value[1] * float(
        sg.kramers_time(WELL.problem(0.025), [-1], [0])
    ) == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(
    ("alpha", "exact"), [(0.0, 42.03553982563952475), (0.5, 48.072042733289830665), (1.0, 55.564816085398120784)]
)
def test_noise_that_depends_on_x_in_one_dimension(alpha, exact):
    """Table C03: D = 0.1 (1 + x²/2), drift x - x³ + alpha D'(x), in the senses of Itô, Stratonovich and anti-Itô."""
    problem = sg.Langevin.from_drift(
        lambda x: x - x**3 + alpha * 0.1 * x, T=1.0, D=lambda x: 0.1 * (1 + x[0] ** 2 / 2), dim=1
    )
    assert float(sg.mean_first_passage_1d(problem, -1, 1)) == pytest.approx(exact, rel=1e-12)
    found = sg.kramers_time(problem, [-1], [0])
    root = 1.0 if alpha == 0 else np.sqrt(1 + 0.1 * alpha)
    start = sg.mean_first_passage_1d(problem, -root, root)
    assert abs(found.pull(start)) < 1.5


@pytest.mark.parametrize(("T", "rate"), [(0.05, 1.42836428526e-3), (0.1, 1.81351633970e-2)])
def test_an_entropic_barrier(T, rate):
    """Table C04A, which is (x⁴/4 - x²/2) + 2 (1 + 9 e^{-2x²}) y²: slowest rate on a grid, by Eyring-Kramers, and by a + (T/2) log b."""
    problem = sg.Langevin(narrows, T)
    found = sg.fokker_planck(problem, sg.Grid([(-2.2, 2.2, 160), (-0.5 - 10 * T, 0.5 + 10 * T, 120)]))
    assert found.spectrum(2).values.value[1] == pytest.approx(rate, rel=1e-5)
    time = {0.05: 701.6714815, 0.1: 56.063021697}[T]
    assert abs(found.mean_first_passage(lambda x: x[0] >= 0, [-1, 0]).pull(time)) < 1
    kramers = sg.kramers_time(problem, [-1, 0], [0, 0])
    assert abs(kramers.pull(2 / rate)) < 1
    adiabatic = sg.potential(dim=1)(
        lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + T / 2 * np.log(1 + 9 * np.exp(-2 * x[0] ** 2))
    )
    assert sg.chebyshev(sg.Langevin(adiabatic, T), (-2.5, 2.5)).rates(2).value[1] == pytest.approx(rate, rel=1.5e-3)


@pytest.mark.parametrize(("T", "rate"), [(0.05, 1.99455397984e-3), (0.1, 2.34368238107e-2)])
def test_anisotropic_noise_that_keeps_the_density(T, rate):
    """Table C05R: lambda_+ = 0.73693168768529816 and the slowest rates."""
    growth = np.linalg.eigvals(-A @ plane.hess([0.0, 0.0])).max()
    assert growth == pytest.approx(0.73693168768529816, rel=1e-14)
    found = sg.kramers_time(sg.Langevin.gibbs(plane, T, A), [-1, 0], [0, 0])
    assert float(found) == pytest.approx(2 * np.pi / growth / np.sqrt(2) * np.exp(0.25 / T), rel=1e-12)
    assert abs(found.pull(2 / rate)) < 1.2


def test_the_trap_of_anisotropic_noise_with_a_separable_potential():
    """Table C05trap: the same D with drift -grad U: x alone decides, so the time is that of one dimension, not Langer's."""
    T = 0.05
    found = sg.kramers_time(sg.Langevin(plane, T, A), [-1, 0], [0, 0])
    line = float(sg.kramers_time(WELL.problem(T), [-1], [0], order=1))
    assert "Bouchet-Reygner" in found.method
    assert float(found) == pytest.approx(line, rel=2e-3)
    assert abs(found.pull(WELL.answer("mean passage time -1 -> 1", T))) < 1


@pytest.mark.slow
@pytest.mark.parametrize("T", [0.05])
def test_linear_changes_of_coordinates_change_nothing(T):
    """x -> B x, D -> B D B' for Langer and for Bouchet and Reygner."""
    B = np.array([[1.3, 0.4], [-0.2, 0.7]])
    inverse = np.linalg.inv(B)

    @sg.potential(dim=2)
    def moved(y):
        x = inverse @ y
        return x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2

    well, saddle = B @ [-1.0, 0.0], [0, 0]
    reversible = sg.kramers_time(sg.Langevin.gibbs(moved, T, B @ A @ B.T), well, saddle)
    expected = sg.kramers_time(sg.Langevin.gibbs(plane, T, A), [-1, 0], [0, 0])
    assert float(reversible) == pytest.approx(float(expected), rel=1e-10)
    assert reversible.error == pytest.approx(expected.error, rel=1e-3)

    def drift(y):
        x = inverse @ y
        return B @ np.array([x[0] - x[0] ** 3 - 6.67 * x[0] * x[1] ** 2, -(1 + x[0] ** 2) * x[1]])

    turned = sg.kramers_time(sg.Langevin.from_drift(drift, 0.02, B @ B.T, dim=2), well, saddle)
    straight = sg.kramers_time(sg.landscapes.maier_stein(6.67).problem(0.02), [-1, 0], [0, 0])
    assert float(turned) == pytest.approx(float(straight), rel=5e-3)


def test_units_of_time_and_energy():
    a, b = 3.0, 7.0
    scaled = sg.potential(dim=2)(lambda x: a * (x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2))
    one = float(sg.kramers_time(sg.Langevin.gibbs(plane, 0.05, A), [-1, 0], [0, 0]))
    assert float(sg.kramers_time(sg.Langevin.gibbs(scaled, 0.05 * a, b * A), [-1, 0], [0, 0])) == pytest.approx(
        one / (a * b), rel=1e-10
    )


def test_a_current_that_keeps_the_density_speeds_up_escape():
    """drift -(1 + J) grad U, J = [[0, j], [-j, 0]]: lambda_+ of -(1 + J) H_s, and a grid."""
    j, T = 1.0, 0.05
    curl = lambda x: np.array([-j * 2 * x[1], j * (x[0] ** 3 - x[0])])
    problem = sg.Langevin(plane, T, 1.0, curl)
    found = sg.kramers_time(problem, [-1, 0], [0, 0])
    growth = np.linalg.eigvals(-(np.eye(2) + np.array([[0, j], [-j, 0]])) @ np.diag([-1.0, 2.0])).real.max()
    assert float(found) == pytest.approx(2 * np.pi / growth / np.sqrt(2) * np.exp(5), rel=1e-10)
    assert float(found) < 0.75 * float(sg.kramers_time(sg.Langevin(plane, T), [-1, 0], [0, 0]))
    grid = sg.fokker_planck(problem, sg.Grid([(-1.9, 1.9, 140), (-1.1, 1.1, 80)]))
    assert abs(found.pull(2 / grid.spectrum(2).values.value[1].real)) < 1.2


@pytest.mark.parametrize(
    ("friction", "rate", "off"), [(0.03, 6.26857e-4, 0.24), (0.1, 1.49194540e-3, 0.15), (1.0, 1.78535019763e-3, 0.08), (10.0, 2.75371951188e-4, 0.1)]
)  # fmt: skip
def test_underdamped_escape_over_three_decades_of_friction(friction, rate, off):
    """Table C10, T = 0.05: Mel'nikov and Meshkov are off by as much as the dossier says, and the error covers it."""
    found = sg.kramers_time(sg.Momentum(WELL.U, 0.05, friction), [-1], [0])
    assert 0 < 2 / float(found) / rate - 1 < off
    assert abs(found.pull(2 / rate)) < 1


def test_strong_friction_in_two_dimensions_is_the_overdamped_limit():
    found = sg.kramers_time(sg.Momentum(plane, 0.02, 50.0), [-1, 0], [0, 0])
    assert float(found) / 50 == pytest.approx(
        float(sg.kramers_time(sg.Langevin(plane, 0.02), [-1, 0], [0, 0])), rel=1e-3
    )
    weak = sg.kramers_time(sg.Momentum(plane, 0.05, 0.01), [-1, 0], [0, 0])
    assert any("friction is weak" in note for note in weak.warnings)


def test_depopulation_has_its_limits():
    from sgdyn.escape.turnover import depopulation

    assert depopulation(1e-4) == pytest.approx(1e-4, rel=0.03)
    assert depopulation(40.0) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("T", "ratio"), [(0.02, 0.94), (0.015, 0.96)])
def test_maier_stein_with_its_two_instantons(T, ratio):
    """Exact time over that of Bouchet and Reygner: 0.94 and 0.96; with the Lyapunov solution at the saddle it would be 0.62 of it, with one instanton half."""
    problem = sg.landscapes.maier_stein(10.0).problem(T)
    found = sg.kramers_time(problem, [-1, 0], [0, 0])
    assert "2 ways out" in found.method
    grid = sg.fokker_planck(problem, sg.Grid([(-1.7, 1.7, 300), (-0.9, 0.9, 150)]))
    exact = grid.mean_first_passage(lambda x: x[0] > 0.9, [-1, 0])
    assert float(exact) / float(found) == pytest.approx(ratio, abs=0.02) and abs(found.pull(exact)) < 1


@pytest.mark.parametrize(
    "alpha", [pytest.param(5.0, marks=pytest.mark.slow), pytest.param(6.67, marks=pytest.mark.slow), 10.0]
)
def test_barriers_of_maier_and_stein(alpha):
    """Table C06: half the squared deviation is twice the barrier."""
    from sgdyn.escape.fluctuation import Graph, _least, _starts, instantons

    system = sg.landscapes.maier_stein(alpha)
    graph = Graph(system.problem(0.02), np.array([-1.0, 0.0]), np.array([0.0, 0.0]))
    least = min(graph.action(c)[0] for s in _starts(graph, 0.3) if (c := _least(graph, s)) is not None)
    expected = system.answer("least action (-1, 0) -> (0, 0), half the squared deviation")
    assert 2 * least == pytest.approx(expected, rel=1e-5)
    ways = instantons(system.problem(0.02), np.array([-1.0, 0.0]), np.array([0.0, 0.0]))
    assert len(ways) == 2 and ways[0] == pytest.approx(ways[1] * [1, -1], abs=2e-3)


@pytest.mark.slow
def test_a_given_path_takes_the_place_of_the_one_that_is_found():
    """Of two mirror paths one leads to half the rate; the straight line of alpha = 10 is no path of least action, and seen not to be."""
    from sgdyn.escape.fluctuation import instantons

    problem = sg.landscapes.maier_stein(10.0).problem(0.015)
    both = sg.kramers_time(problem, [-1, 0], [0, 0])
    way = instantons(problem, np.array([-1.0, 0.0]), np.array([0.0, 0.0]))[0]
    assert float(sg.kramers_time(problem, [-1, 0], [0, 0], path=way)) == pytest.approx(2 * float(both), rel=1e-3)
    line = np.stack([np.linspace(-1, 0, 800), np.zeros(800)], axis=1)
    with pytest.raises(ValueError, match="caustic"):
        sg.kramers_time(problem, [-1, 0], [0, 0], path=line)


def test_several_saddles_add_their_rates():
    ring = sg.potential(dim=2)(lambda x: (x[0] ** 2 - 1) ** 2 + (x[1] ** 2 - 1) ** 2 + 0.5 * (x[0] - 1) * (x[0] + 1))
    problem = sg.Langevin(ring, 0.05)
    points = sg.critical_points(ring, (-2, 2))
    saddles = points.saddles[np.any(points.graph.edges == 0, axis=1)]
    each = [float(sg.kramers_time(problem, points.minima[0], s)) for s in saddles]
    both = sg.kramers_time(problem, points.minima[0], saddles)
    assert len(each) >= 2 and 1 / float(both) == pytest.approx(sum(1 / t for t in each), rel=1e-12)
    assert "rates added" in both.method


@pytest.mark.parametrize("softness", [-0.05, 0.0, 0.05, 0.2])
def test_a_pitchfork_at_the_saddle_is_integrated_with_its_quartic(softness):
    """U = x⁴/4 - x²/2 + softness y²/2 + (x² + ...) y²/2 + y⁴/4, against a grid: Gaussian integrals would be infinite at 0."""
    T = 0.02
    U = sg.potential(dim=2)(
        lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + (softness + x[0] ** 2) * x[1] ** 2 / 2 + x[1] ** 4 / 4
    )
    problem = sg.Langevin(U, T)
    found = sg.kramers_time(problem, [-1, 0], [0, 0])
    assert "Berglund-Gentz" in found.method and any("soft" in note for note in found.warnings)
    grid = sg.fokker_planck(problem, sg.Grid([(-1.7, 1.7, 120), (-1.3, 1.3, 80)]))
    exact = 2 / grid.spectrum(2).values.value[1]
    assert abs(found.pull(exact)) < 1 and found.error < 0.5 * float(found)


def test_the_term_of_order_T_knows_how_D_varies():
    """With D(x) (slope at the well and at the saddle) the error with the next order still falls as T²."""
    gaps = []
    for T in (0.004, 0.008):
        problem = sg.Langevin(WELL.U, T, lambda x: 1 + 0.5 * x[0] ** 2 + 0.3 * x[0])
        found = sg.kramers_time(problem, [-1], [0])
        gaps.append(abs(float(found) / float(sg.mean_first_passage_1d(problem, -1, 1)) - 1))
    assert np.log2(gaps[1] / gaps[0]) == pytest.approx(2, abs=0.2)


def test_the_quartic_of_a_soft_direction_follows_the_others():
    """U = -x²/2 + z² + y²(x + z) + y⁴: x = y² and z = -y²/2 follow, C_4 = 1 + 1/2 - 1/4 in closed form."""
    from sgdyn.escape.pitchfork import soft_direction

    U = sg.potential(dim=3)(lambda x: -(x[0] ** 2) / 2 + x[2] ** 2 + x[1] ** 2 * (x[0] + x[2]) + x[1] ** 4)
    soft = soft_direction(U.hess, np.zeros(3), np.eye(3), 0.01)
    assert (
        soft is not None
        and soft.quartic == pytest.approx(1.25, rel=1e-8)
        and soft.curvature == pytest.approx(0, abs=1e-12)
    )
    B = np.array([[1.2, 0.3, 0], [-0.2, 0.8, 0.1], [0, 0.4, 1.1]])
    metric = B @ B.T
    inverse = np.linalg.inv(B)
    moved = soft_direction(lambda y: inverse.T @ U.hess(inverse @ y) @ inverse, np.zeros(3), metric, 0.01)
    assert moved is not None and moved.quartic == pytest.approx(1.25, rel=1e-7)


def test_what_is_refused_says_what_to_do():
    with pytest.raises(ValueError, match=r"barrier of 0\.5 T"):
        sg.kramers_time(WELL.problem(0.5), [-1], [0])
    with pytest.raises(ValueError, match="no barrier"):
        sg.kramers_time(sg.Langevin(plane, 0.05), [-1, 0], [1, 0])
    with pytest.raises(ValueError, match="critical point"):
        sg.kramers_time(sg.Langevin(plane, 0.05), [-1, 0], [0.5, 0.8])
    with pytest.raises(ValueError, match="expected a minimum"):
        sg.kramers_time(sg.Langevin(plane, 0.05), [0, 0], [1, 0])
    with pytest.raises(ValueError, match="freeze"):
        sg.kramers_time(sg.Langevin(plane, 0.05, lambda x: 1 + x[0] ** 2), [-1, 0], [0, 0])
    with pytest.raises(ValueError, match="type D=1"):
        sg.kramers_time(sg.Momentum(plane, 0.05, 1.0, A), [-1, 0], [0, 0])
    with pytest.raises(ValueError, match="order"):
        sg.kramers_time(WELL.problem(0.05), [-1], [0], order=3)
    with pytest.raises(TypeError, match="process"):
        sg.kramers_time(plane, [-1, 0], [0, 0])
    with pytest.raises(ValueError, match=r"\(2,\)"):
        sg.kramers_time(sg.Langevin(plane, 0.05), [-1, 0], [0, 0, 0])
    saddle_node = sg.potential(dim=2)(
        lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[0] ** 2 * x[1] ** 2 / 2 - x[1] ** 4 / 4
    )
    with pytest.raises(ValueError, match="twice"):
        sg.kramers_time(WELL.problem(0.05), [-1], [[0], [1e-4]])
    with pytest.raises(ValueError, match="at one point"):
        sg.kramers_time(WELL.problem(0.05), [-1], [-1])
    with pytest.raises(ValueError, match="degenerate"):
        sg.kramers_time(sg.Langevin(saddle_node, 0.02), [-1, 0], [0, 0])


def test_gibbs_noise_that_depends_on_x_takes_D_at_the_saddle():
    problem = sg.Langevin.gibbs(plane, 0.05, lambda x: 1 + x[0] ** 2)
    constant = sg.kramers_time(sg.Langevin(plane, 0.05), [-1, 0], [0, 0])
    assert float(sg.kramers_time(problem, [-1, 0], [0, 0])) == pytest.approx(float(constant), rel=1e-12)
