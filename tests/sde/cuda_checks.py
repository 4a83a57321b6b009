"""Run by test_cuda.py, in a process of its own with the CUDA simulator or with a device: prints what was found as JSON."""

import json
import sys

import numpy as np

import sgdyn as sg
from sgdyn.randomness import key
from sgdyn.sde import cuda
from sgdyn.sde.cuda import observe_moments
from sgdyn.sde.cuda_walkers import DeviceWalkers
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Clock, Course, Walkers, thread_pool


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


def moments(paths, steps=7, **options):
    """Differences from what NumPy makes of the CPU's paths, and the count."""
    process = PROCESSES["transcendental"]
    given = {"t": steps * DT, "dt": DT, "n_paths": paths, "seed": 3, "first_path": 5}
    x = sg.simulate(process, [0.3, 0.4], save=steps + 1, noise=options.get("noise", "double"), **given).x
    looked = x[:, 3::2] if options else x[:, [steps]]  # after step 1, every second
    count, mean, second = observe_moments(process, [0.3, 0.4], **given, **options)
    points = looked.reshape(-1, 2)
    return (
        count - len(points),
        float(np.abs(mean - points.mean(0)).max()),
        float(np.abs(second - points.T @ points / len(points)).max()),
    )


def refused(problem="double well", **options):
    """The message of the error."""
    process = PROCESSES[problem] if isinstance(problem, str) else problem
    try:
        sg.simulate(process, np.zeros(process.dim), t=0.1, dt=DT, device=options.pop("device", "cuda"), **options)
    except (ValueError, sg.BlowUpError) as error:
        return str(error)
    return ""


def blow_up(precision):
    """The message of the error where a path is lost."""
    steep = sg.Langevin.from_drift(lambda x: x**3, dim=1)
    try:
        sg.simulate(steep, [5.0], t=1.0, dt=0.1, n_paths=2, seed=1, first_path=4, device="cuda", precision=precision)
    except sg.BlowUpError as error:
        return str(error)
    return ""


def main():
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
        "moments": [moments(140), moments(5, after=DT, every=2), moments(4, after=DT, every=2, noise="double", precision="float64")],
        "moments of floats": moments(4, after=DT, every=2, noise="single", precision="float32"),
        "moments in chunks": chunked(),
        "far steps": [far("double"), far("single")],
        "moments repeat": repeats(),
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


def repeats():
    """Sums over blocks of threads have the same bits in every run."""
    given = {"t": 3 * DT, "dt": DT, "n_paths": 140, "seed": 3}
    first, again = (observe_moments(PROCESSES["double well"], [0.3], **given) for _ in range(2))
    return all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def chunked():
    """Moments of chunks of two paths and launches of few steps."""
    before, cuda.CHUNK, cuda.WORK = (cuda.CHUNK, cuda.WORK), 2, 1.0
    found = moments(5, steps=35, after=DT, every=2)
    cuda.CHUNK, cuda.WORK = before
    return found


if __name__ == "__main__":
    sys.exit(main())
