"""Path by path against sdeint, which takes increments and repeated integrals that are given to it: ours, from `sg.normals`."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.factors import drift_correction

sdeint = pytest.importorskip("sdeint")

T, DT, STEPS, SEED, RANK = 0.3, 0.05, 40, 7, 3
X0 = np.array([0.4, -0.3])


def drift(x):
    return np.array([-x[0] - x[0] * x[1] ** 2 + 0.3 * x[1], -x[1] + np.sin(x[0])])


def sigma(x):
    """Two coordinates, three Wiener processes, columns that do not commute."""
    return np.array([[1.0 + 0.2 * x[1] ** 2, 0.3 * x[0], 0.1], [0.2 * np.sin(x[0]), 0.8, 0.4 * x[0] * x[1]]])


NOISE = sg.factor(sigma, dim=2)
PROBLEM = sg.Langevin.from_drift(drift, T=T, D=NOISE, dim=2)


def ours(method, refine=1):
    path = sg.simulate(PROBLEM, X0, t=DT * STEPS, dt=DT, save=STEPS + 1, seed=SEED, method=method, refine=refine)
    return path.x[0]


def theirs(solver, f, **given):
    t = DT * np.arange(STEPS + 1)
    return solver(lambda y, t: f(y), lambda y, t: np.sqrt(2 * T) * sigma(y), X0, t, **given)


def stratonovich_drift(x):
    """The drift of the Stratonovich equation of the same process."""
    return drift(x) - T * drift_correction(NOISE, "general")(x)


def increments(steps=STEPS, components=RANK):
    return sg.normals(SEED, paths=1, steps=steps, components=components)[0]


def areas(z, terms):
    """A_jk / dt of every step by Wiktorsson's formulas (2001, section 4), written with matrices."""
    xi, n = z[:, :RANK], len(z)
    X, Y = np.moveaxis(z[:, RANK : RANK + 2 * RANK * terms].reshape(n, terms, 2, RANK), 2, 0)
    G = np.zeros((n, RANK, RANK))
    upper = np.triu_indices(RANK, 1)
    G[:, *upper] = z[:, RANK + 2 * RANK * terms :]
    G -= G.swapaxes(1, 2)
    outer = lambda a, b: a[..., :, None] * b[..., None, :] - b[..., :, None] * a[..., None, :]
    inverse = 1 / np.arange(1, terms + 1)
    series = np.einsum("r,nrjk->njk", inverse, outer(X, Y + np.sqrt(2) * xi[:, None]))
    root = np.sqrt(1 + np.sum(xi**2, axis=1))[:, None, None]
    tail = np.sqrt(2) * (G + outer(np.einsum("njk,nk->nj", G, xi), xi) / (1 + root))
    return (series + np.sqrt(np.pi**2 / 6 - np.sum(inverse**2)) * tail) / (2 * np.pi)


def repeated_integrals(z, terms, dt):
    """int int dW_j dW_k of every step in the sense of Itô."""
    xi = z[:, :RANK]
    return dt * ((xi[:, :, None] * xi[:, None] - np.eye(RANK)) / 2 + areas(z, terms))


def test_euler_maruyama_is_theirs():
    dW = np.sqrt(DT) * increments()
    np.testing.assert_allclose(ours(sg.EulerMaruyama()), theirs(sdeint.itoEuler, drift, dW=dW), rtol=0, atol=1e-12)


def test_heun_is_theirs():
    dW = np.sqrt(DT) * increments()
    np.testing.assert_allclose(ours(sg.Heun()), theirs(sdeint.stratHeun, stratonovich_drift, dW=dW), rtol=0, atol=1e-12)


@pytest.mark.parametrize("terms", [1, 4])
def test_sri2_is_theirs(terms):
    z = increments(components=RANK + 2 * RANK * terms + 3)
    expected = theirs(sdeint.itoSRI2, drift, dW=np.sqrt(DT) * z[:, :RANK], I=repeated_integrals(z, terms, DT))
    np.testing.assert_allclose(ours(sg.SRI2(terms=terms)), expected, rtol=0, atol=1e-12)


def test_srs2_is_theirs():
    z = increments(components=RANK + 2 * RANK * 2 + 3)
    J = repeated_integrals(z, 2, DT) + DT / 2 * np.eye(RANK)
    expected = theirs(sdeint.stratSRS2, stratonovich_drift, dW=np.sqrt(DT) * z[:, :RANK], J=J)
    np.testing.assert_allclose(ours(sg.SRS2(terms=2)), expected, rtol=0, atol=1e-12)


def test_sri2_with_integrals_of_finer_steps_is_theirs():
    """Chen's relation: the integral of a step is the sum of those of its parts and of what came before each times its increment."""
    refine, terms = 4, 2
    z, h = increments(STEPS * refine, RANK + 2 * RANK * terms + 3), DT / refine
    dW = np.sqrt(h) * z[:, :RANK].reshape(STEPS, refine, RANK)
    parts = repeated_integrals(z, terms, h).reshape(STEPS, refine, RANK, RANK)
    before = np.cumsum(dW, axis=1) - dW
    I = np.sum(parts + before[..., :, None] * dW[..., None, :], axis=1)
    expected = theirs(sdeint.itoSRI2, drift, dW=dW.sum(axis=1), I=I)
    np.testing.assert_allclose(ours(sg.SRI2(terms=terms), refine), expected, rtol=0, atol=1e-12)
