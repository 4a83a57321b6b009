"""Laws of the literature against exact solutions of the package, each in its regime; outside they warn or refuse."""

import numpy as np
import pytest
from scipy import integrate, linalg

import sgdyn as sg

H = np.array([[2.0, 0.3], [0.3, 0.5]])
D = np.array([[1.0, -0.4], [-0.4, 0.7]])


def test_zhu_is_exact_on_a_quadratic():
    """E U(t) = tr(H S(t))/2 with S(t) = ∫ e^{-Hs} 2 T D e^{-Hs} ds."""
    T, t = 0.05, 0.8
    pieces = lambda s: (linalg.expm(-H * s) @ (2 * T * D) @ linalg.expm(-H * s)).ravel()
    S = integrate.quad_vec(pieces, 0, t)[0].reshape(2, 2)
    found = sg.zhu_loss_increase(H, D, T, t)
    assert float(found) == pytest.approx(0.5 * np.trace(H @ S), rel=1e-12)
    assert float(sg.zhu_loss_increase(H, D, T, 1e-6)) == pytest.approx(T * 1e-6 * np.trace(H @ D), rel=1e-5)
    stationary = sg.linear_stationary(sg.Langevin(sg.quadratic(H), T, D))
    assert float(sg.zhu_loss_increase(H, D, T, 60)) == pytest.approx(
        0.5 * np.trace(H @ stationary.covariance), rel=1e-10
    )


def test_jastrzebski_against_the_masses_of_two_wells():
    """Wells at -1 and 1 with curvatures that differ: masses by quadrature, T small."""
    T = 0.01
    U = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 * (1 + 0.5 * x[0]) ** 2)
    mass = [integrate.quad(lambda x: np.exp(-float(U([x])) / T), a, b, limit=200)[0] for a, b in ((-1.5, 0), (0, 2))]
    found = sg.jastrzebski_basin_weights([0, 0], U.hess([[-1.0], [1.0]]), T=T)
    assert found.value == pytest.approx(np.array(mass) / sum(mass), abs=0.03)
    assert found.value[0] == pytest.approx(0.75, rel=1e-9)
    assert np.all(np.isnan(found.error)) and "critical_points" in found.warnings[0]
    with pytest.raises(ValueError, match="minima"):
        sg.jastrzebski_basin_weights([0, 0], [[[1.0]], [[-1.0]]], T=T)
    with pytest.raises(ValueError, match="without Hessians"):
        sg.jastrzebski_basin_weights([0, 0], T=T)


def test_the_error_of_basin_weights_is_their_term_of_order_T():
    """At half of T half the deviation from quadrature, and the error is the deviation up to order T²."""
    U = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 * (1 + 0.5 * x[0]) ** 2)
    points, gaps = sg.critical_points(U, [(-1.5, 2)]), []
    assert len(points.minima) == 2
    for T in (0.002, 0.001):
        mass = [integrate.quad(lambda x, T=T: np.exp(-float(U([x])) / T), *side, limit=200)[0] for side in ((-1.5, 0), (0, 2))]  # fmt: skip
        found = sg.jastrzebski_basin_weights(points, T=T)
        exact = np.array(mass)[np.argsort(points.minima[:, 0]).argsort()] / sum(mass)
        gaps.append(np.abs(found.value - exact))
        np.testing.assert_allclose(found.error, gaps[-1], rtol=0.15)
    np.testing.assert_allclose(gaps[0] / gaps[1], 2, rtol=0.1)


def test_xie_is_a_heuristic_and_says_so():
    found = sg.xie_escape_time(0.25, 2.0, -1.0, 0.05)
    assert float(found) == pytest.approx(2 * np.pi * np.exp(5 * 0.75), rel=1e-12)
    assert found.error > float(found) and "heuristic" in found.warnings[0]
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        sg.xie_escape_time(0.25, 2.0, -1.0, 0.05, s=1.5)


@pytest.mark.parametrize(("k", "off"), [(3.0, 1.07), (6.0, 1.04), (20.0, 1.012)])
def test_mori_against_quadrature(k, off):
    """Table C15: U = 0.05 + (x² - 1)²/4, T D = U/k; for k = 6 the exact time is 489370.50383574470845."""
    U = sg.potential(dim=1)(lambda x: 0.05 + (x[0] ** 2 - 1) ** 2 / 4)
    process = sg.Langevin(U, 1.0, lambda x: (0.05 + (x[0] ** 2 - 1) ** 2 / 4) / k)
    exact = sg.mean_first_passage_1d(process, -1, 1)
    if k == 6:
        assert float(exact) == pytest.approx(489370.50383574470845, rel=1e-12)
    found = sg.mori_escape_time(0.05, 0.3, 2.0, -1.0, k)
    assert float(found) / float(exact) == pytest.approx(off, abs=0.006) and abs(found.pull(exact)) < 1
    assert abs(sg.kramers_time(process, [-1], [0]).pull(exact)) < 1
    with pytest.raises(ValueError, match="barrier"):
        sg.mori_escape_time(0.3, 0.05, 2.0, -1.0, k)


def test_kunin_is_the_limit_of_small_steps_of_the_exact_heavy_ball():
    """Exact: (1 + mu)/(1 - mu) eta C/(h (2 (1 + mu) - eta h)), C = s² h/B (table C12)."""
    h, eta, mu, B, s2 = np.array([0.5, 2.0]), 0.01, 0.9, 8, 0.3
    found = sg.kunin_moments(h, s2, lr=eta, batch=B, momentum=mu)
    exact = (1 + mu) / (1 - mu) * eta * s2 * h / B / (h * (2 * (1 + mu) - eta * h))
    assert np.all(np.abs(found.value[0] - exact) < 1.1 * found.error[0])
    for i in range(2):
        state = sg.discrete_sgd([[h[i]]], [[s2 * h[i]]], lr=eta, batch=B, momentum=mu)
        assert state.covariance[0, 0] == pytest.approx(exact[i], rel=1e-10)
    with pytest.raises(ValueError, match="momentum"):
        sg.kunin_moments(h, s2, lr=eta, batch=B, momentum=1.0)


def test_ziyin_solves_its_matrix_equation():
    A, eta, B, s2 = np.array([[1.0, 0.4], [0.4, 0.6]]), 0.2, 4, 0.5
    S = sg.ziyin_label_noise_covariance(A, s2, lr=eta, batch=B).value
    left = A @ S + S @ A - eta * A @ S @ A
    right = eta / B * (A @ S @ A + np.trace(A @ S) * A + s2 * A)
    assert left == pytest.approx(right, abs=1e-15)
    with pytest.raises(ValueError, match="infinite"):
        sg.ziyin_label_noise_covariance(A, s2, lr=3.0, batch=B)


def test_feng_and_tus_exponent_is_minus_two_in_equilibrium():
    """In equilibrium variance = T/h and the width of {U <= e U_min} is proportional to h^-1/2."""
    h = np.geomspace(0.1, 10, 12)
    assert float(sg.feng_tu_exponent(0.02 / h, h**-0.5)) == pytest.approx(-2, abs=1e-12)
    noisy = sg.feng_tu_exponent(h**2 * np.exp(0.1 * np.cos(np.arange(12))), h**-0.5)
    assert abs(noisy.pull(4)) < 3 and noisy.error > 0
    with pytest.raises(ValueError, match="3 or more"):
        sg.feng_tu_exponent([1, 2], [1, 2])


def test_feng_and_tus_widths_from_the_loss_and_from_its_hessian():
    """Quadratic, closed form: F = 2 sqrt(2 (e - 1) U*/h); the equilibrium exponent -2 comes out of them. A quartic: (2 a)^(1/2) of a fourth power."""
    h, low = np.array([0.5, 2.0, 8.0]), 0.3
    bowl = sg.potential(dim=3)(lambda x: 0.3 + 0.25 * x[0] ** 2 + x[1] ** 2 + 4 * x[2] ** 2)
    exact = 2 * np.sqrt(2 * (np.e - 1) * low / h)
    for quadratic in (False, True):
        found = sg.feng_tu_flatness(bowl, np.zeros(3), 3 * np.eye(3), quadratic=quadratic)
        np.testing.assert_allclose(found.value, exact, rtol=1e-9)
        assert np.all(found.error < 1e-8 * exact)
    assert float(sg.feng_tu_exponent(0.02 / h, found.value)) == pytest.approx(-2, abs=1e-9)
    bent = sg.potential(dim=1)(lambda x: 1 + x[0] ** 2 / 2 + 0.1 * x[0] ** 4)
    s = np.sqrt((np.sqrt(0.25 + 0.4 * (np.e - 1)) - 0.5) / 0.2)  # x²/2 + x⁴/10 = e - 1
    assert sg.feng_tu_flatness(bent, [0.0], [[1.0]]).value[0] == pytest.approx(2 * s, rel=1e-9)
    rough = sg.feng_tu_flatness(bent, [0.0], [[1.0]], quadratic=True)
    assert 0.5 < (rough.value[0] - 2 * s) / rough.error[0] < 1
    with pytest.raises(ValueError, match=r"U\(x\) = 0"):
        sg.feng_tu_flatness(sg.quadratic([1.0]), [0.0], [[1.0]])
    with pytest.raises(ValueError, match="no edge"):
        sg.feng_tu_flatness(sg.potential(dim=1)(lambda x: 2 + np.tanh(x[0])), [0.0], [[1.0]])
    with pytest.raises(ValueError, match=r"np\.eye\(3\)"):
        sg.feng_tu_flatness(bowl, np.zeros(3), [1.0, 0.0, 0.0])


@pytest.mark.parametrize("T", [1e-2, 1e-3, 1e-4])
def test_hus_time_to_leave_a_saddle_against_quadrature(T):
    exact = sg.mean_first_passage_1d(sg.Langevin(sg.quadratic([-2.0]), T), 0, 0.5, wall=0.0)
    found = sg.hu_saddle_escape_time(-2.0, T, 0.5)
    assert abs(found.pull(exact)) < 1
    if T == 1e-4:
        assert float(found) == pytest.approx(float(exact), rel=1e-3)
    with pytest.raises(ValueError, match="< 0"):
        sg.hu_saddle_escape_time(2.0, T, 0.5)
