// First pass: the words of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) for a block of paths.
//
// The counter is that of sgdyn.randomness: (draw, high half of the path, low half of the path, component * 256), paths below 2^32 here.
// What rounds 1-3 make of the path alone is computed once for a block, what they make of the draw alone once for a pass.
#pragma once

#include "lanes.h"

constexpr uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u, WEYL_0 = 0x9E3779B9u, WEYL_1 = 0xBB67AE85u;
constexpr int ROUNDS = 10;

struct Key {
    uint32_t first, second;
};

INLINE Longs product(Longs a, Longs b) { return (Longs)_mm256_mul_epu32((__m256i)a, (__m256i)b); }  // of the low 32 bits

// The low words of a in the even places, those of b in the odd ones.
INLINE Longs interleave(Longs a, Longs b) { return (Longs)_mm256_blend_epi32((__m256i)a, (__m256i)(b << 32), 0xAA); }

template <int BLOCK> class Philox {
    static constexpr int VECTORS = BLOCK / 4, CHAINS = 2;
    uint32_t key_0[ROUNDS], key_1[ROUNDS];
    Longs wide_0[ROUNDS], wide_1[ROUNDS];
    alignas(64) Longs from_path[3][VECTORS];

    // body(v, words) for each pair v, v + 1 of vectors of four paths. The upper halves of the words hold leftovers: nothing but the lower
    // halves enters a product.
    template <class F> INLINE void each(uint32_t draw, uint32_t component, F body) const {
        const uint64_t from_draw = uint64_t(draw) * MULTIPLIER_0;
        const uint64_t second = uint64_t(uint32_t(from_draw >> 32) ^ (component << 8) ^ key_1[0]) * MULTIPLIER_1;
        const Longs high = longs(second >> 32), low = longs(uint32_t(from_draw)), rest = longs(uint32_t(second) ^ key_0[2]);
        const Longs m0 = longs(MULTIPLIER_0), m1 = longs(MULTIPLIER_1);
        for (int v = 0; v < VECTORS; v += CHAINS) {
            Longs c[4][CHAINS];
            UNROLL for (int i = 0; i < CHAINS; i++) {
                const Longs p0 = product(from_path[0][v + i] ^ high, m0), p1 = product(from_path[1][v + i] ^ low, m1);
                c[0][i] = (p1 >> 32) ^ rest, c[1][i] = p1, c[2][i] = (p0 >> 32) ^ from_path[2][v + i], c[3][i] = p0;
            }
            UNROLL for (int r = 3; r < ROUNDS; r++) UNROLL for (int i = 0; i < CHAINS; i++) {
                const Longs p0 = product(c[0][i], m0), p1 = product(c[2][i], m1);
                c[0][i] = (p1 >> 32) ^ (c[1][i] ^ wide_0[r]), c[1][i] = p1, c[2][i] = (p0 >> 32) ^ (c[3][i] ^ wide_1[r]), c[3][i] = p0;
            }
            body(v, c);
        }
    }

  public:
    explicit Philox(Key key) {
        for (int r = 0; r < ROUNDS; r++) {
            key_0[r] = key.first + r * WEYL_0, key_1[r] = key.second + r * WEYL_1;
            wide_0[r] = longs(key_0[r]), wide_1[r] = longs(key_1[r]);
        }
    }

    // The paths from `first` on. Where 32-bit words are wanted, the even and the odd ones of eight paths make a pair of vectors.
    void start(uint64_t first, bool narrow) {
        for (int v = 0; v < VECTORS; v++) {
            Longs path;
            for (int lane = 0; lane < 4; lane++) path[lane] = first + (narrow ? v / 2 * 8 + 2 * lane + v % 2 : 4 * v + lane);
            const Longs p1 = product(path, longs(MULTIPLIER_1)), p0 = product((p1 >> 32) ^ wide_0[0], longs(MULTIPLIER_0));
            from_path[0][v] = p1 ^ wide_0[1], from_path[1][v] = (p0 >> 32) ^ wide_1[1], from_path[2][v] = p0 ^ wide_1[2];
        }
    }

    // out[word][path], the four 32-bit words
    PASS void fill(uint32_t draw, uint32_t component, uint32_t (&out)[4][BLOCK]) const {
        each(draw, component, [&](int v, Longs (&c)[4][CHAINS]) {
            UNROLL for (int j = 0; j < 4; j++) store(&out[j][4 * v], interleave(c[j][0], c[j][1]));
        });
    }

    // out[word][path], two 64-bit words
    PASS void fill(uint32_t draw, uint32_t component, uint64_t (&out)[2][BLOCK]) const {
        each(draw, component, [&](int v, Longs (&c)[4][CHAINS]) {
            UNROLL for (int i = 0; i < CHAINS; i++) UNROLL for (int j = 0; j < 2; j++)
                store(&out[j][4 * (v + i)], interleave(c[2 * j][i], c[2 * j + 1][i]));
        });
    }
};
