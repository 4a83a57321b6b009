"""Critical points: published and closed-form places, all methods against each other, basins and the tree of barriers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import sgdyn as sg

MULLER_BROWN = sg.landscapes.muller_brown()
BOX = [(-1.6, 1.2), (-0.3, 2.0)]


@sg.potential(dim=2)
def himmelblau(x):
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def test_muller_brown_and_its_barriers():
    """Places and barriers of the table C07: 106.034673701296609 and 35.9177840045271435."""
    found = sg.critical_points(MULLER_BROWN, BOX)
    for expected, points in ((MULLER_BROWN.minima, found.minima), (MULLER_BROWN.saddles, found.saddles)):
        gaps = np.linalg.norm(expected[:, None] - points, axis=-1)
        assert gaps.shape[0] == gaps.shape[1] and np.max(np.min(gaps, axis=1)) < 1e-13
    graph = found.graph
    assert {frozenset(edge) for edge in graph.edges.tolist()} == {frozenset({0, 2}), frozenset({1, 2})}
    assert graph.barrier(0, 1) == pytest.approx(106.034673701296609, rel=1e-13)
    assert graph.barrier(1, 2) == pytest.approx(35.9177840045271435, rel=1e-13)
    assert graph.merges == [(0, 1, 2), (1, 0, 1)] and graph.saddles(1, 2) == pytest.approx(MULLER_BROWN.saddles[1:])
    np.testing.assert_array_equal(found.basin([[-0.9, 1.0], [0.5, 0.1], [-0.05, 0.5]]), [0, 1, 2])


def test_all_nine_points_of_himmelblaus_function_by_three_methods():
    """Minimum (3, 2) and maximum (-0.270845, -0.923039), value 181.617 (Himmelblau 1972)."""
    exact = sg.critical_points(himmelblau, (-6, 6))
    newton = sg.critical_points(himmelblau, (-6, 6), method="newton")
    for found in (exact, newton):
        np.testing.assert_array_equal(found.index, [0] * 4 + [1] * 4 + [2])
        assert np.min(np.linalg.norm(found.minima - [3, 2], axis=1)) < 1e-14
        assert found.points[-1] == pytest.approx([-0.27084459, -0.92303856], abs=1e-8)
    assert np.max(np.min(np.linalg.norm(exact.points[:, None] - newton.points, axis=-1), axis=1)) < 1e-12
    assert "all of 9 complex zeros" in exact.method
    followed = sg.critical_points(himmelblau, (-6, 6), method="following")
    assert len(followed.minima) == 4 and len(followed.saddles) == 4  # all that it looks for
    assert np.max(np.min(np.linalg.norm(followed.points[:, None] - exact.points, axis=-1), axis=1)) < 1e-7


def test_a_linear_change_of_coordinates_moves_the_points_with_it():
    A = np.array([[1.0, 0.7], [-0.3, 2.0]])
    inverse = np.linalg.inv(A)

    @sg.potential(dim=2)
    def moved(y):
        x = inverse @ y
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    found = sg.critical_points(moved, (-25, 25))
    expected = sg.critical_points(himmelblau, (-6, 6)).points @ A.T
    assert len(found) == 9
    assert np.max(np.min(np.linalg.norm(found.points[:, None] - expected, axis=-1), axis=1)) < 1e-9


@pytest.mark.parametrize(("energy", "length"), [(1e-9, 1e4), (1e9, 1e-4)])
def test_units_change_neither_the_points_nor_the_way_over_the_saddle(energy, length):
    """The quartic coefficient is 1e-25 or 1e25; drift -grad U with correlated noise, whose time is that of one dimension (C05trap)."""

    @sg.potential(dim=2)
    def scaled(x, energy=energy, length=length):
        y = x / length
        return energy * (y[0] ** 4 / 4 - y[0] ** 2 / 2 + y[1] ** 2)

    found = sg.critical_points(scaled, (-2 * length, 2 * length))
    assert "polynomial" in found.method
    np.testing.assert_allclose(np.sort(found.minima[:, 0]), [-length, length], rtol=1e-12)
    np.testing.assert_allclose(found.saddles, 0, atol=1e-12 * length)
    process = sg.Langevin(scaled, 0.05 * energy, [[1.0, 0.6], [0.6, 1.0]])
    time = sg.kramers_time(process, [-length, 0], [0, 0])
    assert float(time) * energy / length**2 == pytest.approx(np.pi * np.sqrt(2) * np.exp(5), rel=2e-3)


def chain(n=30, stiffness=20.0):
    """A ring of n double wells: stiff enough that few kinks fit."""

    def value(x):
        return np.sum((x**2 - 1) ** 2 / 4 + stiffness / 2 * (x - np.roll(x, 1, -1)) ** 2, -1)

    def grad(x):
        return x**3 - x + stiffness * (2 * x - np.roll(x, 1, -1) - np.roll(x, -1, -1))

    return sg.Potential.from_functions(value, grad, dim=n)


@pytest.mark.slow
def test_thirty_dimensions_from_gradients_alone():
    """All left and all right are minima; the origin is a saddle of index 3 (modes with 1 > 4 k sin²(pi m/n)), so ways lead around it."""
    U = chain()
    found = sg.critical_points(U, (-2, 2), starts=2)
    assert "eigenvector following" in found.method and len(found.saddles) >= 1
    assert np.abs(np.abs(found.minima) - 1).max() < 1e-10 and len(found.minima) == 2
    k = 4 * 20 * np.sin(np.pi * np.arange(30) / 30) ** 2
    assert np.sum(k < 1) == 3
    assert np.linalg.norm(U.grad(found.saddles), axis=1).max() < 1e-7
    assert np.all(found.eigenvalues[found.index == 1][:, 0] < 0) and np.all(found.values[found.index == 1] < 10.0)
    assert set(found.graph.edges.ravel().tolist()) == {0, 1}


def test_a_network_is_searched_through_the_same_protocol():
    """y = a tanh(b x) with one hidden unit: U(a, b) = U(-a, -b), two minima and the origin between them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Tanh(), torch.nn.Linear(1, 1, bias=False))
    x = torch.linspace(-1, 1, 12, dtype=torch.float64)[:, None]
    network = sg.nets.Network(model.double(), torch.nn.MSELoss(), (x, torch.tanh(1.5 * x)), weight_decay=0.05)
    found = sg.critical_points(network, (-2, 2), method="newton", starts=4)
    np.testing.assert_array_equal(found.index, [0, 0, 1])
    assert np.abs(found.saddles).max() < 1e-12
    assert found.minima[0] == pytest.approx(-found.minima[1], abs=1e-9)
    assert sorted(found.graph.edges[0]) == [0, 1]
    from sgdyn.escape.following import minimum_from
    from sgdyn.escape.surfaces import surface

    below = minimum_from(surface(network), found.minima[0] + 0.2, 1e-10)
    assert below == pytest.approx(found.minima[0], abs=1e-8)


def test_potentials_written_in_torch_and_as_functions_without_a_hessian():
    """All nine points again; escape over a saddle takes the same time as with the formula."""

    def quartics(x):
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    expected = sg.critical_points(himmelblau, (-6, 6))
    written = sg.nets.torch_potential(quartics, 2)
    bare = sg.Potential.from_functions(lambda x: himmelblau(x), lambda x: himmelblau.grad(x), dim=2)
    np.testing.assert_allclose(written.hess(expected.points), himmelblau.hess(expected.points), rtol=1e-12)
    for U, close in ((written, 1e-10), (bare, 1e-8)):
        found = sg.critical_points(U, (-6, 6))
        np.testing.assert_array_equal(found.index, expected.index)
        gaps = np.linalg.norm(found.points[:, None] - expected.points, axis=-1)
        assert np.max(np.min(gaps, axis=1)) < close
        saddle = found.saddles[0]
        time = sg.kramers_time(sg.Langevin(U, 1.0), [3, 2], saddle)
        assert float(time) == pytest.approx(
            float(sg.kramers_time(sg.Langevin(himmelblau, 1.0), [3, 2], saddle)), rel=1e-7
        )
    with pytest.raises(ValueError, match=r"torch\.where"):
        sg.nets.torch_potential(lambda x: x[0] ** 2 if x[0] > 0 else x[0] ** 4, 1)
    with pytest.raises(ValueError, match=r"\.sum\(\)"):
        sg.nets.torch_potential(lambda x: x**2, 2)
    with pytest.raises(TypeError, match="torch function"):
        sg.nets.torch_potential(himmelblau.hess([0.0, 0.0]), 2)


def test_zeros_of_a_drift_without_potential():
    found = sg.critical_points(sg.landscapes.maier_stein(), (-2, 2))
    np.testing.assert_array_equal(found.index, [0, 0, 1])
    assert np.abs(found.saddles).max() < 1e-15 and sorted(found.graph.edges[0]) == [0, 1]
    turned = sg.landscapes.chaudhari_soatto(0.5)
    spiral = sg.critical_points(turned, (-2, 2))
    assert np.sort(spiral.minima, axis=0) == pytest.approx(np.sort(turned.minima, axis=0), abs=1e-12)


def test_degenerate_points_curves_of_them_and_empty_boxes_are_told():
    ring = sg.potential(dim=2)(lambda x: (x[0] ** 2 + x[1] ** 2 - 1) ** 2)
    with pytest.raises(ValueError, match="curves"):
        sg.critical_points(ring, (-2, 2))
    flat = sg.critical_points(sg.potential(dim=2)(lambda x: x[0] ** 4 - x[0] ** 2 + x[1] ** 4), (-2, 2))
    assert any("degenerate" in note for note in flat.warnings)
    with pytest.raises(sg.NotConvergedError, match="larger box"):
        sg.critical_points(MULLER_BROWN, [(3, 4), (3, 4)])
    with pytest.raises(ValueError, match="pairs"):
        sg.critical_points(himmelblau, [(-1, 1)] * 3)
    with pytest.raises(TypeError, match=r"sg\.potential"):
        sg.critical_points(lambda x: x, (-1, 1))
    with pytest.raises(ValueError, match='method="newton"'):
        sg.critical_points(MULLER_BROWN, BOX, method="polynomial")
    with pytest.raises(ValueError, match="number of one of 3"):
        sg.critical_points(MULLER_BROWN, BOX).graph.barrier(0, 3)


def test_pictures_of_points_and_of_the_tree():
    found = sg.critical_points(MULLER_BROWN, BOX)
    for result, lines in ((found, 2), (found.graph, 7)):
        ax = result.plot()
        assert len(ax.lines) == lines
        assert [t.get_text() for t in ax.texts] == (["0", "1", "2"] if result is found.graph else [])
        plt.close(ax.figure)
    text = str(found)
    assert "minimum  -146.69951" in text and "saddle   -40.66484" in text and "2 - 0" in str(found.graph)
