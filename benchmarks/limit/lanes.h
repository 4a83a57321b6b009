// Vectors of the machine and bundles of them.
//
// A Bundle is N vectors that go through the same operations side by side: N independent chains hide the latency of one another, which
// the out-of-order window alone does not do for chains as long as these. The passes below are written once for a bundle, as formulas.
#pragma once

#if !defined(__AVX2__) || !defined(__FMA__)
#error "the limit program needs AVX2 and FMA: compile it with -march=native on a machine that has them"
#endif

#include <immintrin.h>

#include <cstdint>

#define INLINE inline __attribute__((always_inline))
#define PASS __attribute__((noinline))  // one pass over a block: inlined into each other, the passes would share too few registers
#define UNROLL _Pragma("GCC unroll 16")

template <class T> struct Vector { typedef T type __attribute__((vector_size(32))); };
template <class T> using VectorOf = typename Vector<T>::type;
using Doubles = VectorOf<double>;
using Floats = VectorOf<float>;
using Longs = VectorOf<uint64_t>;
using Words = VectorOf<uint32_t>;
template <class T> constexpr int LANES = 32 / sizeof(T);

INLINE Longs longs(uint64_t x) { return Longs{x, x, x, x}; }
INLINE Doubles splat(double x) { return _mm256_set1_pd(x); }
INLINE Floats splat(float x) { return _mm256_set1_ps(x); }

INLINE Doubles fma(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }   // a b + c
INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Doubles fnma(Doubles a, Doubles b, Doubles c) { return _mm256_fnmadd_pd(a, b, c); }  // c - a b
INLINE Floats fnma(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE Doubles maximum(Doubles a, Doubles b) { return _mm256_max_pd(a, b); }
INLINE Floats maximum(Floats a, Floats b) { return _mm256_max_ps(a, b); }
INLINE Doubles root(Doubles a) { return _mm256_sqrt_pd(a); }
INLINE Floats root(Floats a) { return _mm256_sqrt_ps(a); }

INLINE Doubles load(const double* p) { return _mm256_load_pd(p); }
INLINE Floats load(const float* p) { return _mm256_load_ps(p); }
INLINE Longs load(const uint64_t* p) { return (Longs)_mm256_load_si256((const __m256i*)p); }
INLINE Words load(const uint32_t* p) { return (Words)_mm256_load_si256((const __m256i*)p); }
INLINE void store(uint64_t* p, Longs v) { _mm256_store_si256((__m256i*)p, (__m256i)v); }
INLINE void store(uint32_t* p, Longs v) { _mm256_store_si256((__m256i*)p, (__m256i)v); }
INLINE void store(double* p, Doubles v) { _mm256_store_pd(p, v); }
INLINE void store(float* p, Floats v) { _mm256_store_ps(p, v); }

// Normals as numbers of the state: float32 normals widen to a float64 state.
template <class Real, class Normal> INLINE VectorOf<Real> load_as(const Normal* p) {
    if constexpr (sizeof(Real) == sizeof(Normal)) return load(p);
    else return _mm256_cvtps_pd(_mm_load_ps(p));
}

template <class V, int N> struct Bundle {
    V at[N];

    template <class F> static INLINE Bundle each(F f) {
        Bundle out;
        UNROLL for (int i = 0; i < N; i++) out.at[i] = f(i);
        return out;
    }
};

// One vector of a bundle; a vector by itself stands for N equal ones.
template <class V, int N> INLINE V pick(const Bundle<V, N>& bundle, int i) { return bundle.at[i]; }
template <class V> INLINE V pick(const V& vector, int) { return vector; }

#define BUNDLE template <class V, int N, class B> INLINE Bundle<V, N>
BUNDLE operator+(const Bundle<V, N>& a, const B& b) { return a.each([&](int i) { return a.at[i] + pick(b, i); }); }
BUNDLE operator-(const Bundle<V, N>& a, const B& b) { return a.each([&](int i) { return a.at[i] - pick(b, i); }); }
BUNDLE operator*(const Bundle<V, N>& a, const B& b) { return a.each([&](int i) { return a.at[i] * pick(b, i); }); }
BUNDLE operator/(const Bundle<V, N>& a, const B& b) { return a.each([&](int i) { return a.at[i] / pick(b, i); }); }
BUNDLE maximum(const Bundle<V, N>& a, const B& b) { return a.each([&](int i) { return maximum(pick(b, i), a.at[i]); }); }
BUNDLE fnma(const Bundle<V, N>& a, const B& b, const Bundle<V, N>& c) { return a.each([&](int i) { return fnma(a.at[i], pick(b, i), c.at[i]); }); }
template <class V, int N, class B, class C> INLINE Bundle<V, N> fma(const Bundle<V, N>& a, const B& b, const C& c) {
    return a.each([&](int i) { return fma(a.at[i], pick(b, i), pick(c, i)); });
}
template <class V, int N> INLINE Bundle<V, N> root(const Bundle<V, N>& a) { return a.each([&](int i) { return root(a.at[i]); }); }
#undef BUNDLE

template <class Real, int N> using BundleOf = Bundle<VectorOf<Real>, N>;

template <int N, class Real, class Stored> INLINE BundleOf<Real, N> load_bundle(const Stored* p) {
    return BundleOf<Real, N>::each([&](int i) { return load_as<Real>(p + i * LANES<Real>); });
}
template <class Real, class V, int N> INLINE void store_bundle(Real* p, const Bundle<V, N>& v) {
    UNROLL for (int i = 0; i < N; i++) store(p + i * LANES<Real>, v.at[i]);
}

// A polynomial with the constant first, by Horner's scheme.
template <class B, class Real, int COUNT> INLINE B polynomial(const B& x, const Real (&c)[COUNT]) {
    B value = fma(x, splat(c[COUNT - 1]), splat(c[COUNT - 2]));
    UNROLL for (int k = COUNT - 3; k >= 0; k--) value = fma(value, x, splat(c[k]));
    return value;
}
