"""Run by test_cuda.py, in a process of its own with the CUDA simulator or with a device: prints what was found as JSON."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import config

import sgdyn as sg
from sgdyn.codegen import cuda as kernels
from sgdyn.randomness import key
from sgdyn.sde import cuda, tally
from sgdyn.sde.course import Clock, Course
from sgdyn.sde.cuda_walkers import DeviceWalkers
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Walkers, thread_pool


@sg.potential(dim=2)
def muller_like(x, a=1.2):
    bumps = a * np.exp(-(x[0] ** 2) + 0.3 * x[0] * x[1] - 2 * x[1] ** 2) + np.sin(3 * x[0]) * np.tanh(x[1])
    return -bumps + 0.5 * (x[0] ** 2 + x[1] ** 2) ** 2 + np.log(1 + x[0] ** 2) + np.where(x[1] > 0.1, x[1] ** 2, 0.0)


H = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]])
PROCESSES = {
    "double well": sg.landscapes.double_well().problem(0.1),
    "transcendental": sg.Langevin(muller_like, T=0.3, D=[1.0, 0.5]),
    "partly noisy": sg.Langevin(muller_like, T=0.3, D=[0.0, 0.5], curl=lambda x: np.array([-x[1], x[0]])),
    "dense linear": sg.Langevin(sg.quadratic(H), T=0.5, D=np.eye(3) + 0.4),
    "dense formula": sg.Langevin(muller_like, T=0.5, D=[[1.0, 0.4], [0.4, 0.5]]),
    "low rank": sg.Langevin(muller_like, T=0.3, D=sg.LowRank([[1.0], [2.0]], [0.5])),
    "low rank and floor": sg.Langevin(sg.quadratic(H), T=0.3, D=sg.LowRank(np.ones((3, 2)) + np.eye(3)[:, :2], [0.5, 0.2], 0.1)),
    "D(x)": sg.Langevin(muller_like, T=0.1, D=lambda x: np.array([[1 + x[0] ** 2, 0.2 * x[1]], [0.2 * x[1], 1.0]])),
    "semidefinite D(x)": sg.Langevin(muller_like, T=0.1, D=lambda x, s=0.7: s * np.outer(np.stack([x[0], 1.0]), np.stack([x[0], 1.0]))),
    "linear with D(x)": sg.Langevin(sg.quadratic(H), T=0.1, D=lambda x: 1 + x**2),
    "momentum": sg.Momentum(muller_like, T=0.3, friction=0.7),
}  # fmt: skip
DT = 0.02


def both(name, paths=8, steps=12, precision="float64", **options):
    """The points on the CPU and on the device."""
    process = PROCESSES[name]
    given = {
        "t": steps * DT,
        "dt": DT,
        "n_paths": paths,
        "seed": 3,
        "save": [0.0, 3 * DT, 4 * DT, steps * DT],
        **options,
    }
    x0 = 0.3 + 0.1 * np.arange(process.dim)
    here = sg.simulate(process, x0, **given)
    there = sg.simulate(process, x0, device="cuda", precision=precision, **given)
    assert here.x.shape == there.x.shape and there.x.dtype == np.float64
    return here, there


def distance(*arguments, **options):
    """The largest difference between the two."""
    here, there = both(*arguments, **options)
    return float(np.abs(here.x - there.x).max())


def by_slices(**options):
    """The same with launches of few steps."""
    before, cuda.WORK, cuda.ROOM = (cuda.WORK, cuda.ROOM), 1.0, 1
    found = [both("transcendental", paths=3, steps=37, save=5, **options)[1].x]
    cuda.WORK, cuda.ROOM = before
    found.append(both("transcendental", paths=3, steps=37, save=5, **options)[1].x)
    return bool(np.array_equal(*found))


OBSERVABLES = {
    "mean": sg.Average(lambda x: np.array([x[0] * x[1], x[0] > 0.3])),
    "covariance": sg.Covariance(),
    "density": sg.Histogram(sg.Grid([(0, 0.5, 4), (0.2, 0.5, 3)])),
    "lagged": sg.Autocovariance([0.0, 2 * DT, 4 * DT]),
    "maximum": sg.Maximum(),
    "splitting": sg.Splitting(lambda x: x[0] > 0.35, lambda x, level=0.5: x[1] > level),
    "last": sg.LastExit(lambda x: x[0] > 0.3),
}


def numbers(found):
    """All values and errors in one row."""
    parts = [
        (f.values, f.error, f.outside) if hasattr(f, "outside") else (f.value, f.error) for f in found.results.values()
    ]
    return np.concatenate([np.ravel(part) for several in parts for part in several])


def watched(names, paths, problem="transcendental", groups=None, **options):
    """The largest difference between the answers of the CPU and the device, errors included, and a number that is not 0."""
    before, tally.GROUPS = tally.GROUPS, groups or tally.GROUPS
    process, precision = PROCESSES[problem], options.pop("precision", "float64")
    given = {"t": 9 * DT, "dt": DT, "n_paths": paths, "seed": 3, "first_path": 5, **options}
    observables = {name: OBSERVABLES[name] for name in names.split()}
    x0 = 0.3 + 0.1 * np.arange(process.dim)
    here = numbers(sg.observe(process, x0, observables, **given))
    there = numbers(sg.observe(process, x0, observables, device="cuda", precision=precision, **given))
    tally.GROUPS = before
    return float(np.abs(here - there).max()), float(np.abs(here).max())


FIRST, SECOND = "mean covariance density lagged maximum", "splitting last density"


def observed():
    """Paths that are groups each; many of them in groups; stretches of time of few; counters outside of shared memory."""
    found = {
        "paths": watched(FIRST, 7, after=DT, every=2),
        "groups": watched(FIRST, 33, groups=2, t=5 * DT),
        "groups, late": watched("covariance " + SECOND, 40, groups=2, t=6 * DT, after=2 * DT, every=2),
        "stretches": watched("mean covariance density", 2, t=36 * DT, every=2),
        "once": watched(SECOND, 6),
        "schedule": watched("covariance", 3, problem="D(x)", temperature=lambda t: 0.1 + t, t=36 * DT),
        "linear": watched("covariance maximum", 5, problem="dense linear", t=36 * DT),
    }  # fmt: skip
    before, kernels.SHARED, kernels.THREADS = (kernels.SHARED, kernels.THREADS), 5, 64
    found["counters in memory"] = watched("density", 69, groups=2, t=3 * DT, seed=8)
    kernels.SHARED, kernels.THREADS = before
    return found


def watched_in_pieces():
    """Chunks of few paths and launches of few steps change no answer, and again gives the same bits."""

    def run():
        given = {"t": 40 * DT, "dt": DT, "n_paths": 40, "seed": 3, "device": "cuda"}
        return numbers(
            sg.observe(PROCESSES["double well"], [0.3], {"m": sg.Average(), "v": sg.Autocovariance([0.0, DT])}, **given)
        )

    whole = run()
    before, cuda.CHUNK, cuda.WORK = (cuda.CHUNK, cuda.WORK), 32, 1.0
    pieces = run()
    cuda.CHUNK, cuda.WORK = before
    return bool(np.array_equal(whole, pieces)), bool(np.array_equal(whole, run()))


def passage(problem="transcendental", precision="float64", **options):
    """The largest difference between the arrival times of the CPU and the device, and the spread of the times."""
    process = PROCESSES[problem]
    given = {"dt": DT, "n_paths": 12, "seed": 3, "first_path": 5, "method": sg.EulerMaruyama(), **options}
    where = (process, 0.3 + 0.1 * np.arange(process.dim), lambda x: (x[0] > 0.6) | (x[1] < 0.1))
    here = sg.first_passage(*where, **given).samples
    there = sg.first_passage(*where, device="cuda", precision=precision, **given).samples
    return float(np.abs(here - there).max()), float(np.ptp(here))


def refused(problem="double well", verb=sg.simulate, watch=(), **options):
    """The message of the error."""
    process = PROCESSES[problem] if isinstance(problem, str) else problem
    given = {"dt": DT, "device": "cuda", "n_paths": 30, **({} if verb is sg.first_passage else {"t": 0.1}), **options}
    try:
        verb(process, np.zeros(process.dim), *watch, **given)
    except (ValueError, sg.BlowUpError) as error:
        return str(error)
    return ""


class Own(sg.Average):
    """An observable of the user's."""


def refused_watching():
    """What `observe` and `first_passage` cannot do on the device."""
    region, mean = (lambda x: x[0] > 9,), ({"m": sg.Average()},)
    with ThreadPoolExecutor(1) as pool:
        return [
            refused(verb=sg.observe, watch=({"m": Own()},)),
            refused(verb=sg.observe, watch=({"m": sg.Average(lambda x, t=0.0: x[0] * t)},)),
            refused(verb=sg.observe, watch=({"m": sg.Covariance(lambda x: x[0] ** np.arange(1, 60))},)),
            refused(verb=sg.observe, watch=mean, boundary=sg.box([(-1, 1)])),
            refused(verb=sg.observe, watch=mean, method=sg.Heun()),
            refused(verb=sg.observe, watch=mean, executor=pool),
            refused(verb=sg.observe, watch=mean, device="cpu", precision="float32"),
            refused(verb=sg.first_passage, watch=region, extrapolate=True),
            refused(verb=sg.first_passage, watch=region, executor=pool),
            refused(verb=sg.first_passage, watch=region, boundary=sg.box([(-1, 1)])),
            refused(verb=sg.first_passage, watch=region, rng="fast"),
            refused(verb=sg.first_passage, watch=(lambda x, t=0.0: x[0] > 9 + t,)),
        ]


def lost_on_the_way(precision):
    """The messages where paths are lost while they are watched, and while they race."""
    steep, where = sg.Langevin.from_drift(lambda x: x**3, dim=1), {"n_paths": 3, "dt": 0.1, "seed": 1}
    found = []
    for call in (
        lambda: sg.observe(steep, [5.0], {"m": sg.Average()}, t=2.0, device="cuda", precision=precision, **where),
        lambda: sg.first_passage(steep, [5.0], lambda x: x[0] < 0, device="cuda", precision=precision, **where),
    ):
        try:
            call()
        except sg.BlowUpError as error:
            found.append(str(error))
    return found


def blow_up(precision):
    """The message of the error where a path is lost."""
    steep = sg.Langevin.from_drift(lambda x: x**3, dim=1)
    try:
        sg.simulate(steep, [5.0], t=1.0, dt=0.1, n_paths=2, seed=1, first_path=4, device="cuda", precision=precision)
    except sg.BlowUpError as error:
        return str(error)
    return ""


def main():
    if config.ENABLE_CUDASIM:
        kernels.THREADS = 16  # every one is a thread of this process
    opaque = sg.Langevin.from_drift(
        lambda x: -x, D=sg.noise_from_functions(lambda x: np.eye(1) + 0 * x[..., None], dim=1), dim=1
    )
    print(json.dumps({
        "double": {name: distance(name) for name in PROCESSES},
        "single": {name: distance(name, noise="single") for name in PROCESSES},
        "float32": {name: distance(name, precision="float32", noise="single") for name in PROCESSES},
        "float32, double": distance("transcendental", precision="float32"),
        "path numbers": distance("double well", paths=140, steps=4, first_path=2**33 - 70, save=1),
        "twice in one step": distance("double well", save=[0.0, 0.001, 0.02, 0.021, 0.24]),
        "schedule": distance("D(x)", temperature=lambda t: 0.1 + t),
        "slices": [by_slices(), by_slices(noise="single")],
        "observed": observed(),
        "observed in float32": watched("mean covariance lagged maximum", 4, noise="single", precision="float32", t=20 * DT),
        "passage": [passage(), passage(correction="bridge"), passage(correction=None), passage("D(x)"), passage("momentum", correction=None)],
        "passage in float32": passage(precision="float32", noise="single"),
        "refused watching": refused_watching(),
        "lost on the way": [*lost_on_the_way("float64"), *lost_on_the_way("float32")],
        "observed in pieces": watched_in_pieces(),
        "far steps": [far("double"), far("single")],
        "refused": [refused(rng="fast"), refused(noise="weak"), refused(refine=2), refused(boundary=sg.box([(-1, 1)])), refused(checkpoint="x"), refused(opaque),
                    refused(device="tpu"), refused(device="cpu", precision="float32"), refused(precision="half")],
        "blow-up": [blow_up("float64"), blow_up("float32")],
    }))  # fmt: skip


def far(noise):
    """The largest difference after steps whose numbers exceed 32 bits."""
    process = PROCESSES["transcendental"]
    clock = Clock(DT, 1, key(3, 1), np.array([0.3]), variates(noise, "philox"))
    start, numbers, first = np.full((3, 2), 0.4), np.arange(3, dtype=np.uint64), 2**35 + 1
    with thread_pool(1) as workers:
        here = Walkers(Course(sg.EulerMaruyama().plan(process, DT), clock), start, numbers, workers)
        here.advance(first, 6)
    there = DeviceWalkers(process, clock, start, numbers, "float64")
    there.advance(first, first + 6)
    return float(np.abs(here.points() - there.points()).max())


if __name__ == "__main__":
    sys.exit(main())
