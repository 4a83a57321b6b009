"""The torch bridge: the noise and the curvature of real networks, and SGD on them."""

from sgdyn.nets.alignment import aligned
from sgdyn.nets.functions import torch_potential
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.minimum import minimize
from sgdyn.nets.network import Network
from sgdyn.nets.spectra import Spectrum
from sgdyn.nets.subspace import Subspace, local_model, subspace
from sgdyn.nets.training import Recording, train

__all__ = [
    "GradientNoise",
    "Hessian",
    "Network",
    "Recording",
    "Spectrum",
    "Subspace",
    "aligned",
    "local_model",
    "minimize",
    "subspace",
    "torch_potential",
    "train",
]
