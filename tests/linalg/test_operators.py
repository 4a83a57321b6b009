"""Spectra, traces, log-determinants and densities against matrices whose eigenvalues are known."""

import math
import warnings

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.linalg.krylov import Krylov
from sgdyn.linalg.spaces import NumPySpace, orthonormal
from sgdyn.linalg.traces import TRACES, xtrace

P = 700
VALUES = np.concatenate([[30.0, 20.0, 11.0, 7.0, 5.0], np.linspace(1.5, 0.0, P - 6), [-0.4]])


@pytest.fixture(scope="module")
def matrix():
    Q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(P, P)))
    A = (Q * VALUES) @ Q.T
    return 0.5 * (A + A.T)


@pytest.fixture(scope="module")
def operator(matrix):
    return sg.SymmetricOperator(matrix)


def test_top_eigenpairs_have_residuals_that_are_true(matrix, operator):
    found = operator.top(5, tolerance=1e-6)
    residuals = np.linalg.norm(matrix @ found.vectors - found.vectors * found.values, axis=0)
    np.testing.assert_allclose(residuals, found.residuals, atol=1e-11)
    assert found.method == "lanczos" and found.products < 60 and 0 < found.floor < 1e-12
    assert np.all(np.abs(found.eigenvalues.value - VALUES[:5]) <= found.eigenvalues.error)
    assert -0.41 < found.lowest < 0.1
    np.testing.assert_allclose(operator.top(7, method="dense").values, VALUES[:7], atol=1e-12)
    np.testing.assert_allclose(operator.top(400).values, VALUES[:400], atol=1e-12)


def test_a_warm_start_takes_fewer_products(matrix, operator):
    cold = operator.top(5)
    bent = sg.SymmetricOperator(matrix + 1e-4 * np.diag(np.linspace(-1, 1, P)))
    warm = bent.top(5, start=cold, tolerance=1e-4)
    assert warm.products < bent.top(5, tolerance=1e-4).products
    np.testing.assert_allclose(warm.values, VALUES[:5], atol=2e-4)
    with pytest.raises(ValueError, match="expected"):
        operator.top(2, start=np.ones(3))


def test_the_units_of_the_operator_come_out_again(matrix, operator):
    scaled = sg.SymmetricOperator(1e-20 * matrix)
    np.testing.assert_allclose(scaled.top(3).values, 1e-20 * operator.top(3).values, rtol=1e-12)
    np.testing.assert_allclose(scaled.trace().value, 1e-20 * operator.trace().value, rtol=1e-10)
    assert scaled.effective_rank().value == pytest.approx(operator.effective_rank().value, rel=1e-9)


@pytest.mark.parametrize("method", TRACES)
def test_traces_are_unbiased_and_their_errors_are_true(operator, method):
    """Pulls over seeds have mean 0 and variance 1, within what 60 of them can tell."""
    pulls = np.array([operator.trace(method=method, products=30, seed=seed).pull(VALUES.sum()) for seed in range(60)])
    assert abs(pulls.mean()) < 4 / math.sqrt(60)
    assert 0.6 < pulls.std() < 1.9  # Student's t of few samples, and XTrace's are not quite independent


def test_xtrace_leaves_out_one_vector_after_the_other(matrix, operator):
    """The same estimates with projectors written out (p, p)."""
    rng, m = np.random.default_rng(3), 5
    tests = np.stack([rng.standard_normal(P) for _ in range(m)], 1)
    expected = []
    for i in range(m):
        Q, _ = np.linalg.qr(matrix @ np.delete(tests, i, axis=1))
        outside = tests[:, i] - Q @ (Q.T @ tests[:, i])
        expected.append(np.trace(Q.T @ matrix @ Q) + (outside @ matrix @ outside) * (P - m + 1) / (outside @ outside))
    found = xtrace(operator.apply, operator.space, 2 * m, np.random.default_rng(3), False)
    np.testing.assert_allclose(found.samples, expected, rtol=1e-9)


def test_traces_of_low_rank_are_exact():
    B = np.random.default_rng(0).normal(size=(600, 4))
    low = sg.SymmetricOperator(B @ B.T)
    for method in ("hutch++", "xtrace"):
        assert low.trace(method=method, products=30).value == pytest.approx((B**2).sum(), rel=1e-10)
    np.testing.assert_allclose(low.diag(products=30).value, (B**2).sum(1), rtol=1e-9)
    assert sg.SymmetricOperator(np.diag([1.0, 2.0])).trace().value == 3.0


def test_diagonals_are_within_their_errors(matrix, operator):
    found = operator.diag(products=90, seed=1)
    pulls = found.pull(np.diag(matrix))
    assert abs(pulls.mean()) < 0.3 and 0.8 < pulls.std() < 1.3
    np.testing.assert_allclose(sg.SymmetricOperator(matrix[:50, :50]).diag().value, np.diag(matrix)[:50], rtol=1e-12)


@pytest.mark.parametrize("c", [0.1, 2.0])
def test_log_determinants_are_within_their_errors(operator, c):
    expected = np.log1p(c * VALUES).sum()
    pulls = np.array([operator.logdet(c, probes=6, steps=25, head=5, seed=s).pull(expected) for s in range(12)])
    assert abs(pulls.mean()) < 1.2 and np.abs(pulls).max() < 6
    exact = operator.logdet(c, method="dense")
    assert exact.value == pytest.approx(expected, rel=1e-12) and exact.error < 1e-9


def test_log_determinants_that_are_undefined_are_refused(operator):
    with pytest.raises(ValueError, match=r"undefined.*GaussNewton"):
        operator.logdet(100.0, method="dense")
    with pytest.raises(ValueError, match="undefined"):
        operator.logdet(100.0, probes=2, steps=40)
    clipped = operator.logdet(100.0, method="dense", negative="clip")
    assert clipped.value == pytest.approx(np.log1p(100 * np.maximum(VALUES, 0)).sum(), rel=1e-12)
    assert "-0.4" in clipped.warnings[0]
    modulus = operator.logdet(100.0, method="dense", negative="abs").value
    assert modulus == pytest.approx(np.log(np.abs(1 + 100 * VALUES)).sum(), rel=1e-12)


def test_the_density_counts_and_integrates(operator):
    density = operator.density(probes=6, steps=60, head=5)
    assert density.sum(np.ones_like).value == pytest.approx(P, rel=1e-12)
    assert density.sum(np.square).agrees((VALUES**2).sum())
    assert density.count(0.75).agrees((VALUES > 0.75).sum())
    assert density.count(4.0).value == 5
    x = np.linspace(-3, 35, 4001)
    np.testing.assert_allclose(np.trapezoid(density.pdf(x, 0.1), x), P, rtol=1e-6)
    np.testing.assert_allclose(density.known, VALUES[:5], atol=1e-6)
    exact = operator.density(method="dense")
    np.testing.assert_allclose(exact.known, VALUES, atol=1e-12)
    ax = density.plot()
    assert ax.has_data()


def test_effective_ranks_have_their_closed_forms():
    """m equal eigenvalues have the rank m by every rule."""
    same = sg.SymmetricOperator(np.diag([2.0] * 6 + [0.0] * 4))
    for rule in ("participation", "intrinsic", "stable", "entropy", 1.0):
        assert same.effective_rank(rule).value == pytest.approx(6, rel=1e-12)
    q = np.array([0.5, 0.25, 0.125, 0.125])
    found = sg.SymmetricOperator(np.diag(3 * q)).effective_rank("entropy")
    assert found.value == pytest.approx(np.exp(-(q * np.log(q)).sum()), rel=1e-12) == pytest.approx(2**1.75)


def test_effective_ranks_are_within_their_errors(operator):
    expected = VALUES.sum() ** 2 / (VALUES**2).sum()
    pulls = [operator.effective_rank(probes=6, steps=30, seed=seed).pull(expected) for seed in range(8)]
    assert np.abs(pulls).max() < 6
    assert operator.effective_rank(6.0, probes=4).value == 4
    with pytest.raises(ValueError, match="participation"):
        operator.effective_rank("numerical")
    with pytest.raises(ValueError, match="floor"):
        operator.effective_rank(1e-15, method="dense")


def test_ctrl_c_returns_what_is_done(matrix, operator):
    count = 0

    class Tired(sg.SymmetricOperator):
        def apply(self, v):
            nonlocal count
            count += 1
            if count > 25:
                raise KeyboardInterrupt
            return super().apply(v)

    with pytest.warns(UserWarning, match="interrupted after 25 products"):
        found = Tired(matrix).top(10, tolerance=1e-12)
    residuals = np.linalg.norm(matrix @ found.vectors - found.vectors * found.values, axis=0)
    np.testing.assert_allclose(residuals, found.residuals, atol=1e-9)
    count = 0
    with pytest.warns(UserWarning, match="interrupted after"):
        found = Tired(matrix).trace(products=60, method="hutchinson")
    assert len(found.samples) == 25 and found.agrees(VALUES.sum())


@pytest.mark.parametrize("basis", [8, 12, 40])
def test_restarts_keep_few_vectors_and_find_the_same(matrix, operator, basis):
    """Residuals are the true ones, as of an interrupt right after a restart; the lowest eigenvalue seen is not forgotten."""
    whole, found = operator.top(5, basis=300), operator.top(5, basis=basis)
    np.testing.assert_allclose(found.values, VALUES[:5], atol=1e-12)
    assert found.products >= whole.products
    assert found.lowest == pytest.approx(whole.lowest, abs=0.02)
    krylov = Krylov.begin(operator.apply, NumPySpace(P), np.ones(P), basis)
    for _ in range(3 * basis):
        if krylov.full:
            krylov.restart(basis - 2)
        krylov.grow()
    assert len(krylov.rows) == basis and krylov.products == 3 * basis
    values, rotation = krylov.ritz()
    V = rotation.T @ krylov.rows[: len(values)]
    np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(matrix @ V.T - V.T * values, axis=0), krylov.residuals(rotation), atol=1e-12)  # fmt: skip
    krylov.restart(basis - 2)
    values, rotation = krylov.ritz()
    V, residuals = rotation.T @ krylov.rows[: len(values)], krylov.residuals(rotation)
    np.testing.assert_allclose(np.linalg.norm(matrix @ V.T - V.T * values, axis=0), residuals, atol=1e-12)
    with pytest.raises(ValueError, match="basis"):
        operator.top(5, basis=7)


@pytest.mark.parametrize("values", [[], [0.1] * 700, [5, 4, 3, 2, 2], [-5, -4, -3, -2, -2], [1.0] * 350 + [2.0] * 6])
def test_operators_of_few_different_eigenvalues(values, rng):
    """Zeros, multiples of one, few ranks: what a start has no part in is found by others, with all copies, and every question has an answer."""
    Q = np.linalg.qr(rng.normal(size=(700, 700)))[0]
    exact = np.sort(np.pad(np.array(values, dtype=float), (0, 700 - len(values))))[::-1]
    operator = sg.SymmetricOperator((Q * exact) @ Q.T)
    found = operator.top(12, method="lanczos")
    np.testing.assert_allclose(found.values, exact[:12], atol=1e-12)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(12), atol=1e-12)
    options = {"method": "lanczos", "probes": 4, "steps": 10}
    cubes, logs = operator.density(**options).sum(lambda v: v**3), operator.logdet(0.1, **options)
    for found, truth in ((cubes, np.sum(exact**3)), (logs, np.log1p(0.1 * exact).sum())):
        assert abs(float(found) - truth) < 6 * found.error + 1e-9
    rank = operator.effective_rank(**options)
    assert np.isfinite(rank.value) and ("zero" in str(rank)) == (not values)


def test_invariant_spaces_end_the_iteration():
    two = sg.SymmetricOperator(np.diag([3.0] * 300 + [1.0] * 300))
    np.testing.assert_allclose(two.top(3).values, [3.0, 3.0, 3.0], rtol=1e-12)
    krylov = Krylov.begin(two.apply, NumPySpace(600), np.eye(600)[0], 5)
    krylov.grow()
    assert krylov.ended
    assert two.logdet(1.0, head=0, probes=3, steps=5).agrees(300 * (np.log(4) + np.log(2)))


def test_orthonormal_rows_leave_out_what_depends_on_others(rng):
    vectors = rng.normal(size=(3, 50))
    vectors = np.array([vectors[0], 2 * vectors[0], vectors[1], vectors[2]])
    rows, R = orthonormal(NumPySpace(50), iter(vectors), 4)
    assert len(rows) == 3
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(R.T @ rows, vectors, atol=1e-13)


def test_the_plan_says_what_is_chosen(operator):
    text = str(operator.plan())
    assert "→ lanczos" in text and "p = 700" in text
    assert operator.plan().chosen == "lanczos" and sg.SymmetricOperator(np.eye(3)).plan().chosen == "dense"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A: sg.SymmetricOperator(A[:, :5]), "square"),
        (lambda A: sg.SymmetricOperator(np.triu(A)), "symmetric"),
        (lambda A: sg.SymmetricOperator(A * np.nan), "symmetric"),
        (lambda A: sg.SymmetricOperator(A).top(P + 1), "at most"),
        (lambda A: sg.SymmetricOperator(A).top(2, method="power"), "lanczos"),
        (lambda A: sg.SymmetricOperator(A).trace(method="exact"), "hutch"),
        (lambda A: sg.SymmetricOperator(A).logdet(-1.0), "c="),
        (lambda A: sg.SymmetricOperator(A).logdet(1.0, negative="drop"), "clip"),
        (lambda A: sg.SymmetricOperator(A).top(5, most=7), "residual"),
    ],
)
def test_wrong_calls_are_told_what_to_type(matrix, call, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, sg.NotConvergedError), match=message):
            call(matrix)
