"""The torch bridge: the noise and the curvature of real networks, and SGD on them."""

from sgdyn.linalg.spectra import Spectrum
from sgdyn.nets.alignment import aligned
from sgdyn.nets.curvatures import CurvatureAlignment, curvature_alignment
from sgdyn.nets.dependence import StateDependence, state_dependence
from sgdyn.nets.expansion import Cubic
from sgdyn.nets.fisher import EmpiricalFisher, MonteCarloFisher, TrueFisher, fisher_of
from sgdyn.nets.functions import torch_potential
from sgdyn.nets.gauss_newton import GaussNewton
from sgdyn.nets.gaussianity import NoiseTails, noise_tails
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.isotropic import isotropic_network
from sgdyn.nets.jacobian import Jacobian
from sgdyn.nets.labels import LabelNoiseCovariance, label_noise
from sgdyn.nets.low_rank import FullModel, full_model
from sgdyn.nets.minimum import minimize
from sgdyn.nets.monitoring import History, Monitor
from sgdyn.nets.network import Network
from sgdyn.nets.phases import SignalToNoise, signal_to_noise
from sgdyn.nets.preconditioning import AdaptiveProcess, AdaptiveRule, adaptive_process, adaptive_quadratic
from sgdyn.nets.scaling import PowerLaw, power_law
from sgdyn.nets.schemes import SGD, SGLD, SVAG, GaussianNoise
from sgdyn.nets.sharded import ShardedNetwork, distributed
from sgdyn.nets.sloppy_spectra import Sloppiness, sloppiness
from sgdyn.nets.sloppy_spectrum import SloppySpectrum
from sgdyn.nets.sources import LabelNoise
from sgdyn.nets.subspace import Subspace, local_model, subspace
from sgdyn.nets.tails import simsekli_index
from sgdyn.nets.training import Recording, train

__all__ = [
    "SGD",
    "SGLD",
    "SVAG",
    "AdaptiveProcess",
    "AdaptiveRule",
    "Cubic",
    "CurvatureAlignment",
    "EmpiricalFisher",
    "FullModel",
    "GaussNewton",
    "GaussianNoise",
    "GradientNoise",
    "Hessian",
    "History",
    "Jacobian",
    "LabelNoise",
    "LabelNoiseCovariance",
    "Monitor",
    "MonteCarloFisher",
    "Network",
    "NoiseTails",
    "PowerLaw",
    "Recording",
    "ShardedNetwork",
    "SignalToNoise",
    "Sloppiness",
    "SloppySpectrum",
    "Spectrum",
    "StateDependence",
    "Subspace",
    "TrueFisher",
    "adaptive_process",
    "adaptive_quadratic",
    "aligned",
    "curvature_alignment",
    "distributed",
    "fisher_of",
    "full_model",
    "isotropic_network",
    "label_noise",
    "local_model",
    "minimize",
    "noise_tails",
    "power_law",
    "signal_to_noise",
    "simsekli_index",
    "sloppiness",
    "state_dependence",
    "subspace",
    "torch_potential",
    "train",
]
