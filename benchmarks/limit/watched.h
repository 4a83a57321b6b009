// B1 with more work in its third pass: walls, moments of every step, a look for arrivals, and a step of strong order 1.5.
#pragma once

#include "problems.h"

// Walls at -1 and 1.
template <class Real, class Normal> struct Walls : DoubleWell<Real, Normal> {
    using B = DoubleWell<Real, Normal>;

    PASS void step(Real*& x, Real*&, const Normal* z) const {
        const auto linear = splat(Real(1 + B::DT)), cubic = splat(Real(B::DT)), two = splat(Real(2));
        for (int p = 0; p < B::BLOCK; p += 4 * LANES<Real>) UNROLL for (int q = p; q < p + 4 * LANES<Real>; q += LANES<Real>) {
            const auto v = load(x + q);
            auto y = fma(v, fnma(v * v, cubic, linear), load_as<Real>(z + q));
            y = maximum(y, -two - y);
            store(x + q, -maximum(-y, y - two));
        }
    }
};

// Sums of x and of its square over the steps, for every path.
template <class Real, class Normal> struct Moments : DoubleWell<Real, Normal> {
    using B = DoubleWell<Real, Normal>;
    alignas(64) mutable Real sums[B::BLOCK] = {}, squares[B::BLOCK] = {};

    PASS void step(Real*& x, Real*&, const Normal* z) const {
        const auto linear = splat(Real(1 + B::DT)), cubic = splat(Real(B::DT));
        for (int p = 0; p < B::BLOCK; p += 4 * LANES<Real>) UNROLL for (int q = p; q < p + 4 * LANES<Real>; q += LANES<Real>) {
            const auto v = load(x + q), y = fma(v, fnma(v * v, cubic, linear), load_as<Real>(z + q));
            store(x + q, y);
            store(sums + q, load(sums + q) + y);
            store(squares + q, fma(y, y, load(squares + q)));
        }
    }
};

// Whether a path of the block is beyond 3, after every step.
template <class Real, class Normal> struct Passage : DoubleWell<Real, Normal> {
    using B = DoubleWell<Real, Normal>;
    mutable int arrived = 0;

    PASS void step(Real*& x, Real*&, const Normal* z) const {
        const auto linear = splat(Real(1 + B::DT)), cubic = splat(Real(B::DT));
        auto farthest = splat(Real(0));
        for (int p = 0; p < B::BLOCK; p += 4 * LANES<Real>) UNROLL for (int q = p; q < p + 4 * LANES<Real>; q += LANES<Real>) {
            const auto v = load(x + q), y = fma(v, fnma(v * v, cubic, linear), load_as<Real>(z + q));
            store(x + q, y);
            farthest = maximum(farthest, y);
        }
        for (int lane = 0; lane < LANES<Real>; lane++) arrived += farthest[lane] > 3;
    }
};

// SRA1: two drifts and two normals a step; the second component is no coordinate, but has the second normals.
template <class Real, class Normal> struct Sra1 : DoubleWell<Real, Normal> {
    using B = DoubleWell<Real, Normal>;
    static constexpr int COMPONENTS = 2;
    static constexpr double START[] = {0, 0};

    PASS void step(Real*& x, Real*&, const Normal* z) const {
        const auto number = [](double value) { return splat(Real(value)); };
        const auto one = number(1), later = number(.75), lag = number(1.5 / std::sqrt(12.)), dt = number(B::DT);
        for (int p = 0; p < B::BLOCK; p += 4 * LANES<Real>) UNROLL for (int q = p; q < p + 4 * LANES<Real>; q += LANES<Real>) {
            const auto v = load(x + q), xi = load_as<Real>(z + q), eta = load_as<Real>(z + B::BLOCK + q);
            const auto f = v * fnma(v, v, one) * dt;
            const auto w = fma(eta, lag, fma(xi + f, later, v));
            store(x + q, fma(w * fnma(w, w, one) * dt, number(2. / 3), fma(f, number(1. / 3), v + xi)));
        }
    }
};
