"""Wrong calls and what they are told: what was got, what was expected, what to type."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn import BlowUpError, BranchError
from tests.nets import models

WELL = sg.landscapes.double_well().U
PLANE = sg.quadratic([[2.0, 0.3], [0.3, 1.0]])
PROCESS = sg.Langevin(WELL, T=0.1)
GRID = sg.Grid([(-1, 1, 8)])
RUN = {"t": 1.0, "dt": 0.1}


def potential(function, dim=2):
    return sg.potential(dim=dim)(function)


def trace_if(x):
    return x[0] if x[0] > 0 else -x[0]


def trace_parameter(x, count=3):
    return sum(x[0] ** k for k in range(count))


CALLS = {
    "branch on x": (lambda: potential(trace_if), BranchError, r"np\.where"),
    "and of conditions": (lambda: potential(lambda x: np.where(x[0] > 0 and x[1] > 0, 1.0, 2.0)), BranchError, "&"),
    "built-in max": (lambda: potential(lambda x: max(x[0], 0.0)), BranchError, r"np\.maximum"),
    "math.exp": (lambda: potential(lambda x: __import__("math").exp(x[0])), BranchError, r"np\.exp"),
    "parameter as loop bound": (lambda: potential(trace_parameter), BranchError, "outside the function"),
    "assignment into a float array": (
        lambda: potential(lambda x: (lambda a: a.__setitem__(0, x[0]) or a.sum())(np.zeros(2))),
        BranchError,
        "traced",
    ),
    "unknown NumPy function": (
        lambda: potential(lambda x: np.sinc(x[0])),
        TypeError,
        "cannot be traced|needs the value",
    ),
    "unknown ufunc": (lambda: potential(lambda x: np.floor(x[0])), TypeError, "elementwise functions are"),
    "a vector for a potential": (lambda: potential(lambda x: x), ValueError, r"np\.sum"),
    "potential without dimension": (lambda: sg.potential(lambda x: x[0]), TypeError, r"type @sg\.potential\(dim=2\)"),
    "argument without default": (lambda: potential(lambda x, a: a * x[0]), TypeError, "to make it a parameter"),
    "text as parameter": (lambda: potential(lambda x, a="2": x[0]), TypeError, "outside the function"),
    "unknown parameter": (lambda: sg.landscapes.rugged().U.replace(depth=2.0), TypeError, "expected some of roughness"),
    "parameter of another shape": (lambda: PLANE.replace(center=[1, 2, 3]), ValueError, r"expected \(2,\)"),
    "points of another dimension": (lambda: WELL(np.zeros(3)), ValueError, r"\(\.\.\., 1\)"),
    "asymmetric H": (lambda: sg.quadratic([[1.0, 2.0], [0.0, 1.0]]), ValueError, "symmetric"),
    "NaN in H": (lambda: sg.quadratic([[np.nan, 0.0], [0.0, 1.0]]), ValueError, "got nan"),
    "temperature zero": (lambda: sg.Langevin(WELL, T=0.0), ValueError, "T=0"),
    "negative temperature": (lambda: sg.Langevin(WELL, T=-0.1), ValueError, "> 0"),
    "infinite temperature": (lambda: sg.Langevin(WELL, T=np.inf), ValueError, "finite"),
    "indefinite D": (lambda: sg.Langevin(PLANE, D=[[1.0, 2.0], [2.0, 1.0]]), ValueError, "eigenvalue -1"),
    "negative D": (lambda: sg.Langevin(PLANE, D=-1.0), ValueError, ">= 0"),
    "asymmetric D": (lambda: sg.Langevin(PLANE, D=[[1.0, 0.5], [0.0, 1.0]]), ValueError, "symmetric"),
    "D of another size": (lambda: sg.Langevin(PLANE, D=np.eye(3)), ValueError, r"\(2, 2\)"),
    "D(x) of another shape": (lambda: sg.Langevin(PLANE, D=lambda x: np.ones((2, 3)) * x[0]), ValueError, r"\(2, 2\)"),
    "function for U": (lambda: sg.Langevin(lambda x: x**2), TypeError, r"@sg\.potential"),
    "no drift at all": (lambda: sg.Langevin(None), TypeError, "from_drift"),
    "curl of another size": (lambda: sg.Langevin(PLANE, curl=lambda x: x[:1]), ValueError, r"\(2,\)"),
    "low rank that does not fit": (lambda: sg.LowRank(np.eye(3), [1.0, 2.0]), ValueError, r"\(3,\)"),
    "epoch sampler called white": (
        lambda: sg.sgd(PLANE, 1.0, lr=0.1, batch=8, n=64, sampler="epoch"),
        ValueError,
        "anti-correlated",
    ),
    "full batch": (lambda: sg.sgd(PLANE, 1.0, lr=0.1, batch=64, n=64), ValueError, "no noise"),
    "momentum one": (lambda: sg.sgd(PLANE, 1.0, lr=0.1, batch=8, momentum=1.0), ValueError, r"\[0, 1\)"),
    "x0 of another dimension": (lambda: sg.simulate(PROCESS, [0.0, 0.0], **RUN), ValueError, "x0"),
    "NaN in x0": (lambda: sg.simulate(PROCESS, [np.nan], **RUN), ValueError, "got nan in x0"),
    "negative step": (lambda: sg.simulate(PROCESS, [0.0], t=1.0, dt=-0.1), ValueError, "dt=-0.1"),
    "too many steps": (lambda: sg.simulate(PROCESS, [0.0], t=1e9, dt=1e-9), ValueError, "larger dt"),
    "unstable step of a linear process": (
        lambda: sg.simulate(sg.Langevin(PLANE), [0.0, 0.0], t=9.0, dt=3.0),
        ValueError,
        "dt <",
    ),
    "unstable step elsewhere": (lambda: sg.simulate(PROCESS, [5.0], t=9.0, dt=0.5, seed=0), BlowUpError, "too large"),
    "method without brackets": (
        lambda: sg.simulate(PROCESS, [0.0], method=sg.EulerMaruyama, **RUN),
        TypeError,
        "brackets",
    ),
    "potential instead of a process": (lambda: sg.simulate(WELL, [0.0], **RUN), TypeError, r"sg\.Langevin"),
    "more saved times than steps": (lambda: sg.simulate(PROCESS, [0.0], save=100, **RUN), ValueError, "at most 11"),
    "saved times beyond the end": (
        lambda: sg.simulate(PROCESS, [0.0], save=[0.5, 2.0], **RUN),
        ValueError,
        "between 0 and 1",
    ),
    "number of paths that differs from x0": (
        lambda: sg.simulate(PROCESS, np.zeros((4, 1)), n_paths=5, **RUN),
        ValueError,
        "n_paths",
    ),
    "half a path": (lambda: sg.simulate(PROCESS, [0.0], n_paths=2.5, **RUN), TypeError, "whole number"),
    "truth value for n_paths of points": (
        lambda: sg.simulate(PROCESS, [[0.0]], n_paths=True, **RUN),
        TypeError,
        "whole number",
    ),
    "truth value for save": (lambda: sg.simulate(PROCESS, [0.0], save=True, **RUN), TypeError, "whole number"),
    "truth values for times": (
        lambda: sg.simulate(PROCESS, [0.0], save=[False, True], **RUN),
        TypeError,
        r"save=\[0\.0, 1\]",
    ),
    "truth value for threads": (lambda: sg.simulate(PROCESS, [0.0], threads=True, **RUN), TypeError, "whole number"),
    "truth value for seed": (lambda: sg.simulate(PROCESS, [0.0], seed=True, **RUN), TypeError, "whole number"),
    "text for extrapolate": (
        lambda: sg.first_passage(PROCESS, [-1.0], lambda x: x[0] > 0, dt=0.1, extrapolate="no"),
        TypeError,
        "True or False",
    ),
    "path number beyond the counter": (
        lambda: sg.simulate(PROCESS, [0.0], n_paths=2, first_path=2**64 - 1, **RUN),
        ValueError,
        "below 2\\^64",
    ),
    "path number beyond the counter, watched": (
        lambda: sg.observe(PROCESS, [0.0], {"m": sg.Average()}, n_paths=30, first_path=2**64, **RUN),
        ValueError,
        "below 2\\^64",
    ),
    "path number beyond the counter, racing": (
        lambda: sg.first_passage(PROCESS, [-1.0], lambda x: x[0] > 0, dt=0.1, first_path=2**64),
        ValueError,
        "below 2\\^64",
    ),
    "more paths than can be": (
        lambda: sg.observe(PROCESS, [0.0], {"m": sg.Average()}, n_paths=2**63, **RUN),
        ValueError,
        "at most 2\\^40",
    ),
    "steps beyond the counter": (
        lambda: sg.simulate(PROCESS, [0.0], t=1.0, dt=1e-10, refine=2**20),
        ValueError,
        "at most 2\\^41",
    ),
    "negative path number": (lambda: sg.normals(1, paths=[-1], steps=2), TypeError, "whole numbers >= 0"),
    "negative step number": (lambda: sg.normals(1, paths=1, steps=range(-1, 2)), ValueError, "step numbers >= 0"),
    "a component that is not there": (
        lambda: sg.observe(PROCESS, [0.0], {"m": sg.Average(lambda x: x[1])}, n_paths=30, **RUN),
        IndexError,
        r"dimension 1 has not .*expected x\[0\]; type x\[0\]",
    ),
    "a component that the region has not": (
        lambda: sg.first_passage(sg.Langevin(PLANE), [0.0, 0.0], lambda x: x[2] > 1, dt=0.1),
        IndexError,
        r"dimension 2 .*expected x\[0\] to x\[1\]",
    ),
    "negative seed": (lambda: sg.simulate(PROCESS, [0.0], seed=-1, **RUN), TypeError, "SeedSequence"),
    "mean of one path at one time": (lambda: sg.simulate(PROCESS, [0.0], **RUN).mean(), ValueError, "larger n_paths"),
    "histogram in another dimension": (
        lambda: sg.simulate(sg.Langevin(PLANE), [0, 0], n_paths=9, **RUN).histogram(GRID),
        ValueError,
        "component",
    ),
    "region without comparison": (
        lambda: sg.first_passage(PROCESS, [-1.0], lambda x: x[0], dt=0.1),
        TypeError,
        r"x\[0\] > 0\.9",
    ),
    "number for a region": (lambda: sg.first_passage(PROCESS, [-1.0], 1.0, dt=0.1), TypeError, "predicate"),
    "start inside the region": (
        lambda: sg.first_passage(PROCESS, [-1.0], lambda x: x[0] < 0, dt=0.1),
        ValueError,
        "inside",
    ),
    "never reached": (
        lambda: sg.first_passage(PROCESS, [-1.0], lambda x: x[0] > 9, dt=0.1, t_max=5.0, n_paths=4),
        sg.CensoredError,
        "can be reached",
    ),
    "unbounded integral": (
        lambda: sg.mean_first_passage_1d(sg.Langevin.from_drift(lambda x: 0 * x, dim=1), 0, 1),
        ValueError,
        "wall=",
    ),
    "integral in two dimensions": (
        lambda: sg.mean_first_passage_1d(sg.Langevin(PLANE), 0, 1),
        ValueError,
        "dimension 1",
    ),
    "lyapunov of a double well": (lambda: sg.linear_stationary(PROCESS), ValueError, "linearise"),
    "lyapunov of a saddle": (
        lambda: sg.linear_stationary(sg.Langevin(sg.quadratic([1.0, -1.0]))),
        ValueError,
        "does not decay",
    ),
    "sgd on a flat direction": (
        lambda: sg.discrete_sgd(np.diag([1.0, 0.0]), np.eye(2), lr=0.1, batch=1),
        ValueError,
        "positive definite",
    ),
    "sgd beyond stability": (lambda: sg.discrete_sgd([[1.0]], [[1.0]], lr=2.5, batch=1), ValueError, "diverges"),
    "grid upside down": (lambda: sg.Grid([(1, -1, 5)]), ValueError, "low < high"),
    "grid without counts": (lambda: sg.Grid([(1, 2)]), ValueError, "low, high, count"),
    "table of another shape": (lambda: sg.tabulated(GRID, np.zeros(7)), ValueError, r"\(8,\)"),
    "table with holes": (lambda: sg.tabulated(GRID, np.full(8, np.nan)), ValueError, "nan"),
    "wrong gradient": (
        lambda: sg.Potential.from_functions(lambda x: x[..., 0] ** 2, lambda x: x, dim=1),
        ValueError,
        "differences of value",
    ),
    "functions of one point only": (
        lambda: sg.Potential.from_functions(lambda x: x[0] ** 2, lambda x: 2 * x, dim=1),
        ValueError,
        "leading axes",
    ),
    "missing Hessian": (
        lambda: sg.Potential.from_functions(lambda x: x[..., 0] ** 2, lambda x: 2 * x, dim=1).hess([0.0]),
        ValueError,
        "was not given",
    ),
    "local model at a maximum": (
        lambda: (
            models.network(weight_decay=0.0)
            .subspace(basis=np.eye(models.network().dim)[:, :9])
            .local_model(lr=0.1, batch=8)
        ),
        ValueError,
        "minimize",
    ),
    "ignored targets": (
        lambda: sg.nets.Network(models.mlp(), models.nn.CrossEntropyLoss(ignore_index=2), models.data()),
        ValueError,
        "ignore_index=2.*without those",
    ),
    "targets that broadcast": (
        lambda: sg.nets.Network(models.mlp((5, 1)), models.nn.MSELoss(), (models.data()[0], np.zeros(101))),
        ValueError,
        r"expected equal shapes; type y\.reshape\(-1, 1\)",
    ),
    "one loss for a batch": (
        lambda: sg.nets.Network(models.mlp(), lambda output, y: output.mean(), models.data()),
        ValueError,
        "one number a sample; type reduction='none'",
    ),
    "classes that the model has not": (
        lambda: sg.nets.Network(models.mlp(), models.nn.CrossEntropyLoss(), (models.data()[0], np.full(101, 3))),
        ValueError,
        r"IndexError.*targets \(\) torch.int64, expected losses; type loss\(model",
    ),
    "inputs of another size": (
        lambda: sg.nets.Network(models.mlp(), models.nn.CrossEntropyLoss(), (np.zeros((9, 4)), np.zeros(9))),
        ValueError,
        r"RuntimeError.*inputs \(4,\)",
    ),
    "numbers for samples": (
        lambda: sg.nets.Network(models.mlp(), models.nn.CrossEntropyLoss(), (1.0, 2.0)),
        ValueError,
        "in the first axis",
    ),
    "batch norm without statistics": (
        lambda: sg.nets.Network(
            models.nn.Sequential(models.mlp(), models.nn.BatchNorm1d(3, track_running_stats=False)).double().eval(),
            models.nn.CrossEntropyLoss(),
            models.data(),
        ),
        ValueError,
        "type track_running_stats=True",
    ),
    "local model at a saddle": (
        lambda: (
            models.network(weight_decay=0.0)
            .subspace(basis=np.linalg.eigh(models.network(weight_decay=0.0).hessian().dense())[1][:, -2:])
            .local_model(lr=0.1, batch=8)
        ),
        ValueError,
        r"outside the subspace.*network\.minimize\(\)",
    ),
    "too many eigenpairs": (lambda: models.network().noise().top(200), ValueError, "at most"),
    "weights of another size": (lambda: models.network().at([1.0, 2.0]), ValueError, "expected"),
    "unknown sampler": (
        lambda: sg.nets.train(models.network(), steps=2, lr=0.1, batch=8, sampler="shuffle"),
        ValueError,
        "'epoch'",
    ),
    "batch larger than the data": (
        lambda: sg.nets.train(models.network(), steps=2, lr=0.1, batch=800, sampler="without"),
        ValueError,
        "batch <= n",
    ),
    "landscape beyond its range": (
        lambda: sg.landscapes.double_well_2d(tilt=3.0),
        ValueError,
        "one of the wells is gone",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_is_told_what_to_type(name):
    call, kind, message = CALLS[name]
    with pytest.raises(kind, match=message) as info:
        call()
    assert len(str(info.value)) > 20
