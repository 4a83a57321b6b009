"""Fixed-time critical paths against values of high precision and closed forms."""

import numpy as np
import pytest

import sgdyn as sg

# dossier rates_and_paths, C09 (high-precision quadrature): S = ∫ (x'² + U'²)/2 dt; the action here times T is (dU + S)/2
FROM_WELL_TO_WELL, FROM_WELL_TO_TOP = 1.0755096576726807018, 0.28673251014870294841


@pytest.mark.parametrize(("end", "expected"), [(1.0, FROM_WELL_TO_WELL / 2), (0.0, FROM_WELL_TO_TOP)])
def test_action_of_the_double_well_to_ten_digits(end, expected):
    found = sg.instanton(sg.landscapes.double_well().problem(1.0), [-1], [end], t=2, n=400)
    assert abs(float(found.action) - expected) < 1e-10
    assert abs(float(found.action) - expected) < 4 * found.action.error
    assert found.is_minimum and found.residual < 1e-12
    assert found.energy.error < 1e-4 * found.energy.value


def test_energy_is_conserved_to_second_order():
    problem = sg.landscapes.double_well().problem(1.0)
    coarse, fine = (sg.instanton(problem, [-1], [1], t=2, n=n, starts=0).energy.error for n in (80, 160))
    assert 1.9 < np.log2(coarse / fine) < 2.1


def test_the_path_that_depends_on_T_becomes_a_saddle_behind_a_conjugate_point():
    problem = sg.landscapes.double_well().problem(0.05)
    found = sg.instanton(problem, [-1], [1], t=5, n=200, rule=sg.StaticKernel())
    assert [one.index for one in found.critical_paths].count(1) == 1
    saddle = found.critical_paths[-1]
    assert not saddle.is_minimum and 4 < saddle.conjugate_points[0] < 5
    assert float(saddle.action) > float(found.action)


def test_underdamped_linear_path_costs_the_energy_over_T():
    """From rest, slowly: (x² + v²)/2T, whatever the friction."""
    problem = sg.Momentum(sg.quadratic([[1.0]]), T=0.5, friction=0.7)
    found = sg.instanton(problem, [0, 0], [1, 0.3], t=30, n=400)
    assert np.isclose(float(found.action), (1 + 0.09) / (2 * 0.5), atol=1e-8)
    assert found.residual < 1e-9


def test_steps_that_are_no_multiple_of_four_are_refused():
    with pytest.raises(ValueError, match="type n=104"):
        sg.instanton(sg.landscapes.double_well().problem(), [-1], [1], t=2, n=102)


def test_paths_draw_themselves():
    found = sg.instanton(sg.landscapes.double_well_2d().problem(0.3), [-1, 0], [1, 0], t=2, n=40, starts=0)
    assert len(found.plot().lines) == len(found.critical_paths)
    assert found.path.plot().get_xlabel() == "$x_0$"


def skewed(x):
    return (x[0] ** 2 - 1) ** 2 / 4 + 0.5 * x[1] ** 2 + 0.1 * x[0] * x[1]


def opaque():
    """The same without its second derivatives."""
    traced = sg.potential(dim=2)(skewed)
    return sg.Potential.from_functions(lambda x: traced(x), lambda x: traced.grad(x), dim=2)


@pytest.mark.parametrize("kind", ["functions", "torch"])
def test_potentials_without_third_derivatives(kind):
    """Differences give what is missing in few dimensions; noise with correlations takes Hessian-vector products of U."""
    from sgdyn import nets

    given = opaque() if kind == "functions" else nets.torch_potential(skewed, 2)
    for D in (1.0, np.array([[1.0, 0.4], [0.4, 0.8]])):
        exact, found = (
            sg.instanton(sg.Langevin.gibbs(U, 0.05, D), [-1, 0], [1, 0], t=3, n=80, starts=1)
            for U in (sg.potential(dim=2)(skewed), given)
        )
        assert np.isclose(float(found.action), float(exact.action), rtol=1e-11) and found.index == exact.index == 0
        known, other = sg.fluctuations(exact).log_van_vleck, sg.fluctuations(found).log_van_vleck
        assert abs(float(known) - float(other)) < known.error + other.error


def test_densities_and_bridges_without_third_derivatives():
    densities = [
        sg.transition_density(sg.Langevin(U, 0.05), [-1, 0], [1, 0], 2.0, n=64)
        for U in (sg.potential(dim=2)(skewed), opaque())
    ]
    assert np.isclose(float(densities[0]), float(densities[1]), rtol=1e-7)
    bridges = [
        sg.bridges(sg.Langevin(U, 0.05), [-1, 0], [1, 0], t=2.0, n=16, chains=4, iterations=20, method=sg.PathHMC())
        for U in (sg.potential(dim=2)(skewed), opaque())
    ]
    np.testing.assert_allclose(bridges[0].paths, bridges[1].paths, atol=1e-6)


def test_two_dozen_dimensions_without_third_derivatives():
    """By L-BFGS: over a barrier of 1/4, cheaper than along the floor of the curved valley at the same times."""
    from tests.pathspace.test_string import valley

    U, a, b = valley(24)
    found = sg.instanton(sg.Langevin(U, 0.1), a, b, t=5.0, n=256, starts=0)
    assert found.index is None and found.residual < 1e-8 and found.energy.error < 1e-2 * float(found.energy)
    follows = np.concatenate([found.path.x[:, :1], b[1:] * found.path.x[:, :1] ** 2], -1)
    along = sg.action(found.problem, sg.Path(follows, found.path.t))
    assert 2.5 < float(found.action) < float(along)


def test_fluctuations_and_soft_modes_draw_and_print_themselves():
    for problem, a, b in (
        (sg.landscapes.double_well_2d().problem(0.3), [-1, 0], [1, 0]),
        (sg.landscapes.double_well().problem(0.3), [-1], [1]),
    ):
        found = sg.fluctuations(sg.instanton(problem, a, b, t=1, n=40, starts=0))
        assert len(found.plot().lines) == 3 and "prefactor" in found.plot().get_title()
        assert len(found.soft.plot().lines) == len(a)
        assert len(repr(found)) < 600 and "displacement" not in repr(found.soft)


def test_arguments_of_the_wrong_kind_are_named():
    problem = sg.landscapes.double_well().problem()
    with pytest.raises(TypeError, match="rule='midpoint', expected a discretisation"):
        sg.instanton(problem, [-1], [1], t=2, rule="midpoint")
    with pytest.raises(TypeError, match=r"type sg.Path\(x, t\)"):
        sg.action(problem, None)
    with pytest.raises(TypeError, match="expected an Instanton"):
        sg.fluctuations(None)
    region = lambda x: x[0] > 0.9
    with pytest.raises(ValueError, match="got back=5"):
        sg.reach(problem, [-1], region, t=1, back=5)
    with pytest.raises(TypeError, match=r"type methods=\['Laplace'\]"):
        sg.reach(problem, [-1], region, t=1, methods="Laplace")
