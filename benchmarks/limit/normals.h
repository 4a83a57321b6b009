// Second pass: normals from words, by the Box-Muller transform with polynomials of our own for the logarithm, the sine and the cosine.
#pragma once

#include "lanes.h"

// Chebyshev interpolation (shared/prototypes/sde/coefs.py); the largest relative errors are 2e-7 (float32) and 8e-14 (float64).
constexpr float LOG_F[] = {-1.99999993623611983370f, 1.00000750112579454598f, -0.66669212046904598784f, 0.49937813917905336820f,
                           -0.39826695764747654164f, 0.34556412132853350048f, -0.32252495811974205130f, 0.19790701473813028047f};
constexpr float SINE_F[] = {1.5707963200386016259f, -0.64596375958353930116f, 0.079689918329028495791f, -0.0046741438381517776164f,
                            0.0001516717036640895887f};
constexpr float COSINE_F[] = {0.9999998138678237356f, -0.23369459037293179305f, 0.01993906349317354691f, -0.00084630623707917315846f};
constexpr double LOG_D[] = {-3.9999999999998943762, -1.33333333359158504226, -0.79999997849664765488, -0.57144332291745850138,
                            -0.44348499820154979742, -0.39216191279506105494};
constexpr double SINE_D[] = {1.5707963267948175309,     -0.64596409749849487523,   0.079692626122085770875, -0.004681753390122880045,
                             0.00016043905209111044768, -3.5957057969315051399e-6, 5.4625498645960706379e-8};
constexpr double COSINE_D[] = {0.99999999999999227078,    -0.23370055013541230134,  0.019968957752752622682,  -0.00089452292565984362236,
                               0.000024737068012148360779, -4.6445960072842389646e-7, 6.0973718080293081536e-9};
constexpr double LOG_2 = 0.693147180559945309417;

// t in [-1, 1) and the sign bit of b make a direction: cos and sin of pi t / 2, the cosine with that sign.
template <class Real, class B, class Integers, int N, int S, int C>
INLINE void directions(const B& t, const Bundle<Integers, N>& b, const Real (&sine)[S], const Real (&cosine)[C], B& x, B& y) {
    using V = VectorOf<Real>;
    const B z = t * t;
    const B s = polynomial(z, sine), c = polynomial(z, cosine);
    const B even = fnma(c, z, c);  // the factor 1 - t^2 makes the zero at t = 1 exact
    constexpr int TOP = 8 * sizeof(Real) - 1;
    x = B::each([&](int i) { return (V)((Integers)even.at[i] ^ (b.at[i] >> TOP << TOP)); });
    y = t * s;
}

// Two normals from two 32-bit words: accurate to float32, the largest 6.66.
template <int N> INLINE void box_muller(const Bundle<Words, N>& a, const Bundle<Words, N>& b, float scale, Bundle<Floats, N>& first, Bundle<Floats, N>& second) {
    using B = Bundle<Floats, N>;
    using Signed = int32_t __attribute__((vector_size(32)));
    Bundle<Signed, N> exponent;
    const B mantissa = B::each([&](int i) {  // in [1/sqrt 2, sqrt 2)
        const Signed bits = (Signed)(_mm256_cvtepi32_ps((__m256i)(a.at[i] >> 1)) + splat(.5f));  // of a number in (0, 2^31]
        exponent.at[i] = (bits - 0x3f3504f3) >> 23;
        return (Floats)(bits - (exponent.at[i] << 23));
    });
    const B f = mantissa - splat(1.f);
    const B powers = B::each([&](int i) { return fma(_mm256_cvtepi32_ps((__m256i)exponent.at[i]), splat(float(-2 * LOG_2)), splat(float(62 * LOG_2))); });
    const B radius = root(maximum(fma(polynomial(f, LOG_F), f, powers), splat(0.f))) * splat(scale);
    const B t = B::each([&](int i) { return _mm256_cvtepi32_ps((__m256i)(b.at[i] << 1)) * splat(0x1p-31f); });
    B x, y;
    directions(t, b, SINE_F, COSINE_F, x, y);
    first = radius * x, second = radius * y;
}

// Two normals from two 64-bit words, 52 bits each: those of sgdyn.randomness, the largest 8.49.
template <int N> INLINE void box_muller(const Bundle<Longs, N>& a, const Bundle<Longs, N>& b, double scale, Bundle<Doubles, N>& first, Bundle<Doubles, N>& second) {
    using B = Bundle<Doubles, N>;
    constexpr uint64_t ONE = 0x3ff0000000000000, TWO = 0x4000000000000000, SHIFTER = 0x4330000000000000;  // 1, 2 and 2^52
    Bundle<Longs, N> exponent;  // + 1024
    const B mantissa = B::each([&](int i) {  // in [1/sqrt 2, sqrt 2)
        const Longs bits = (Longs)(splat(2.) - (Doubles)(a.at[i] >> 12 | ONE));  // of a number in (0, 1]
        exponent.at[i] = (bits - (0x3fe6a09e667f3bcd - (1024ull << 52))) >> 52;
        return (Doubles)(bits - ((exponent.at[i] - 1024) << 52));
    });
    const B powers = B::each([&](int i) { return ((Doubles)(exponent.at[i] | SHIFTER) - splat(0x1p52 + 1024)) * splat(-2 * LOG_2); });
    const B f = (mantissa - splat(1.)) / (mantissa + splat(1.));
    const B t = B::each([&](int i) { return (Doubles)(b.at[i] << 1 >> 12 | TWO) - splat(3.); });
    B x, y;
    directions(t, b, SINE_D, COSINE_D, x, y);
    const B radius = root(maximum(fma(polynomial(f * f, LOG_D), f, powers), splat(0.))) * splat(scale);
    first = radius * x, second = radius * y;
}

// The normals of 2 steps from 64-bit words, of 4 steps from 32-bit words; `stride` numbers from one step to the next.
template <int BLOCK> PASS void fill_normals(const uint32_t (&w)[4][BLOCK], float scale, float* out, int stride) {
    constexpr int CHAINS = 3;
    for (int j = 0; j < 4; j += 2)
        for (int p = 0; p < BLOCK; p += 8 * CHAINS) {
            Bundle<Floats, CHAINS> first, second;
            box_muller(load_bundle<CHAINS, uint32_t>(&w[j][p]), load_bundle<CHAINS, uint32_t>(&w[j + 1][p]), scale, first, second);
            store_bundle(out + j * stride + p, first), store_bundle(out + (j + 1) * stride + p, second);
        }
}
template <int BLOCK> PASS void fill_normals(const uint64_t (&w)[2][BLOCK], double scale, double* out, int stride) {
    constexpr int CHAINS = 4;
    for (int p = 0; p < BLOCK; p += 4 * CHAINS) {
        Bundle<Doubles, CHAINS> first, second;
        box_muller(load_bundle<CHAINS, uint64_t>(&w[0][p]), load_bundle<CHAINS, uint64_t>(&w[1][p]), scale, first, second);
        store_bundle(out + p, first), store_bundle(out + stride + p, second);
    }
}
