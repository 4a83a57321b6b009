"""Processes whose passage times, committors and rates are known; shared by the tests of grids."""

import numpy as np

import sgdyn as sg
from sgdyn.region import Region

WIDE, NARROW = [[1, 0.8], [0.8, 1]], [[1, 0.4], [0.4, 0.25]]


@sg.potential(dim=1)
def quartic(x):
    return (x[0] ** 2 - 1) ** 2


@sg.potential(dim=1)
def flat(x):
    return 0 * x[0]


def rotating(x):
    """Anisotropy 50, the angle turns with the place."""
    angle = np.pi / 4 * x[0] + 0.5 * x[1]
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c * c + 0.02 * s * s, 0.98 * c * s], [0.98 * c * s, s * s + 0.02 * c * c]])


LINE = sg.Langevin(quartic, T=1 / 3)
LEFT, RIGHT = (Region.of(side, 2) for side in (lambda x: x[0] <= -1, lambda x: x[0] >= 1))


def line(n):
    return sg.fokker_planck(LINE, sg.Grid([(-2, 2, n)]))


def plane(D, n):
    """(x² - 1)² + 2 y² at T = 1/3 in the Gibbs state on [-2, 2]²."""
    problem = sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, T=1 / 3, D=D)
    return sg.fokker_planck(problem, sg.Grid([(-2, 2, n), (-2, 2, n)]))


def slope(errors, factor=2.0):
    """The mean order of errors on grids each `factor` times finer than the one before."""
    errors = np.abs(errors)
    return np.log(errors[0] / errors[-1]) / np.log(factor) / (len(errors) - 1)
