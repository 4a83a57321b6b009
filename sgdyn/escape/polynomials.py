"""All critical points of a polynomial: a Gröbner basis (SymPy) and the eigenvalues of its multiplication matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import Formula
from sgdyn.fields import Field, as_formula

Floats = NDArray[np.float64]

MOST = 400
"""More complex solutions than this are left to Newton's method."""


class NotPolynomial(ValueError):
    """The gradient is no polynomial, or has too many zeros."""


def real_zeros(gradient: Field) -> tuple[Floats, int]:
    """The real zeros (n, dim) of a polynomial field, and the number of all complex ones with their multiplicities.

    In the quotient of the polynomials by their ideal multiplication by a coordinate is a matrix; its eigenvalues are the coordinates of
    the zeros. Raises `NotPolynomial`, and ValueError where the zeros form a curve.
    Source: Cox, Little, O'Shea, Using Algebraic Geometry, 2.4.
    """
    formula = as_formula(gradient)
    if formula is None:
        raise NotPolynomial("got a gradient that is not known in symbols")
    polynomials, symbols = _polynomials(formula)
    if len(symbols) == 1:
        roots = np.roots([float(c) for c in polynomials[0].all_coeffs()])
        return _real(roots[:, None]), len(roots)
    matrices = _multiplications(polynomials, symbols)
    mixture = sum(c * m for c, m in zip(np.random.default_rng(0).normal(size=len(matrices)), matrices, strict=True))
    vectors = np.linalg.eig(mixture.T)[1]  # evaluations of the monomials at the zeros
    which = np.argmax(np.abs(vectors), axis=0)
    columns = np.arange(vectors.shape[1])
    zeros = np.stack([(m.T @ vectors)[which, columns] / vectors[which, columns] for m in matrices], axis=1)
    return _real(zeros), len(zeros)


def _polynomials(formula: Formula) -> tuple[list[Any], tuple[Any, ...]]:
    import sympy as sp

    from sgdyn.codegen.expression import coordinates, parameters

    expression = formula.make()
    symbols = coordinates(expression.dim)
    values = {s: sp.Rational(str(float(v))) for s, v in zip(parameters(expression.count), formula.theta, strict=True)}
    found = []
    for component in expression.components.flat:
        written = _rational(sp.sympify(component).xreplace(values))
        if not written.is_polynomial(*symbols):
            raise NotPolynomial("got a gradient that is no polynomial")
        found.append(sp.Poly(written, *symbols, domain="QQ"))
    degrees = [max(p.total_degree(), 1) for p in found]
    if np.prod(degrees, dtype=float) > MOST:
        raise NotPolynomial(f"got polynomials of degrees {degrees}, with up to {np.prod(degrees)} zeros")
    return found, symbols


def _rational(expression: Any) -> Any:
    """The same with its floating-point numbers as the decimal fractions they print as (sp.nsimplify takes 1e-25 for zero)."""
    import sympy as sp

    return expression.xreplace({number: sp.Rational(repr(float(number))) for number in expression.atoms(sp.Float)})


def _multiplications(polynomials: list[Any], symbols: tuple[Any, ...]) -> list[Floats]:
    """The matrices of multiplication by each coordinate in the basis of standard monomials."""
    import sympy as sp

    basis = sp.groebner(polynomials, *symbols, order="grevlex")
    if not basis.is_zero_dimensional:
        raise ValueError(
            "got a gradient whose zeros form curves (a continuous symmetry, or a coordinate that U does not depend on), expected isolated "
            "critical points; type another coordinate system, or fix the symmetry"
        )
    leading = [p.monoms(order="grevlex")[0] for p in basis.polys]
    monomials = _standard(leading, len(symbols))
    place = {m: k for k, m in enumerate(monomials)}
    matrices = []
    for axis in range(len(symbols)):
        matrix = np.zeros((len(monomials),) * 2)
        for k, m in enumerate(monomials):
            raised = tuple(e + (i == axis) for i, e in enumerate(m))
            for powers, c in _remainder(raised, basis, symbols, place):
                matrix[place[powers], k] += float(c)
        matrices.append(matrix)
    return matrices


def _remainder(monomial: tuple[int, ...], basis: Any, symbols: tuple[Any, ...], place: dict[Any, int]) -> Any:
    """The terms (powers, coefficient) of a monomial modulo the ideal."""
    import sympy as sp

    if monomial in place:
        return [(monomial, 1)]
    rest = basis.reduce(sp.Mul(*(x**e for x, e in zip(symbols, monomial, strict=True))))[1]
    return sp.Poly(rest, *symbols).terms() if rest != 0 else []


def _standard(leading: list[tuple[int, ...]], dim: int) -> list[tuple[int, ...]]:
    """The monomials that no leading monomial divides."""
    found = [(0,) * dim]
    for m in found:  # grows while it is walked through
        for axis in range(dim):
            raised = tuple(e + (i == axis) for i, e in enumerate(m))
            divided = any(all(a <= b for a, b in zip(lead, raised, strict=True)) for lead in leading)
            if not divided and raised not in found:
                found.append(raised)
    return found


def _real(zeros: NDArray[Any]) -> Floats:
    """Those without imaginary part; a multiple zero has one of the size of a root of the rounding error, which Newton's method removes."""
    scale = 1 + np.abs(zeros).max(initial=0.0)
    return np.asarray(zeros.real[np.all(np.abs(zeros.imag) < 1e-4 * scale, axis=1)])
