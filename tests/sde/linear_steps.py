"""The matrices of a method's step on a linear problem, read off the compiled step itself, and what follows from them to rounding."""

import numpy as np
from scipy import linalg

import sgdyn as sg


def step_of(method, problem, dt, paths=64):
    """M and C of x -> M x + noise of covariance C: M from differences under the same noise, C from the known normals."""
    dim, rank = problem.dim, method.steps_of(problem, dt).normals
    step = lambda x0: sg.simulate(problem, x0, t=dt, dt=dt, n_paths=paths, seed=9, method=method).x[:, 0]
    still = step(np.zeros(dim))
    M = np.stack([(step(e) - still)[0] for e in np.eye(dim)], axis=1)
    z = sg.normals(9, paths=paths, steps=1, components=rank)[:, 0]
    L, residual = np.linalg.lstsq(z, still, rcond=None)[:2]
    assert np.all(residual < 1e-20), "the step is not linear in its normals"
    return M, L.T @ L


def stationary_covariance(method, problem, dt):
    return linalg.solve_discrete_lyapunov(*step_of(method, problem, dt))
