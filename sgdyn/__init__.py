"""sgdyn: the dynamics of stochastic gradient descent as a diffusion.

    dX = (-grad U + c) dt + sqrt(2 T) sigma(X) dW,   sigma sigma' = D,   T = eta/2B

One process object, many independent theories, each answer with its error. See README.md, or `sgdyn.landscapes` for systems to play with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sgdyn import datasets, fit, landscapes, nets, plot
    from sgdyn.crosschecks.tables import Crosscheck, crosscheck
    from sgdyn.density.boundary_value import QuasiStationary
    from sgdyn.density.collocation import Chebyshev, chebyshev
    from sgdyn.density.currents import Current
    from sgdyn.density.distribution import Density, gaussian
    from sgdyn.density.evolution import Evolution
    from sgdyn.density.flows.energies import Energy, Entropy, Interaction, PorousMedium, PotentialEnergy
    from sgdyn.density.flows.entropic import Entropic
    from sgdyn.density.flows.flow import Cloud, Flow, GaussianState
    from sgdyn.density.flows.gaussians import Gaussian
    from sgdyn.density.flows.graph import Graph
    from sgdyn.density.flows.particles import Particles
    from sgdyn.density.flows.quantile import Quantile
    from sgdyn.density.flows.stepping import jko
    from sgdyn.density.generator import Generator, fokker_planck
    from sgdyn.density.grid import Grid
    from sgdyn.density.solution import Solution
    from sgdyn.density.spectrum import RelaxationSpectrum
    from sgdyn.errors import BlowUpError, BranchError, CensoredError, NotConvergedError
    from sgdyn.escape.basins import SaddleGraph
    from sgdyn.escape.effective_potentials import EffectivePotential, effective_potential
    from sgdyn.escape.extrapolation import Arrhenius, ExponentialTail, extrapolated_passage
    from sgdyn.escape.forward_flux import ForwardFlux
    from sgdyn.escape.kramers import kramers_time
    from sgdyn.escape.laws import (
        feng_tu_exponent,
        hu_saddle_escape_time,
        jastrzebski_basin_weights,
        kunin_moments,
        mori_escape_time,
        xie_escape_time,
        zhu_loss_increase,
        ziyin_label_noise_covariance,
    )
    from sgdyn.escape.marginals import DensityMarginal, EnsembleHistogram
    from sgdyn.escape.mean_times import mean_escape_time
    from sgdyn.escape.quadrature import mean_first_passage_1d
    from sgdyn.escape.rare_events import hitting_probability
    from sgdyn.escape.search import CriticalPoints, critical_points
    from sgdyn.escape.splitting import AdaptiveMultilevelSplitting
    from sgdyn.escape.umbrella import UmbrellaSampling
    from sgdyn.escape.valleys import Adiabatic, MarginalQuadrature
    from sgdyn.estimate import Estimate
    from sgdyn.factors import factor, stratonovich
    from sgdyn.noise import LowRank, nearest_covariance, noise_from_functions
    from sgdyn.pathspace.functional import Action, action
    from sgdyn.pathspace.instantons import Instanton, instanton
    from sgdyn.pathspace.paths import Path
    from sgdyn.pathspace.rules import FreidlinWentzell, Midpoint, MidpointJacobian, Prepoint, StaticKernel
    from sgdyn.potentials import Potential, potential, quadratic
    from sgdyn.problem import Langevin, Momentum, sgd
    from sgdyn.region import Region
    from sgdyn.sde.boundaries import box
    from sgdyn.sde.ensemble import Ensemble
    from sgdyn.sde.increments import normals
    from sgdyn.sde.methods.adaptive import Adaptive
    from sgdyn.sde.methods.baoab import BAOAB
    from sgdyn.sde.methods.compound_poisson import CompoundPoisson
    from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
    from sgdyn.sde.methods.exact_linear import ExactLinear
    from sgdyn.sde.methods.gjf import GJF
    from sgdyn.sde.methods.heun import Heun
    from sgdyn.sde.methods.levy_euler import LevyEuler
    from sgdyn.sde.methods.mala import MALA
    from sgdyn.sde.methods.milstein import Milstein
    from sgdyn.sde.methods.obabo import OBABO
    from sgdyn.sde.methods.resampled_sgd_map import ResampledSGDMap
    from sgdyn.sde.methods.ri6 import RI6
    from sgdyn.sde.methods.sgd_map import SGDMap
    from sgdyn.sde.methods.shark import ShARK
    from sgdyn.sde.methods.sra1 import SRA1
    from sgdyn.sde.methods.sra3 import SRA3
    from sgdyn.sde.methods.sri2 import SRI2, SRS2
    from sgdyn.sde.methods.sriw1 import SRIW1
    from sgdyn.sde.methods.stochastic_heavy_ball import StochasticHeavyBall
    from sgdyn.sde.methods.tamed_euler import TamedEuler
    from sgdyn.sde.methods.theta import Theta
    from sgdyn.sde.observables import Autocovariance, Average, Covariance, Histogram, LastExit, Maximum, Splitting
    from sgdyn.sde.observation import Observations, observe
    from sgdyn.sde.passage import first_passage
    from sgdyn.sde.simulation import simulate
    from sgdyn.steady.decomposition import Decomposition, decompose
    from sgdyn.steady.discrete import DiscreteSGD, discrete_sgd, ladder
    from sgdyn.steady.epochs import EpochSGD, epoch_sgd
    from sgdyn.steady.fluctuation import FluctuationPath
    from sgdyn.steady.linear import LinearStationary, linear_stationary
    from sgdyn.steady.quasipotentials import Quasipotential, quasipotential
    from sgdyn.tabulation import tabulated

_PLACES = {
    "Density": "density.distribution", "gaussian": "density.distribution", "Evolution": "density.evolution", "Grid": "density.grid",
    "Generator": "density.generator", "fokker_planck": "density.generator", "Energy": "density.flows.energies",
    "Entropy": "density.flows.energies", "Interaction": "density.flows.energies", "PorousMedium": "density.flows.energies",
    "PotentialEnergy": "density.flows.energies", "Cloud": "density.flows.flow", "Flow": "density.flows.flow",
    "GaussianState": "density.flows.flow", "Gaussian": "density.flows.gaussians", "Graph": "density.flows.graph",
    "Quantile": "density.flows.quantile", "jko": "density.flows.stepping", "Entropic": "density.flows.entropic",
    "Particles": "density.flows.particles", "Crosscheck": "crosschecks.tables", "crosscheck": "crosschecks.tables", "Chebyshev": "density.collocation",
    "chebyshev": "density.collocation", "Current": "density.currents", "QuasiStationary": "density.boundary_value",
    "RelaxationSpectrum": "density.spectrum", "Solution": "density.solution",
    "BlowUpError": "errors", "BranchError": "errors", "CensoredError": "errors", "NotConvergedError": "errors",
    "CriticalPoints": "escape.search", "critical_points": "escape.search", "SaddleGraph": "escape.basins", "kramers_time": "escape.kramers",
    "feng_tu_exponent": "escape.laws", "hu_saddle_escape_time": "escape.laws", "jastrzebski_basin_weights": "escape.laws", "kunin_moments": "escape.laws", "mori_escape_time": "escape.laws", "xie_escape_time": "escape.laws", "zhu_loss_increase": "escape.laws", "ziyin_label_noise_covariance": "escape.laws",
    "mean_first_passage_1d": "escape.quadrature", "Estimate": "estimate",
    "AdaptiveMultilevelSplitting": "escape.splitting", "ForwardFlux": "escape.forward_flux", "Arrhenius": "escape.extrapolation",
    "ExponentialTail": "escape.extrapolation", "extrapolated_passage": "escape.extrapolation", "hitting_probability": "escape.rare_events",
    "mean_escape_time": "escape.mean_times",
    "EffectivePotential": "escape.effective_potentials", "effective_potential": "escape.effective_potentials",
    "DensityMarginal": "escape.marginals", "EnsembleHistogram": "escape.marginals", "UmbrellaSampling": "escape.umbrella",
    "Adiabatic": "escape.valleys", "MarginalQuadrature": "escape.valleys", "ExponentialTail": "escape.extrapolation", "extrapolated_passage": "escape.extrapolation", "hitting_probability": "escape.rare_events",
    "mean_escape_time": "escape.mean_times", "mean_first_passage_1d": "escape.quadrature", "Estimate": "estimate",
    "LowRank": "noise", "nearest_covariance": "noise", "noise_from_functions": "noise",
    "Action": "pathspace.functional", "action": "pathspace.functional", "Instanton": "pathspace.instantons", "instanton": "pathspace.instantons",
    "Path": "pathspace.paths", "FreidlinWentzell": "pathspace.rules", "Midpoint": "pathspace.rules", "MidpointJacobian": "pathspace.rules",
    "Prepoint": "pathspace.rules", "StaticKernel": "pathspace.rules",
    "Potential": "potentials", "potential": "potentials", "quadratic": "potentials", "tabulated": "tabulation",
    "Langevin": "problem", "Momentum": "problem", "sgd": "problem", "normals": "sde.increments", "Region": "region",
    "Ensemble": "sde.ensemble", "simulate": "sde.simulation", "EulerMaruyama": "sde.methods.euler_maruyama", "first_passage": "sde.passage",
    "Autocovariance": "sde.observables", "Average": "sde.observables", "Covariance": "sde.observables", "Histogram": "sde.observables",
    "LastExit": "sde.observables", "Maximum": "sde.observables", "Splitting": "sde.observables",
    "Observations": "sde.observation", "observe": "sde.observation", "box": "sde.boundaries",
    "Adaptive": "sde.methods.adaptive", "BAOAB": "sde.methods.baoab", "OBABO": "sde.methods.obabo", "GJF": "sde.methods.gjf", "StochasticHeavyBall": "sde.methods.stochastic_heavy_ball",
    "SGDMap": "sde.methods.sgd_map", "ResampledSGDMap": "sde.methods.resampled_sgd_map", "LevyEuler": "sde.methods.levy_euler", "CompoundPoisson": "sde.methods.compound_poisson",
    "ExactLinear": "sde.methods.exact_linear", "Heun": "sde.methods.heun", "MALA": "sde.methods.mala", "Milstein": "sde.methods.milstein", "RI6": "sde.methods.ri6", "ShARK": "sde.methods.shark",
    "SRA1": "sde.methods.sra1", "SRA3": "sde.methods.sra3", "SRI2": "sde.methods.sri2", "SRS2": "sde.methods.sri2", "SRIW1": "sde.methods.sriw1", "TamedEuler": "sde.methods.tamed_euler", "Theta": "sde.methods.theta",
    "factor": "factors", "stratonovich": "factors",
    "DiscreteSGD": "steady.discrete", "discrete_sgd": "steady.discrete", "ladder": "steady.discrete",
    "LinearStationary": "steady.linear", "linear_stationary": "steady.linear",
    "Decomposition": "steady.decomposition", "decompose": "steady.decomposition",
    "EpochSGD": "steady.epochs", "epoch_sgd": "steady.epochs", "FluctuationPath": "steady.fluctuation", "Quasipotential": "steady.quasipotentials", "quasipotential": "steady.quasipotentials",
}  # fmt: skip
_ROOMS = ("datasets", "fit", "landscapes", "nets", "plot")

__all__ = [
    "BAOAB", "GJF", "MALA", "OBABO", "RI6", "SRA1", "SRA3", "SRI2", "SRIW1", "SRS2", "Action", "Adaptive", "AdaptiveMultilevelSplitting",
    "Adiabatic", "Arrhenius", "Autocovariance", "Average", "BlowUpError", "BranchError", "CensoredError", "Chebyshev", "Cloud",
    "CompoundPoisson", "Covariance", "CriticalPoints", "Crosscheck", "Current", "Decomposition", "Density", "DensityMarginal",
    "DiscreteSGD", "EffectivePotential", "Energy", "Ensemble", "EnsembleHistogram", "Entropic", "Entropy", "EpochSGD", "Estimate",
    "EulerMaruyama", "Evolution", "ExactLinear", "ExponentialTail", "Flow", "FluctuationPath", "ForwardFlux", "FreidlinWentzell",
    "Gaussian", "GaussianState", "Generator", "Graph", "Grid", "Heun", "Histogram", "Instanton", "Interaction", "Langevin", "LastExit",
    "LevyEuler", "LinearStationary", "LowRank", "MarginalQuadrature", "Maximum", "Midpoint", "MidpointJacobian", "Milstein", "Momentum",
    "NotConvergedError", "Observations", "Particles", "Path", "PorousMedium", "Potential", "PotentialEnergy", "Prepoint", "Quantile",
    "QuasiStationary", "Quasipotential", "Region", "RelaxationSpectrum", "ResampledSGDMap", "SGDMap", "SaddleGraph", "ShARK", "Solution",
    "Splitting", "StaticKernel", "StochasticHeavyBall", "TamedEuler", "Theta", "UmbrellaSampling", "action", "box", "chebyshev",
    "critical_points", "crosscheck", "datasets", "decompose", "discrete_sgd", "effective_potential", "epoch_sgd", "extrapolated_passage",
    "factor", "feng_tu_exponent", "first_passage", "fit", "fokker_planck", "gaussian", "hitting_probability", "hu_saddle_escape_time",
    "instanton", "jastrzebski_basin_weights", "jko", "kramers_time", "kunin_moments", "ladder", "landscapes", "linear_stationary",
    "mean_escape_time", "mean_first_passage_1d", "mori_escape_time", "nearest_covariance", "nets", "noise_from_functions", "normals",
    "observe", "plot", "potential", "quadratic", "quasipotential", "sgd", "simulate", "stratonovich", "tabulated", "xie_escape_time",
    "zhu_loss_increase", "ziyin_label_noise_covariance",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Rooms and names are imported when they are first used, so that `import sgdyn` is quick and loads neither torch nor matplotlib."""
    if name in _ROOMS:
        return import_module(f"sgdyn.{name}")
    if name in _PLACES:
        return getattr(import_module(f"sgdyn.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'sgdyn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
