"""First-passage times against the exact double integral, and the refusal of what would be biased."""

import numpy as np
import pytest

import sgdyn as sg
from tests.interruption import interrupted_after

WELL = sg.landscapes.double_well()


@pytest.mark.parametrize("T", [0.1, 0.25])
def test_passage_times_agree_with_the_exact_integral_and_not_with_that_of_another_temperature(T):
    found = sg.first_passage(WELL.problem(T), [-1.0], lambda x: x[0] > 1, dt=0.005, n_paths=10_000, seed=1)
    assert found.agrees(WELL.answer("mean passage time -1 -> 1", T))
    assert not found.agrees(sg.mean_first_passage_1d(WELL.problem(1.1 * T), -1, 1))


def test_the_last_path_numbers_can_be_used():
    process, where = sg.Langevin.linear([[1.0]], T=0.5), {"dt": 0.01, "n_paths": 3, "first_path": 2**64 - 3, "seed": 1}
    times = sg.first_passage(process, [0.0], lambda x: x[0] > 0.3, correction=None, **where).samples
    x = sg.simulate(process, [0.0], t=0.01, save=1, **where).x
    same = sg.normals(1, paths=2**64 - 3 + np.arange(3, dtype=np.uint64), steps=1)[:, 0] * 0.1
    np.testing.assert_allclose(x[:, 0], same, rtol=1e-12)
    assert times.min() > 0 and len(set(times)) == 3


@pytest.mark.slow
def test_the_example_of_the_design_agrees_with_the_exact_value():
    @sg.potential(dim=2)
    def double_well(x, height=1.0, tilt=0.1):
        return height * (x[0] ** 2 - 1) ** 2 + tilt * x[0] + 2 * x[1] ** 2

    @sg.potential(dim=1)
    def along(x, height=1.0, tilt=0.1):
        return height * (x[0] ** 2 - 1) ** 2 + tilt * x[0]

    found = sg.first_passage(
        sg.Langevin(double_well, T=0.3), [-1, 0], lambda x: x[0] > 0.9, dt=2e-3, n_paths=10_000, seed=0
    )
    assert found.agrees(sg.mean_first_passage_1d(sg.Langevin(along, T=0.3), -1, 0.9))


DRIFTING = sg.Langevin.from_drift(lambda x: 1 + 0 * x, T=0.5, dim=1)


def bias(correction, dt, n=200_000, **options):
    """Brownian motion with drift 1 from 0 to 1: the mean is exactly 1."""
    found = sg.first_passage(
        DRIFTING, [0.0], lambda x: x[0] > 1, dt=dt, n_paths=n, seed=3, correction=correction, **options
    )
    return found.value - 1, found.error


def test_corrections_make_the_error_of_first_order_in_dt_and_without_it_is_of_half_order():
    (rough, _), (fine, _) = (bias(None, dt) for dt in (0.04, 0.01))
    assert 0.35 < np.log2(rough / fine) / 2 < 0.65
    for correction in ("shift", "bridge"):
        for dt in (0.04, 0.01):
            wrong, error = bias(correction, dt)
            assert abs(wrong) < 4 * error + 0.6 * dt and abs(wrong) < 0.2 * rough


def test_bridges_have_an_error_of_first_order_by_slope_and_extrapolation_removes_it():
    """The arrival of a bridge is set to the end of its step: late by dt/2 on average, to be seen by its slope."""
    steps = np.array([0.2, 0.1, 0.05])
    found = [bias("bridge", dt) for dt in steps]
    slope = np.polyfit(np.log(steps), np.log([b for b, _ in found]), 1, w=[b / e for b, e in found])[0]
    assert abs(slope - 1) < 0.15
    wrong, error = bias("bridge", 0.1, extrapolate=True)
    assert abs(wrong) < 4 * error + 0.15 * found[1][0]
    with pytest.raises(ValueError, match="'shift', 'bridge' or None"):
        bias("broken", 0.1)


def test_bridges_do_not_depend_on_threads_or_on_the_other_paths():
    options = {"dt": 0.01, "seed": 5, "correction": "bridge"}
    many = sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, n_paths=300, threads=2, **options)
    few = sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, n_paths=11, threads=1, **options)
    np.testing.assert_array_equal(few.samples, many.samples[:11])
    assert many.agrees(sg.mean_first_passage_1d(WELL.problem(0.3), -1, 1))


def test_the_correction_knows_anisotropic_and_varying_noise():
    for D, exact in (([[1.0, 0.6], [0.6, 4.0]], None), (lambda x: 1 + 0 * x[0] + 0.5 * np.sin(x[1]) ** 2, None)):
        process = sg.Langevin.from_drift(lambda x: np.array([1.0 + 0 * x[0], -x[1]]), T=0.5, D=D, dim=2)
        slow = sg.first_passage(process, [0.0, 0.0], lambda x: x[0] > 1, dt=0.02, n_paths=40_000, seed=1)
        fast = sg.first_passage(process, [0.0, 0.0], lambda x: x[0] > 1, dt=0.001, n_paths=40_000, seed=2)
        assert slow.agrees(1.0) and fast.agrees(1.0), exact  # the mean of x0 grows at rate 1 whatever D


def test_threads_and_other_paths_change_no_time():
    options = {"dt": 0.01, "seed": 5}
    many = sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, n_paths=300, threads=2, **options)
    few = sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, n_paths=11, threads=1, **options)
    np.testing.assert_array_equal(few.samples, many.samples[:11])


def test_python_drifts_arrive_at_the_same_times():
    opaque = sg.Potential.from_functions(lambda x: x[..., 0] ** 4 / 4 - x[..., 0] ** 2 / 2, lambda x: x**3 - x, dim=1)
    options = {"dt": 0.01, "seed": 5, "n_paths": 20}
    a, b = (sg.first_passage(sg.Langevin(U, T=0.3), [-1.0], lambda x: x[0] > 1, **options) for U in (opaque, WELL.U))
    np.testing.assert_allclose(a.samples, b.samples, atol=1e-9)


def test_regions_can_be_balls_boxes_and_complements():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    ball = sg.first_passage(flat, [0.0, 0.0], lambda x: np.linalg.norm(x) > 1, dt=1e-3, n_paths=20_000, seed=1)
    assert ball.agrees(0.5)  # R²/2 for Brownian motion in the plane
    box = sg.first_passage(
        flat, [0.0, 0.0], lambda x: ~((np.abs(x[0]) < 1) & (np.abs(x[1]) < 1)), dt=1e-3, n_paths=20_000, seed=1
    )
    assert box.agrees(0.58937)  # the torsion function of the square at its centre
    region = sg.Region.of(lambda x: (x[0] > 1) | (x[1] > 1), 2)
    np.testing.assert_array_equal(region.contains([[2, 0], [0, 2], [0, 0]]), [True, True, False])


def test_censored_means_are_refused_and_the_times_travel_in_the_error():
    with pytest.raises(sg.CensoredError, match="would be too small") as info:
        sg.first_passage(WELL.problem(0.1), [-1.0], lambda x: x[0] > 1, dt=0.01, n_paths=200, t_max=30, seed=1)
    error = info.value
    assert error.waiting == np.isnan(error.times).sum() > 0 and np.nanmax(error.times) <= error.limit == pytest.approx(
        30
    )


def test_a_region_out_of_reach_is_called_so():
    with pytest.raises(sg.CensoredError, match="none of"):
        sg.first_passage(WELL.problem(0.01), [-1.0], lambda x: x[0] > 50, dt=0.01, n_paths=20, t_max=5, seed=1)


def test_ctrl_c_carries_the_times_that_are_known():
    call = {"dt": 0.001, "n_paths": 2000, "seed": 1}
    with pytest.raises(sg.CensoredError, match="by t="):  # compiles what the second call needs
        sg.first_passage(WELL.problem(0.02), [-1.0], lambda x: x[0] > 1, t_max=0.1, **call)
    with interrupted_after(1.5), pytest.raises(sg.CensoredError, match="Ctrl-C"):
        sg.first_passage(WELL.problem(0.02), [-1.0], lambda x: x[0] > 1, **call)


def test_a_blow_up_is_no_arrival():
    steep = sg.potential(dim=1)(lambda x: x[0] ** 4 / 4)
    with pytest.raises(sg.BlowUpError, match="because it blew up") as info:
        sg.first_passage(sg.Langevin(steep, T=0.3), [-10.0], lambda x: x[0] > 20, dt=0.05, n_paths=30, seed=0)
    assert 0 < info.value.dt < 0.05


def test_jumps_have_no_brownian_correction():
    call = {"dt": 0.01, "n_paths": 50, "seed": 1, "method": sg.LevyEuler(alpha=1.5)}
    with pytest.raises(ValueError, match="correction=None"):
        sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, **call)
    found = sg.first_passage(
        sg.Langevin(sg.quadratic([1.0]), T=0.5), [0.0], lambda x: x[0] > 1, correction=None, **call
    )
    assert found.value > 0 and found.warnings


def test_walls_keep_paths_from_wandering_off():
    """Brownian motion between a mirror at 0 and a target at 1: the mean is 1/(2 D) times 1, exactly 1 here."""
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    found = sg.first_passage(
        flat, [0.0], lambda x: x[0] > 1, dt=1e-3, n_paths=10_000, seed=2, boundary=sg.box([(0, np.inf)])
    )
    assert found.agrees(1.0)


def test_bridges_know_regions_of_several_comparisons():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    outside = lambda x: (x[0] > 1) | (x[0] < -1) | (x[1] > 1) | (x[1] < -1)
    found = sg.first_passage(flat, [0.0, 0.0], outside, dt=0.01, n_paths=20_000, seed=1, correction="bridge")
    assert abs(found.value - 0.58937) < 4 * found.error + 0.01  # the torsion function of the square at its centre
    corner = lambda x: (x[0] > 0.5) & (x[1] > -9)
    process = sg.Langevin.from_drift(lambda x: np.array([1.0 + 0 * x[0], 0.0 * x[1]]), T=0.5, dim=2)
    assert sg.first_passage(process, [0.0, 0.0], corner, dt=1e-3, n_paths=20_000, seed=1, correction="bridge").agrees(
        0.5
    )


def test_what_first_passage_cannot_do_is_refused():
    call = {"dt": 0.01, "n_paths": 50, "seed": 1}
    with pytest.raises(ValueError, match="lattice"):
        sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, noise="weak", **call)
    with pytest.raises(ValueError, match="absorbing"):
        sg.first_passage(WELL.problem(0.3), [-1.0], lambda x: x[0] > 1, boundary=sg.box([(-2, 2)], "absorbing"), **call)


@sg.potential(dim=1)
def cliff_and_wall(x):
    """Flat, with a cliff beyond 1 where paths are lost after they arrived, and a wall beyond -1 too steep for dt=0.01."""
    return np.where(x[0] > 1.0, -50 * (x[0] - 1) ** 4, np.where(x[0] < -1.0, 500 * (x[0] + 1) ** 2, 0 * x[0]))


@pytest.mark.parametrize("honest", [0, 20, 400])
def test_paths_lost_after_they_arrived_hide_no_blow_up(honest):
    process, target = sg.Langevin(cliff_and_wall, T=0.3), lambda x: x[0] > 1
    start = np.array([[0.9]] * honest + [[-3.0]] * 20 + [[0.0]] * 20)
    with pytest.raises(sg.BlowUpError, match="because it blew up") as info:
        sg.first_passage(process, start, target, dt=0.01, seed=0)
    assert honest <= info.value.path < honest + 20


def test_paths_lost_after_they_arrived_are_no_blow_up():
    @sg.potential(dim=1)
    def cliff(x):
        return np.where(x[0] > 1.0, -50 * (x[0] - 1) ** 4, 5 * np.minimum(x[0], 0) ** 2)

    found = sg.first_passage(sg.Langevin(cliff, T=0.3), [0.9], lambda x: x[0] > 1, dt=0.01, n_paths=300, seed=0)
    assert np.all(found.samples > 0)


def test_one_path_is_refused_before_it_walks():
    for x0, n_paths in (([-1.0], 1), ([[-1.0]], None)):
        with pytest.raises(ValueError, match="at least 2"):
            sg.first_passage(WELL.problem(0.01), x0, lambda x: x[0] > 50, dt=0.01, n_paths=n_paths, seed=1)


FLAT = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)


def test_a_region_that_ends_at_a_periodic_wall_is_called_so_and_one_that_goes_on_is_right():
    """From 0 to the ends of (-1, 0.95): (0 + 1)(0.95 - 0)."""
    ring = {"boundary": sg.box([(-1, 1)], "periodic"), "dt": 0.01, "n_paths": 10_000, "seed": 11}
    ends = sg.first_passage(FLAT, [0.0], lambda x: x[0] > 0.95, **ring)
    assert not ends.agrees(0.95) and "periodic wall of x[0]" in str(ends)
    goes_on = sg.first_passage(FLAT, [0.0], lambda x: (x[0] > 0.95) | (x[0] < -1), extrapolate=True, **ring)
    assert goes_on.agrees(0.95) and not goes_on.warnings


def test_positions_of_momentum_are_not_called_late():
    where = {"dt": 0.05, "n_paths": 20, "seed": 1, "method": sg.BAOAB()}
    problem = sg.Momentum(sg.quadratic([1.0]), T=1.0)
    position, velocity = (
        sg.first_passage(problem, [0.0, 0.0], region, correction=None, **where)
        for region in (lambda x: x[0] > 0.5, lambda x: x[1] > 0.5)
    )
    assert not position.warnings and "sqrt(dt)" in velocity.warnings[0]
    shifted = sg.first_passage(problem, [0.0, 0.0], lambda x: x[0] > 0.5, **where)
    np.testing.assert_array_equal(position.samples, shifted.samples)
