"""The torch bridge: the noise and the curvature of real networks, and SGD on them."""

from sgdyn.linalg.spectra import Spectrum
from sgdyn.nets.alignment import aligned
from sgdyn.nets.expansion import Cubic
from sgdyn.nets.fisher import EmpiricalFisher, MonteCarloFisher, TrueFisher, fisher_of
from sgdyn.nets.functions import torch_potential
from sgdyn.nets.gauss_newton import GaussNewton
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.jacobian import Jacobian
from sgdyn.nets.low_rank import FullModel, full_model
from sgdyn.nets.minimum import minimize
from sgdyn.nets.network import Network
from sgdyn.nets.schemes import SGD, SGLD, SVAG, GaussianNoise
from sgdyn.nets.sources import LabelNoise
from sgdyn.nets.subspace import Subspace, local_model, subspace
from sgdyn.nets.training import Recording, train

__all__ = [
    "SGD",
    "SGLD",
    "SVAG",
    "Cubic",
    "EmpiricalFisher",
    "FullModel",
    "GaussNewton",
    "GaussianNoise",
    "GradientNoise",
    "Hessian",
    "Jacobian",
    "LabelNoise",
    "MonteCarloFisher",
    "Network",
    "Recording",
    "Spectrum",
    "Subspace",
    "TrueFisher",
    "aligned",
    "fisher_of",
    "full_model",
    "local_model",
    "minimize",
    "subspace",
    "torch_potential",
    "train",
]
