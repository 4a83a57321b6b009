"""The torch bridge: the noise and the curvature of real networks, and SGD on them."""

from sgdyn.linalg.spectra import Spectrum
from sgdyn.nets.alignment import aligned
from sgdyn.nets.fisher import EmpiricalFisher, MonteCarloFisher, TrueFisher, fisher_of
from sgdyn.nets.functions import torch_potential
from sgdyn.nets.gauss_newton import GaussNewton
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.jacobian import Jacobian
from sgdyn.nets.minimum import minimize
from sgdyn.nets.monitoring import History, Monitor
from sgdyn.nets.network import Network
from sgdyn.nets.schemes import SGD, SGLD, SVAG, GaussianNoise
from sgdyn.nets.sharded import ShardedNetwork, distributed
from sgdyn.nets.sources import LabelNoise
from sgdyn.nets.subspace import Subspace, local_model, subspace
from sgdyn.nets.training import Recording, train

__all__ = [
    "SGD",
    "SGLD",
    "SVAG",
    "EmpiricalFisher",
    "GaussNewton",
    "GaussianNoise",
    "GradientNoise",
    "Hessian",
    "History",
    "Jacobian",
    "LabelNoise",
    "Monitor",
    "MonteCarloFisher",
    "Network",
    "Recording",
    "ShardedNetwork",
    "Spectrum",
    "Subspace",
    "TrueFisher",
    "aligned",
    "distributed",
    "fisher_of",
    "local_model",
    "minimize",
    "subspace",
    "torch_potential",
    "train",
]
