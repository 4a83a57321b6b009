"""Long work goes on after a crash where it was, to the same bits; what belongs to something else is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets, storage
from sgdyn.nets import gram
from tests.nets import models

QUESTIONS = {
    "top": lambda A, place: A.top(5, method="lanczos", tolerance=1e-6, checkpoint=place).vectors,
    "hutchinson": lambda A, place: A.trace(method="hutchinson", products=30, checkpoint=place).samples,
    "hutch++": lambda A, place: A.trace(method="hutch++", products=30, checkpoint=place).samples,
    "xtrace": lambda A, place: A.trace(method="xtrace", products=30, checkpoint=place).samples,
    "density": lambda A, place: A.density(probes=2, steps=10, head=2, checkpoint=place).nodes,
    "logdet": lambda A, place: A.logdet(0.01, probes=2, steps=10, head=2, checkpoint=place).value,
    "diag": lambda A, place: A.diag(products=24, checkpoint=place).value,
}
MATRICES = {"array": lambda: counted(sg.SymmetricOperator)(wide()), "Hessian": lambda: counted(nets.Hessian)(network())}


def wide():
    A = np.random.default_rng(0).normal(size=(90, 90))
    return A @ A.T


def network(seed=0, loss=None, weight_decay=0.01, data_seed=0, dtype=torch.float64):
    x, y = models.data(seed=data_seed)
    model = models.mlp((5, 7, 3), seed).to(dtype)
    return nets.Network(model, loss or nn.CrossEntropyLoss(), (x, y), weight_decay, chunk=32)


def counted(kind):
    """The operator, which counts its products and breaks down where it is told to."""

    class Counted(kind):
        DENSE = 0
        made, last = 0, 10**9

        def apply(self, v):
            if self.made == self.last:
                raise RuntimeError("the machine went away")
            self.made += 1
            return super().apply(v)

    return Counted


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Everything is written at once."""
    monkeypatch.setattr(storage, "SECONDS", -1.0)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_work_goes_on_after_a_crash_to_the_same_bits(tmp_path, question, matrix):
    ask, whole = QUESTIONS[question], MATRICES[matrix]()
    expected, place = ask(whole, None), tmp_path / "kept"
    for last in (7, 5):
        broken = MATRICES[matrix]()
        broken.last = last
        with pytest.raises(RuntimeError, match="went away"):
            ask(broken, place)
        assert broken.made == last
    again = MATRICES[matrix]()
    assert np.array_equal(ask(again, place), expected)
    assert again.made == whole.made - 12
    third = MATRICES[matrix]()
    assert np.array_equal(ask(third, place), expected) and third.made == 0
    assert not list(place.glob("*.pkl")) and not list(place.glob("*.part"))


def test_single_precision_is_kept_as_it_is(tmp_path):
    make = lambda: counted(nets.Hessian)(network(dtype=torch.float32))
    expected, broken = make().top(3, method="lanczos").vectors, make()
    broken.last = 6
    with pytest.raises(RuntimeError, match="went away"):
        broken.top(3, method="lanczos", checkpoint=tmp_path)
    assert np.array_equal(make().top(3, method="lanczos", checkpoint=tmp_path).vectors, expected)
    with np.load(next(tmp_path.glob("*.npz"))) as stored:
        assert stored["products"].dtype == np.float32


def test_more_random_vectors_go_on_from_fewer(tmp_path):
    A, B = (counted(sg.SymmetricOperator)(wide()) for _ in range(2))
    A.density(probes=2, steps=10, checkpoint=tmp_path)
    found = B.density(probes=4, steps=10, checkpoint=tmp_path)
    assert B.made == 20
    np.testing.assert_array_equal(
        found.nodes, sg.SymmetricOperator(wide()).density(probes=4, steps=10, method="lanczos").nodes
    )


def test_ctrl_c_leaves_what_is_done_and_the_rest_follows(tmp_path):
    expected, A = network().hessian().top(5, method="lanczos"), counted(nets.Hessian)(network())

    def interrupted(v, inner=A.apply):
        if A.made == 9:
            raise KeyboardInterrupt
        return inner(v)

    A.apply = interrupted
    with pytest.warns(UserWarning, match="interrupted after 9 products"):
        part = A.top(5, method="lanczos", checkpoint=tmp_path)
    assert part.products == 9 and part.warnings
    B = counted(nets.Hessian)(network())
    assert np.array_equal(B.top(5, method="lanczos", checkpoint=tmp_path).vectors, expected.vectors)
    assert B.made == expected.products - 9


OTHERS = {
    "weights": (lambda: network(1), {}, "weights="),
    "data": (lambda: network(data_seed=1), {}, "data="),
    "loss": (lambda: network(loss=nn.MultiMarginLoss()), {}, "losses="),
    "weight_decay": (lambda: network(weight_decay=0.02), {}, "weight_decay="),
    "seed": (network, {"seed": 1}, "start="),
    "k": (network, {"k": 4}, "k="),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_checkpoint_of_something_else_is_refused(tmp_path, case):
    make, options, said = OTHERS[case]
    network().hessian().top(method="lanczos", checkpoint=tmp_path, k=3)
    with pytest.raises(ValueError, match=f"another question in .*{said}"):
        make().hessian().top(method="lanczos", checkpoint=tmp_path, **({"k": 3} | options))


def test_other_matrices_and_questions_are_refused(tmp_path):
    network().hessian().top(3, method="lanczos", checkpoint=tmp_path)
    with pytest.raises(ValueError, match="operator="):
        network().gauss_newton().top(3, method="lanczos", checkpoint=tmp_path)
    with pytest.raises(ValueError, match="question="):
        network().hessian().trace(method="hutchinson", checkpoint=tmp_path)
    sg.SymmetricOperator(wide()).top(3, method="lanczos", checkpoint=tmp_path / "array")
    with pytest.raises(ValueError, match="product="):
        sg.SymmetricOperator(1.001 * wide()).top(3, method="lanczos", checkpoint=tmp_path / "array")
    with pytest.raises(ValueError, match="output="):
        for output in (0, 1):
            network().jacobian(output).normal().top(3, method="lanczos", checkpoint=tmp_path / "outputs")


def test_damaged_checkpoints_are_refused(tmp_path):
    network().hessian().top(3, method="lanczos", checkpoint=tmp_path)
    next(tmp_path.glob("*.npz")).write_bytes(b"no archive")
    with pytest.raises(ValueError, match="damaged"):
        network().hessian().top(3, method="lanczos", checkpoint=tmp_path)


@pytest.mark.parametrize("ghosts", [None, False], ids=["layers", "rows"])
def test_gram_matrices_go_on_too(tmp_path, monkeypatch, ghosts):
    expected, parts = network().noise("gram", ghosts=ghosts), gram._parts
    monkeypatch.setattr("sgdyn.nets.second_moments.ROW_BYTES", 8 * 66 * 40)
    added = []

    def breaking(operator, total):
        for number, add in enumerate(parts(operator, total)):

            def counted(number=number, add=add):
                if number == 2 and 2 not in added:
                    added.append(2)
                    raise RuntimeError("the machine went away")
                added.append(number)
                add()

            yield counted

    monkeypatch.setattr(gram, "_parts", breaking)
    with pytest.raises(RuntimeError, match="went away"):
        network().noise("gram", ghosts=ghosts).top(4, checkpoint=tmp_path)
    again = network().noise("gram", ghosts=ghosts)
    found = again.top(4, checkpoint=tmp_path)
    assert added[:4] == [0, 1, 2, 2] and len(set(added[2:])) == len(added[2:]) - 1
    monkeypatch.setattr(gram, "_parts", parts)
    np.testing.assert_allclose(found.values, expected.top(4).values, rtol=1e-13)
    np.testing.assert_allclose(again.gram(tmp_path), expected.gram(), rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"another question in .*operator="):
        network().fisher("empirical", ghosts=ghosts).gram(tmp_path)


def test_products_that_share_a_file_come_back_to_the_same_bits(tmp_path, monkeypatch):
    """Rows of one array lie at any address, and sums in double precision go by alignment."""
    monkeypatch.setattr("sgdyn.storage.SECONDS", 1e9)
    net = models.network()
    for odd in (net, net.block("0.*"), net.block("2.bias")):
        options = {"method": "lanczos", "k": 3, "checkpoint": tmp_path / str(odd.dim)}
        first, again = odd.hessian().top(**options), odd.hessian().top(**options)
        np.testing.assert_array_equal(again.vectors, first.vectors)
        np.testing.assert_array_equal(again.values, first.values)
