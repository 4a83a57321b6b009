"""Potentials U: R^dim -> R, with every derivative the theories need, from one plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, traced
from sgdyn.fields import Affine, Constant, Field, Opaque

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Potential:
    """A potential and its derivatives: U(x), U.grad(x), U.hess(x), U.laplacian(x), U.laplacian_grad(x).

    Points x are (..., dim); the values are (...), (..., dim), (..., dim, dim), (...) and (..., dim). Made by `potential`, `quadratic`,
    `tabulated` or `Potential.from_functions`; `parameters` maps names to values, `replace` gives other values without recompiling.
    """

    dim: int
    value: Field
    grad: Field
    hess: Field
    laplacian: Field
    laplacian_grad: Field
    parameters: Mapping[str, Floats]
    name: str = "U"
    rebuild: Callable[[Mapping[str, Floats]], Potential] | None = field(default=None, repr=False)

    def __call__(self, x: ArrayLike) -> Floats:
        """U at points (..., dim), as (...)."""
        return self.value(x)

    def torch(self, x: Any) -> Any:
        """U at a torch tensor (..., dim), differentiable by torch.autograd and torch.func.

        Raises TypeError for potentials given as Python functions of NumPy arrays.
        """
        if not isinstance(self.value, Formula | _Quadratic):
            raise TypeError(
                f"{self.name} has no torch form, expected a potential made by @sg.potential or sg.quadratic"
            )
        return self.value.torch(x)

    def replace(self, **parameters: ArrayLike) -> Potential:
        """The same potential with other parameter values; nothing is compiled.

        Raises TypeError for names it does not have and ValueError for values of another shape.
        """
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown or self.rebuild is None:
            raise TypeError(
                f"got {', '.join(unknown) or 'no parameters'}, expected some of {', '.join(self.parameters) or 'none: it has no parameters'}"
            )
        new = {name: checks.finite(name, value) for name, value in parameters.items()}
        for name, value in new.items():
            if value.shape != self.parameters[name].shape:
                raise ValueError(f"got {name} of shape {value.shape}, expected {self.parameters[name].shape}")
        return self.rebuild({**self.parameters, **new})

    def latex(self) -> str:
        """The formula in LaTeX, coordinates as x_i and parameters by name."""
        if isinstance(self.value, Formula):
            return _latex(self.value, self.parameters)
        return (
            r"\tfrac{1}{2} (x - c)^\top H (x - c)"
            if isinstance(self.value, _Quadratic)
            else rf"\mathrm{{{self.name}}}(x)"
        )

    def _repr_latex_(self) -> str:
        return f"$U(x) = {self.latex()}$"

    def __repr__(self) -> str:
        shown = {name: "..." if value.ndim else f"{float(value):g}" for name, value in self.parameters.items()}
        return f"Potential({self.name}, dim={self.dim}{''.join(f', {k}={v}' for k, v in shown.items())})"

    @classmethod
    def from_functions(
        cls, value: Callable[..., ArrayLike], grad: Callable[..., ArrayLike], hess: Callable[..., ArrayLike] | None = None, *,
        dim: int, check: bool = True, **parameters: ArrayLike,
    ) -> Potential:  # fmt: skip
        """A potential from functions of points x (..., dim) and the keyword `parameters`.

        They return (...), (..., dim) and (..., dim, dim). Such a potential is simulated by NumPy steps, not by compiled blocks; without
        `hess`, what needs a Hessian raises. Raises ValueError if shapes are wrong, `grad` is not the gradient of `value` or `hess` not
        that of `grad` (compared with central differences at four points; `check=False` skips it).
        """
        dim = checks.count("dim", dim)
        given = {name: checks.finite(name, v) for name, v in parameters.items()}
        built = _from_functions(value, grad, hess, dim, given)
        if check:
            _check_derivative("grad", "value", built.value, built.grad)
        if check and hess is not None:
            _check_derivative("hess", "grad", built.grad, built.hess)
        return built


def _from_functions(value: Any, grad: Any, hess: Any, dim: int, given: Mapping[str, Floats]) -> Potential:
    keywords = {k: v if v.ndim else float(v) for k, v in given.items()}
    name = getattr(value, "__name__", "U")
    second = (
        None if hess is None else Opaque(lambda x: hess(x, **keywords), dim, (dim, dim), name=f"the Hessian of {name}")
    )
    missing = Opaque(_missing(name), dim, (dim, dim), name=f"the Hessian of {name}")
    first = Opaque(lambda x: grad(x, **keywords), dim, (dim,), second, name=f"the gradient of {name}")
    zeroth = Opaque(lambda x: value(x, **keywords), dim, (), first, name=name)
    laplacian = (second or missing).trace()
    slope = Opaque(
        _missing(name, "gradient of the Laplacian"), dim, (dim,), name=f"the gradient of the Laplacian of {name}"
    )
    return Potential(
        dim,
        zeroth,
        first,
        second or missing,
        laplacian,
        slope,
        given,
        name,
        lambda new: _from_functions(value, grad, hess, dim, new),
    )


def _missing(name: str, what: str = "Hessian") -> Callable[[Floats], Floats]:
    def refuse(x: Floats) -> Floats:
        raise ValueError(
            f"the {what} of {name} was not given; pass it to Potential.from_functions, or write {name} in NumPy for @sg.potential"
        )

    return refuse


def _check_derivative(name: str, of: str, lower: Field, upper: Field) -> None:
    """Compare a derivative with central differences at four points, along the coordinates or (above 16) 16 random directions."""
    rng, dim = np.random.default_rng(0), lower.dim
    x = rng.normal(size=(4, dim))
    directions = np.eye(dim) if dim <= 16 else rng.normal(size=(16, dim)) / np.sqrt(dim)
    h, derivative = 1e-5, upper(x)
    for e in directions:
        numeric, analytic = (lower(x + h * e) - lower(x - h * e)) / (2 * h), derivative @ e
        wrong = ~np.isclose(numeric, analytic, rtol=1e-4, atol=1e-6 * (1 + np.max(np.abs(derivative))))
        if np.any(wrong & np.isfinite(numeric)):
            k = tuple(np.argwhere(wrong & np.isfinite(numeric))[0])
            raise ValueError(
                f"got the slope {analytic[k]:.6g} from {name} at x = {np.array2string(x[k[0]], threshold=6)} along "
                f"{np.array2string(e, threshold=6)}, expected {numeric[k]:.6g} from differences of {of}; "
                "type check=False if the potential is not differentiable there"
            )


def potential(*misused: Any, dim: int | None = None) -> Callable[[Callable[..., Any]], Potential]:
    """Make a `Potential` of a plain NumPy function of x (dim,) that returns a number.

    `x[0]`, NumPy functions, array constants and loops over components are allowed; keyword defaults are parameters, of which one called
    `t` is the time in simulations. The function is
    called twice, with symbols. Raises `BranchError` where it decides by the value of x (use np.where), TypeError for NumPy functions
    that have no symbolic form and ValueError if the result is not a number or not twice the same (random numbers).

        @sg.potential(dim=2)
        def double_well(x, height=1.0):
            return height * (x[0]**2 - 1)**2 + 2 * x[1]**2
    """
    if misused or dim is None:
        raise TypeError("got @sg.potential without a dimension, expected its name; type @sg.potential(dim=2)")
    size = checks.count("dim", dim)

    def decorate(function: Callable[..., Any]) -> Potential:
        from sgdyn.codegen.expression import defaults

        return _from_formula(traced(function, size), defaults(function), function.__name__)

    return decorate


def _from_formula(value: Formula, given: Mapping[str, Floats], name: str) -> Potential:
    if value.shape != ():
        raise ValueError(
            f"got {name}(x) of shape {value.shape}, expected a number; type np.sum(...) or pick a component"
        )

    def rebuild(new: Mapping[str, Floats]) -> Potential:
        theta = np.concatenate([np.zeros(0), *[np.ravel(v) for v in new.values()]])
        return _from_formula(Formula(value.dim, (), theta, value.key, value.make, value.clocks), new, name)

    grad = value.gradient()
    hess = grad.gradient()
    laplacian = hess.trace()
    return Potential(value.dim, value, grad, hess, laplacian, laplacian.gradient(), given, name, rebuild)


def _latex(value: Formula, given: Mapping[str, Floats]) -> str:
    import sympy as sp

    from sgdyn.codegen.expression import coordinates, parameters

    symbols = iter(parameters(value.theta.size))
    names = {}
    for name, array in given.items():
        for index in np.ndindex(array.shape):
            suffix = "_{" + ",".join(map(str, index)) + "}" if index else ""
            names[next(symbols)] = sp.latex(sp.Symbol(name)) + suffix
    names |= {x: f"x_{{{i}}}" for i, x in enumerate(coordinates(value.dim))}
    return str(sp.latex(value.make().components.item(), symbol_names=names))


@dataclass(frozen=True, eq=False)
class _Quadratic:
    """(x - center)' H (x - center) / 2."""

    hessian: Floats
    center: Floats
    block = None
    shape = ()

    @property
    def dim(self) -> int:
        return len(self.center)

    @property
    def theta(self) -> Floats:
        return np.concatenate([self.center, self.hessian.ravel()])

    def __call__(self, x: ArrayLike) -> Floats:
        y = checks.points(x, self.dim) - self.center
        return np.asarray(0.5 * np.sum((y @ self.hessian) * y, axis=-1))

    def torch(self, x: Any) -> Any:
        y = x - x.new_tensor(self.center)
        return 0.5 * ((y @ x.new_tensor(self.hessian)) * y).sum(-1)

    def gradient(self) -> Affine:
        return Affine(self.hessian, -self.hessian @ self.center)

    def trace(self) -> Field:
        raise TypeError("a scalar field has no trace")

    def negated(self) -> _Quadratic:
        return _Quadratic(-self.hessian, self.center)


def quadratic(H: ArrayLike, center: ArrayLike = 0.0) -> Potential:
    """The potential U(x) = (x - center)' H (x - center) / 2 for a symmetric H (dim, dim), or a vector (dim,) of its diagonal.

    H may be indefinite (a saddle). Raises ValueError if it is not symmetric or not finite.
    """
    array = checks.finite("H", H)
    matrix = checks.symmetric("H", np.diag(array) if array.ndim == 1 else array)
    return _quadratic({"H": matrix, "center": checks.vector("center", center, len(matrix))})


def _quadratic(given: Mapping[str, Floats]) -> Potential:
    value = _Quadratic(checks.symmetric("H", given["H"]), given["center"])
    grad, dim = value.gradient(), value.dim
    hess = Constant(value.hessian, dim)
    return Potential(dim, value, grad, hess, hess.trace(), Constant(np.zeros(dim), dim), given, "quadratic", _quadratic)
