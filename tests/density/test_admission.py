"""What grids refuse, and what they warn of."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.admission import BYTES_STRAIGHT

BOWL = sg.quadratic(np.eye(2))
ROUND = sg.potential(dim=1)(lambda x: np.cos(x[0]))


def thin(x):
    """Rank one, along a direction that no whole numbers have."""
    return np.array([[1.0, 2**0.5], [2**0.5, 2.0]]) + 0 * x[0]


def test_an_indefinite_D_is_refused_with_the_place():
    process = sg.Langevin(BOWL, T=1.0, D=lambda x: [[1.0, 2 * x[0]], [2 * x[0], 1.0]])
    with pytest.raises(ValueError, match=r"eigenvalue -2\.8 at \[-?1\.9, -?1\.9\]"):
        sg.fokker_planck(process, sg.Grid([(-2, 2, 20)] * 2))
    line = sg.Langevin(sg.quadratic([[1.0]]), T=1.0, D=lambda x: [[x[0]]])
    with pytest.raises(ValueError, match=r"eigenvalue -1\.95 at \[-1\.95\]"):
        sg.fokker_planck(line, sg.Grid([(-2, 2, 40)]))
    sg.fokker_planck(line, sg.Grid([(0, 2, 40)]))


def test_a_rounding_below_zero_is_no_negative_D():
    process = sg.Langevin(sg.quadratic([[1.0]]), T=1.0, D=lambda x: [[x[0] ** 2 - 1e-14]])
    assert sg.fokker_planck(process, sg.Grid([(-1, 1, 41)])).stationary().masses.sum() == pytest.approx(1)


@pytest.mark.parametrize("low", [-2, -1.95])
def test_a_D_that_vanishes_over_part_of_the_box(low):
    process = sg.Langevin(sg.quadratic([[1.0]]), T=1.0, D=lambda x: [[np.maximum(x[0], 0.0)]])
    generator = sg.fokker_planck(process, sg.Grid([(low, 2, 40)]))
    assert generator.log_masses is None
    rho = generator.stationary()
    assert rho.masses.sum() == pytest.approx(1) and rho.solver_error < 1e-8
    still = sg.Langevin.from_drift(lambda x: -np.maximum(x, 0.0), T=1.0, D=lambda x: [[np.maximum(x[0], 0.0)]], dim=1)
    with pytest.raises(ValueError, match="parts of the box that no path leaves"):
        sg.fokker_planck(still, sg.Grid([(-2, 2, 40)])).stationary()


@pytest.mark.parametrize("box", [(-4, 5), (-4, 4)])
def test_potentials_that_do_not_fit_around_are_refused(box):
    with pytest.raises(ValueError, match=r"periodic axis 0.*from_drift"):
        sg.fokker_planck(sg.Langevin(sg.quadratic([[1.0]]), T=1.0), sg.Grid([(*box, 64)], "periodic"))
    with pytest.raises(ValueError, match="periodic axis 1"):
        sg.fokker_planck(sg.Langevin(BOWL, T=1.0), sg.Grid([(*box, 20)] * 2, ["reflecting", "periodic"]))
    tilted = sg.potential(dim=1)(lambda x: np.cos(x[0]) - 0.3 * x[0])
    with pytest.raises(ValueError, match="a constant tilt"):
        sg.fokker_planck(sg.Langevin(tilted, T=1.0), sg.Grid([(0, 2 * np.pi, 64)], "periodic"))


def test_what_fits_around_is_taken():
    ring = sg.Grid([(0, 2 * np.pi, 64)], "periodic")
    assert sg.fokker_planck(sg.Langevin(ROUND, T=0.1), ring).reversible
    drift = sg.Langevin.from_drift(lambda x: np.array([np.sin(x[0]) + 0.3]), T=1.0, dim=1)
    steady = sg.fokker_planck(drift, ring).current()
    assert np.ptp(steady.values) < 1e-9 and steady.values.mean() > 0.01
    even = sg.Langevin.from_drift(lambda x: np.array([0.3 + 0 * x[0]]), T=1.0, dim=1)
    np.testing.assert_allclose(sg.fokker_planck(even, ring).current().values, 0.3 / (2 * np.pi), rtol=1e-9)


def test_curls_drifts_and_D_that_do_not_fit_around_are_refused():
    """The curl is checked as the potential is; what goes round is taken."""
    ring = sg.Grid([(0, 2 * np.pi, 24), (-3, 3, 20)], ["periodic", "reflecting"])
    valley = sg.potential(dim=2)(lambda x: np.cos(x[0]) + 0.5 * x[1] ** 2)
    with pytest.raises(ValueError, match=r"got curl = \[.*periodic axis 0"):
        sg.fokker_planck(sg.Langevin(valley, T=1.0, curl=lambda x: np.array([0.1 * x[0], 0.0])), ring)
    wind = sg.Langevin(valley, T=1.0, curl=lambda x: np.array([0.3 + 0.1 * np.sin(x[0]), 0.0]))
    assert sg.fokker_planck(wind, ring).stationary().masses.sum() == pytest.approx(1)
    line = sg.Grid([(0, 1, 24)], "periodic")
    with pytest.raises(ValueError, match="got drift"):
        sg.fokker_planck(sg.Langevin.from_drift(lambda x: np.sin(x) ** 2, T=1.0, dim=1), line)
    with pytest.raises(ValueError, match="got T D"):
        sg.fokker_planck(sg.Langevin.gibbs(sg.potential(dim=1)(lambda x: 0 * x[0]), D=lambda x: [[1 + x[0]]]), line)


def test_a_linear_drift_without_slope_goes_round():
    ring = sg.Grid([(0, 1, 16)], "periodic")
    process = sg.Langevin.linear([[0.0]], T=1.0)
    assert sg.fokker_planck(process, ring).stationary().values == pytest.approx(1)
    with pytest.raises(ValueError, match="periodic axis 0"):
        sg.fokker_planck(sg.Langevin.linear([[1.0]], T=1.0), ring)


def test_grids_that_no_memory_holds_are_refused_at_once(monkeypatch):
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(MemoryError, match="2500000000 cells that needs about"):
        sg.fokker_planck(sg.Langevin(BOWL, T=1.0), sg.Grid([(-5, 5, 50_000)] * 2))
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.reset_peak()
    sg.fokker_planck(sg.Langevin(BOWL, T=1.0), sg.Grid([(-5, 5, 150)] * 2)).rates
    assert 0.5 < tracemalloc.get_traced_memory()[1] / 150**2 / BYTES_STRAIGHT[1] < 1.2
    tracemalloc.stop()
    monkeypatch.setenv("SGDYN_MEMORY", "0.001")
    with pytest.raises(MemoryError, match="SGDYN_MEMORY=1"):
        sg.fokker_planck(sg.Langevin(BOWL, T=1.0), sg.Grid([(-5, 5, 100)] * 2))


def test_thickened_D_is_mentioned_everywhere():
    generator = sg.fokker_planck(sg.Langevin.gibbs(BOWL, T=1.0, D=thin), sg.Grid([(-4, 4, 24)] * 2))
    assert generator.lattice.added > 0
    rho = generator.evolve([0.1, 0.2], 0.1)
    told = (generator.stationary(), rho, generator.evolve([0.1, 0.2], [0.1])[0], generator.current(rho).density)
    for warnings in (generator.notes, *(density.warnings for density in told)):
        assert sum("so thin" in warning for warning in warnings) == 1


def test_cells_that_are_too_wide_are_mentioned():
    grid = sg.Grid([(-1, 1, 100)])
    coarse = sg.fokker_planck(sg.Langevin(sg.quadratic([[1.0]]), T=1e-6), grid)
    assert "do not resolve" in coarse.stationary().warnings[0] and "do not resolve" in coarse.notes[0]
    assert not sg.fokker_planck(sg.Langevin(sg.quadratic([[1.0]]), T=0.01), grid).notes


def test_mass_at_walls_is_a_note_of_the_generator():
    process = sg.Langevin(sg.quadratic([[1.0]]), T=1.0)
    small, large = (sg.fokker_planck(process, sg.Grid([(-r, r, 60)])) for r in (1.2, 6.0))
    assert "box_error" in small.notes[0] and "2.1 %" in small.notes[0] and not large.notes
    assert small.notes[0] in small.spectrum(3).values.warnings and not large.spectrum(3).values.warnings
    assert not sg.fokker_planck(process, sg.Grid([(-1.2, 1.2, 60)], "absorbing")).notes


def test_too_many_rates_are_refused_in_plain_words():
    process = sg.Langevin(sg.quadratic([[1.0]]), T=1.0)
    with pytest.raises(ValueError, match="at least 6 cells"):
        sg.fokker_planck(process, sg.Grid([(-3, 3, 4)])).spectrum(1)
    with pytest.raises(ValueError, match="got k=12 on 24 cells, expected at most 10"):
        sg.fokker_planck(process, sg.Grid([(-3, 3, 24)])).spectrum(12)
    assert sg.fokker_planck(process, sg.Grid([(-3, 3, 24)])).spectrum(10).values.value.shape == (10,)


def test_three_edges_in_a_list_are_told_apart_from_a_count():
    with pytest.raises(TypeError, match=r"np\.array\(\[0\.0, 1\.0, 2\.0\]\)"):
        sg.Grid([[0.0, 1.0, 2.0]])
    assert sg.Grid([np.array([0.0, 1.0, 2.0])]).shape == (2,)


def test_several_functions_in_the_plane_are_drawn_side_by_side():
    generator = sg.fokker_planck(sg.Langevin(BOWL, T=1.0), sg.Grid([(-2, 2, 16)] * 2))
    ax = generator.splitting([lambda x: x[0] < -1, lambda x: x[0] > 1]).plot()
    assert len(ax.child_axes) == 2 and all(panel.collections for panel in ax.child_axes)
