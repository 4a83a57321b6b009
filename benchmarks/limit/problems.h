// Third pass: one Euler-Maruyama step of each problem, for a block of paths in structure-of-arrays form.
//
// A problem says its size, where paths start, the factor that its normals come with, and how it steps.
#pragma once

#include <cmath>

#include "lanes.h"

// B1: dX = (X - X^3) dt + sqrt(2 T) dW, T = .1, from 0.
template <class Real, class Normal> struct DoubleWell {
    static constexpr int COMPONENTS = 1, PATHS = 100'000, STEPS = 1000, BLOCK = 192;
    static constexpr double DT = 1e-2, START[] = {0};
    static double scale() { return std::sqrt(.2 * DT); }

    PASS void step(Real*& x, Real*&, const Normal* z) const {
        const auto linear = splat(Real(1 + DT)), cubic = splat(Real(DT));
        for (int p = 0; p < BLOCK; p += 4 * LANES<Real>) UNROLL for (int q = p; q < p + 4 * LANES<Real>; q += LANES<Real>) {
            const auto v = load(x + q);
            store(x + q, fma(v, fnma(v * v, cubic, linear), load_as<Real>(z + q)));
        }
    }
};

// B2: dX = -H X dt + B dW in 10 dimensions, H_ij = .5^|i-j| + (i+1)/5 [i = j], B_ij = .3 / (1+i-j) for j <= i, from 0.
template <class Real, class Normal> struct DenseLinear {
    static constexpr int COMPONENTS = 10, PATHS = 9984, STEPS = 1000, BLOCK = 192;
    static constexpr double DT = 1e-2, START[COMPONENTS] = {};
    static double scale() { return 1; }

    Real drift[COMPONENTS][COMPONENTS], noise[COMPONENTS][COMPONENTS];  // I - H dt and B sqrt dt

    DenseLinear() {
        for (int i = 0; i < COMPONENTS; i++)
            for (int j = 0; j < COMPONENTS; j++) {
                drift[i][j] = Real((i == j) - DT * (std::pow(.5, std::abs(i - j)) + (i == j ? (i + 1) / 5. : 0)));
                noise[i][j] = Real(j <= i ? .3 / (1 + i - j) * std::sqrt(DT) : 0);
            }
    }

    // Five rows by two vectors are ten sums that stay in registers; the triangle of the noise matrix is known at compile time.
    template <int ROW> INLINE void rows(const Real* x, Real* out, const Normal* z) const {
        constexpr int ROWS = 5;
        using Pair = BundleOf<Real, 2>;
        for (int p = 0; p < BLOCK; p += 2 * LANES<Real>) {
            Pair sum[ROWS];
            UNROLL for (int j = 0; j < COMPONENTS; j++) {
                const Pair v = load_bundle<2, Real>(x + j * BLOCK + p);
                UNROLL for (int i = 0; i < ROWS; i++)
                    sum[i] = j ? fma(v, splat(drift[ROW + i][j]), sum[i]) : v * splat(drift[ROW + i][j]);
            }
            UNROLL for (int j = 0; j < ROW + ROWS; j++) {
                const Pair v = load_bundle<2, Real>(z + j * BLOCK + p);
                UNROLL for (int i = 0; i < ROWS; i++) if (j <= ROW + i) sum[i] = fma(v, splat(noise[ROW + i][j]), sum[i]);
            }
            UNROLL for (int i = 0; i < ROWS; i++) store_bundle(out + (ROW + i) * BLOCK + p, sum[i]);
        }
    }

    PASS void step(Real*& x, Real*& other, const Normal* z) const {
        rows<0>(x, other, z);
        rows<5>(x, other, z);
        Real* const old = x;
        x = other, other = old;
    }
};

// 2^t, t <= 0 (underflow is cut): the integer part goes into the exponent.
constexpr double POWER_D[] = {1.0, 0.69314718055994998286, 0.2402265069591009822, 0.055504108664447719166, 0.0096181291076068885273,
                              0.0013333558230164973899, 0.00015403530441736050155, 0.000015252657260200837064,
                              1.3215442587921689653e-6, 1.0208690299958305835e-7, 7.0725859492692236999e-9};
constexpr float POWER_F[] = {1.000000075454897193f, 0.69314718802622878106f, 0.24022107485308337545f, 0.055503571142190778186f,
                             0.0096760319183220540794f, 0.0013390863364671234381f};

template <int N> INLINE Bundle<Doubles, N> power_of_two(const Bundle<Doubles, N>& t) {
    const Doubles shifter = splat(0x1.8p52);
    const auto cut = maximum(t, splat(-1000.)), shifted = cut + shifter;
    const auto value = polynomial(cut - (shifted - shifter), POWER_D);
    return value.each([&](int i) { return (Doubles)((Longs)value.at[i] + ((Longs)shifted.at[i] << 52)); });
}
template <int N> INLINE Bundle<Floats, N> power_of_two(const Bundle<Floats, N>& t) {
    const Floats shifter = splat(0x1.8p23f);
    const auto cut = maximum(t, splat(-120.f)), shifted = cut + shifter;
    const auto value = polynomial(cut - (shifted - shifter), POWER_F);
    return value.each([&](int i) { return (Floats)((Words)value.at[i] + ((Words)shifted.at[i] << 23)); });
}

// B3: dX = -grad U dt + sqrt(30) dW, U = sum_k A_k exp(a_k u^2 + b_k u v + c_k v^2), u = x - x_k, v = y - y_k, from the deep minimum.
template <class Real, class Normal> struct MullerBrown {
    static constexpr int COMPONENTS = 2, PATHS = 9984, STEPS = 1000, BLOCK = 192;
    static constexpr double DT = 1e-4, START[] = {-.558, 1.442};
    static double scale() { return std::sqrt(30 * DT); }

    static constexpr double A[] = {-200, -100, -170, 15}, XX[] = {-1, -1, -6.5, .7}, XY[] = {0, 0, 11, .6}, YY[] = {-10, -10, -6.5, .7};
    static constexpr double X[] = {1, 0, -.5, -1}, Y[] = {0, .5, 1.5, 1}, LOG2E = 1.4426950408889634;

    PASS void step(Real*& state, Real*&, const Normal* z) const {
        constexpr int CHAINS = 3;
        using B = BundleOf<Real, CHAINS>;
        const auto number = [](double value) { return splat(Real(value)); };
        Real *x = state, *y = state + BLOCK;
        for (int p = 0; p < BLOCK; p += CHAINS * LANES<Real>) {
            const B px = load_bundle<CHAINS, Real>(x + p), py = load_bundle<CHAINS, Real>(y + p);
            B next_x = px, next_y = py;
            UNROLL for (int k = 0; k < 4; k++) {
                const B u = px - number(X[k]), v = py - number(Y[k]);
                B gx = u * number(2 * XX[k] * LOG2E), gy = v * number(2 * YY[k] * LOG2E);  // the gradient of the exponent in base 2
                if (XY[k] != 0) gx = fma(v, number(XY[k] * LOG2E), gx), gy = fma(u, number(XY[k] * LOG2E), gy);
                const B push = power_of_two(fma(gx, u, gy * v) * number(.5)) * number(-DT * A[k] / LOG2E);
                next_x = fma(push, gx, next_x), next_y = fma(push, gy, next_y);
            }
            store_bundle(x + p, next_x + load_bundle<CHAINS, Real>(z + p));
            store_bundle(y + p, next_y + load_bundle<CHAINS, Real>(z + BLOCK + p));
        }
    }
};
