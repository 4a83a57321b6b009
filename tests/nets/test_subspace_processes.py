"""Processes on subspaces of real networks: quadratic, cubic and exact losses; constant, linear and exact noise; models of all weights."""

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets.expansion import Cubic
from tests.nets import models
from tests.nets.test_restriction import Bumpy, orthonormal

LR, BATCH = 0.01, 1


def squares(n=60):
    """y = a² x_0 + b x_1 plus much noise: both third derivatives and D(x) matter."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 2))
    y = x[:, :1] + rng.normal(size=(n, 1))
    return torch.tensor(x), torch.tensor(y)


@pytest.fixture(scope="module")
def bumpy():
    return nets.Network(Bumpy(), nn.MSELoss(), squares()).minimize()


@pytest.fixture(scope="module")
def trained():
    return models.network(chunk=128).minimize()


def moments(x):
    """Mean and variance with standard errors over independent paths (path, time)."""
    mean, square = x.mean(1), ((x - x.mean()) ** 2).mean(1)
    return [(v.mean(), v.std(ddof=1) / len(v) ** 0.5) for v in (mean, square)]


@pytest.mark.slow
def test_sgd_the_sde_and_fokker_planck_agree_on_the_real_loss(bumpy):
    """One weight is trained, the other rests at the minimum: what the process on that subspace describes. A step of Euler-Maruyama with dt = lr has
    the mean and the covariance of a step of SGD; Fokker-Planck has no steps, which take 6 % off its variance here. The quadratic model has mean 0."""  # fmt: skip
    space = bumpy.subspace(basis=[[1.0], [0.0]])
    process = space.process(lr=LR, batch=BATCH, loss="exact", noise="exact")
    density = sg.fokker_planck(process, sg.Grid(((-0.6, 0.6, 120),))).stationary()
    single = nets.Network(bumpy.at(bumpy.weights).model, nn.MSELoss(), squares(), params=["a"])
    start = single.at(space.center[:1])
    run = nets.train(start, steps=900, lr=LR, batch=BATCH, replicas=256, record=np.eye(1), every=15, seed=1)
    paths = sg.simulate(process, np.zeros(1), t=3.0, dt=LR, n_paths=256, save=np.linspace(1, 3, 11), seed=0, threads=1)
    found, walked = moments(run.after(300).x[..., 0]), moments(paths.x[..., 0])
    exact = density.mean()[0], density.cov()[0, 0]
    for (sgd, error), (sde, other), truth, step in zip(found, walked, exact, (0.1, 0.12), strict=True):
        assert abs(sgd - sde) < 4 * np.hypot(error, other)
        assert abs(sgd - truth) < 4 * error + step * abs(truth)
    assert found[0][0] < -6 * found[0][1]


def test_two_weights_by_simulation_and_fokker_planck(bumpy):
    space = bumpy.subspace(basis=np.eye(2))
    process = space.process(lr=LR, batch=BATCH, loss="exact")
    density = sg.fokker_planck(process, sg.Grid(((-0.6, 0.6, 60), (-0.9, 0.9, 60)))).stationary()
    start = np.random.default_rng(0).multivariate_normal(density.mean(), density.cov(), 256)
    paths = sg.simulate(process, start, t=3.0, dt=0.01, save=np.linspace(1, 3, 6), seed=0, threads=1)
    for i in range(2):
        found = moments(paths.x[..., i])
        for (value, error), truth in zip(found, (density.mean()[i], density.cov()[i, i]), strict=True):
            assert abs(value - truth) < 4 * error + 0.06 * abs(truth)


def test_expansions_approach_the_real_loss(bumpy):
    """The error of the quadratic falls as the cube, that of the cubic as the fourth power of the distance; D likewise."""
    space = bumpy.subspace(basis=np.eye(2))
    U, D, direction = space.potential(), space.noise("exact"), np.array([0.6, 0.8])
    cubic, linear = space.cubic().potential(), space.noise("linear")

    def errors(s):
        x = s * direction
        rise = U(x) - U(np.zeros(2))
        return abs(rise - x @ space.H @ x / 2), abs(rise - cubic(x)), np.abs(D(x) - linear(x)).max()

    ratios = np.array(errors(0.02)) / errors(0.01)
    np.testing.assert_allclose(ratios[:2], [8, 16], rtol=0.05)
    assert ratios[2] == pytest.approx(4, rel=0.1)  # second derivatives of single gradients are left out


def test_the_quadratic_process_is_the_linear_theory(trained):
    """`local_model` is what it was, and `process` without options the same."""
    space = trained.subspace(4)
    old = sg.sgd(sg.quadratic(space.H), space.D, lr=0.1, batch=8, n=space.n, sampler="replacement")
    for new in (
        space.local_model(lr=0.1, batch=8),
        space.process(lr=0.1, batch=8),
        trained.local_model(4, lr=0.1, batch=8),
    ):
        expected, found = sg.linear_stationary(old), sg.linear_stationary(new)
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-6)
    assert isinstance(space.process(lr=0.1, batch=8, momentum=0.9, loss="exact"), sg.Momentum)


def test_directions_of_the_noise_are_its_eigenvectors(trained):
    space = trained.subspace(3, directions="noise")
    np.testing.assert_allclose(np.diag(space.D), trained.noise().top(3).values, rtol=1e-8)
    np.testing.assert_allclose(space.D, np.diag(np.diag(space.D)), atol=1e-10)
    assert trained.local_model(2, lr=0.01, batch=8, directions="noise").dim == 2
    given = trained.subspace(directions=orthonormal(trained.dim, 2))
    assert given.k == 2


def test_a_cubic_ends_where_it_may_turn(rng):
    """In one dimension the radius is exact: x²/2 + c x³/6 has its inflection at -1/c. In more, the Hessian is positive definite within."""
    one = Cubic(np.eye(1), np.full((1, 1, 1), 2.0), 0.0)
    assert one.radius == pytest.approx(0.5)
    U = one.potential()
    assert U([-0.499]) == pytest.approx(0.499**2 / 2 - 2 * 0.499**3 / 6)
    assert np.isnan(U([-0.501]))
    assert np.isnan(U.grad([0.501])).all()
    C = rng.normal(size=(3, 3, 3))
    C = sum(C.transpose(p) for p in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)))
    cubic = Cubic(np.diag([1.0, 2.0, 5.0]), C, 0.0)
    x = rng.normal(size=(400, 3))
    x /= np.sqrt(np.einsum("ni,ij,nj->n", x, cubic.H, x))[:, None]
    inside = cubic.potential().hess(0.999 * cubic.radius * x)
    assert np.linalg.eigvalsh(inside).min() > 0
    assert cubic.potential()(0.999 * cubic.radius * x).min() >= 0.99 * cubic.radius**2 / 3
    everywhere = cubic.potential(confined=True).hess(np.geomspace(0.1, 10, 400)[:, None] * cubic.radius * x)
    assert np.linalg.eigvalsh(everywhere - cubic.H / 4).min() > -1e-9


def test_paths_that_leave_the_region_of_a_cubic_are_refused(trained):
    """Before they start, where the linear theory says that they will; on the way otherwise."""
    space = trained.subspace(2)
    with pytest.raises(ValueError, match="confined cubic"):
        space.process(lr=2.0, batch=4, loss="cubic")
    process = space.local_model(lr=0.2, batch=4, cubic=True, noise="linear")
    paths = sg.simulate(process, np.zeros(2), t=5.0, dt=0.2, n_paths=64, seed=0)
    assert np.isfinite(paths.x).all()
    with pytest.raises(sg.BlowUpError):
        sg.simulate(sg.Langevin(process.U, 5.0, space.D), np.zeros(2), t=5.0, dt=0.1, n_paths=64, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "quartic"}, "expected one of 'quadratic'"),
        ({"noise": "white"}, "expected one of 'quadratic'"),
        ({"momentum": 0.9, "noise": "exact"}, "type noise='constant'"),
        ({"sampler": "epoch"}, "epoch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_bad_processes_are_refused(trained, options, message):
    with pytest.raises(ValueError, match=message):
        trained.subspace(2).process(lr=0.1, batch=8, **options)


def test_subspaces_without_a_network_and_at_saddles_say_so(trained):
    from dataclasses import replace

    space = trained.subspace(2)
    with pytest.raises(ValueError, match="without its network"):
        replace(space, network=None).potential()
    tilted = replace(space, H=-space.H)
    with pytest.raises(ValueError, match="minimize"):
        tilted.cubic()
    assert tilted.process(lr=0.1, batch=8, loss="exact").dim == 2
    with pytest.raises(ValueError, match="directions='top'"):
        trained.subspace(2, directions="top")
    with pytest.raises(ValueError, match="expected 'constant'"):
        space.noise("white")


def test_the_full_model_keeps_traces_and_obeys_lyapunov(trained):
    model = trained.full_model(5, lr=0.1, batch=8)
    H, D = trained.hessian().dense(), trained.noise().dense()
    p = trained.dim
    assert model.H.trace() == pytest.approx(np.trace(H), rel=1e-9)
    assert model.D.trace() == pytest.approx(np.trace(D), rel=1e-9)
    h, d, S = model.H @ np.eye(p), model.D @ np.eye(p), model.covariance @ np.eye(p)
    np.testing.assert_allclose(np.linalg.eigvalsh(h)[-5:], np.linalg.eigvalsh(H)[-5:], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.eigvalsh(d)[-5:], np.linalg.eigvalsh(D)[-5:], rtol=1e-6)
    expected = sg.linear_stationary(sg.Langevin(sg.quadratic((h + h.T) / 2), model.T, (d + d.T) / 2)).covariance
    np.testing.assert_allclose(S, expected, atol=1e-12)
    exact = sg.linear_stationary(sg.Langevin(sg.quadratic((H + H.T) / 2), model.T, D)).covariance
    assert float(model.excess_loss) == pytest.approx(np.trace(H @ exact) / 2, rel=1e-8)
    assert float(model.temperature) == pytest.approx(np.trace(H @ exact) / p, rel=1e-8)
    m = model.space.k
    assert model.temperatures[:m].sum() + model.rest * model.temperatures[m] == pytest.approx(np.trace(H @ exact))


def test_the_full_model_draws_what_it_says(trained):
    model = trained.full_model(4, lr=0.1, batch=8, directions="noise")
    x = model.sample(20_000, seed=0) - model.space.center
    probe = np.random.default_rng(1).normal(size=(trained.dim, 3))
    for V, tolerance in ((model.space.basis, 0.05), (probe, 0.05)):
        expected = V.T @ (model.covariance @ V)
        np.testing.assert_allclose((x @ V).T @ (x @ V) / len(x), expected, atol=tolerance * np.diag(expected).max())
    z = model.noise(20_000, batch=2, seed=0) @ model.space.basis
    np.testing.assert_allclose(z.T @ z / len(z), model.space.D / 2, atol=0.05 * model.space.D.max())
    dense = model.noise_model()(np.zeros(trained.dim))
    np.testing.assert_allclose(dense, model.D @ np.eye(trained.dim), atol=1e-12)
    paths = sg.simulate(model.process(), x[:64], t=1.0, dt=0.1, seed=0)
    assert np.var(paths.x) == pytest.approx(np.var(x), rel=0.1)


def test_single_precision_full_models_need_no_matrix():
    """By products alone, with the trace of H from random vectors and its error."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 60), nn.Tanh(), nn.Linear(60, 3))
    net = nets.Network(model, nn.CrossEntropyLoss(), models.data(), 0.05).minimize(tolerance=3e-4)
    full = net.full_model(3, lr=0.1, batch=8)
    assert full.dim == 543
    assert full.curvature.error > 0
    assert full.H.trace() == pytest.approx(
        float(net.hessian().trace(method="dense").value), abs=4 * full.curvature.error * full.rest
    )
    assert full.sample(2, seed=0).shape == (2, 543)
