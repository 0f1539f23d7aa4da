/* Vectors of sixteen numbers in four registers of NEON, for arm64. Include vector.h instead.
 *
 * With the extensions BF16 and I8MM, products are tiles of two rows by two columns (BFMMLA and USMMLA). Without them, a product
 * of bfloat16 pairs is two products of float32, and there is no product of int8. BFMMLA takes numbers below 2^-126 as 0.
 */
#ifndef GLOSSA_VECTOR_NEON_H
#define GLOSSA_VECTOR_NEON_H

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_MATMUL_INT8)
#define HAS_TILES
#if !defined(__clang__)
#pragma GCC target("arch=armv8.2-a+bf16+i8mm") /* gcc gives these functions to nothing older; Zig knows no such name */
#endif
#endif
#include <arm_neon.h>

#define BLOCK_ROWS 6 /* rows of a product that are computed at a time, an even number: 24 of the 32 registers hold their sums */
#define BLOCK_REGISTERS 1 /* as above, in vectors */
#define EACH_ROW_COUNT(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

typedef struct {
    float32x4_t a, b, c, d; /* numbers 0 to 3, 4 to 7, 8 to 11, 12 to 15 */
} floats;

#define EACH_PART(CALL) (floats){CALL(a), CALL(b), CALL(c), CALL(d)}

INLINE floats broadcast(float x) { return (floats){vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x)}; }
INLINE floats floats_at(const float *from) {
    return (floats){vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8), vld1q_f32(from + 12)};
}
INLINE void put_floats(float *to, floats x) {
    vst1q_f32(to, x.a), vst1q_f32(to + 4, x.b), vst1q_f32(to + 8, x.c), vst1q_f32(to + 12, x.d);
}
#define NEON_PART(P) vaddq_f32(x.P, y.P)
INLINE floats add(floats x, floats y) { return EACH_PART(NEON_PART); }
#undef NEON_PART
#define NEON_PART(P) vsubq_f32(x.P, y.P)
INLINE floats subtract(floats x, floats y) { return EACH_PART(NEON_PART); }
#undef NEON_PART
#define NEON_PART(P) vmulq_f32(x.P, y.P)
INLINE floats times(floats x, floats y) { return EACH_PART(NEON_PART); }
#undef NEON_PART
#define NEON_PART(P) vfmaq_f32(z.P, x.P, y.P)
INLINE floats times_add(floats x, floats y, floats z) { return EACH_PART(NEON_PART); }
#undef NEON_PART
/* Element by element; `y` where one of the two is NaN. */
#define NEON_PART(P) vbslq_f32(vcgtq_f32(x.P, y.P), x.P, y.P)
INLINE floats max_of(floats x, floats y) { return EACH_PART(NEON_PART); }
#undef NEON_PART
#define NEON_PART(P) vbslq_f32(vcltq_f32(x.P, y.P), x.P, y.P)
INLINE floats min_of(floats x, floats y) { return EACH_PART(NEON_PART); }
#undef NEON_PART
#define NEON_PART(P) vrndnq_f32(x.P)
INLINE floats round_to_int(floats x) { return EACH_PART(NEON_PART); }
#undef NEON_PART
INLINE float32x4_t times_power_of_2_neon(float32x4_t x, float32x4_t whole) { /* results below 2^-126 are 0 */
    int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(whole), vdupq_n_s32(127)), 23);
    float32x4_t product = vmulq_f32(x, vreinterpretq_f32_s32(power));
    return vbslq_f32(vcltq_f32(whole, vdupq_n_f32(-126.0f)), vdupq_n_f32(0.0f), product);
}
#define NEON_PART(P) times_power_of_2_neon(x.P, whole.P)
INLINE floats times_power_of_2(floats x, floats whole) { return EACH_PART(NEON_PART); }
#undef NEON_PART
INLINE floats select_first(int64_t n, floats x, floats y) {
    static const int32_t places[] = {0, 1, 2, 3};
    int32x4_t place = vld1q_s32(places), end = vdupq_n_s32(n > VECTOR_WIDTH ? VECTOR_WIDTH : n < 0 ? 0 : (int32_t)n);
    return (floats){vbslq_f32(vcltq_s32(place, end), x.a, y.a),
                    vbslq_f32(vcltq_s32(vaddq_s32(place, vdupq_n_s32(4)), end), x.b, y.b),
                    vbslq_f32(vcltq_s32(vaddq_s32(place, vdupq_n_s32(8)), end), x.c, y.c),
                    vbslq_f32(vcltq_s32(vaddq_s32(place, vdupq_n_s32(12)), end), x.d, y.d)};
}
INLINE float max_in(floats x) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d))); }
INLINE float sum_of(floats x) { return vaddvq_f32(vaddq_f32(vaddq_f32(x.a, x.b), vaddq_f32(x.c, x.d))); }
INLINE float root_of(float x) { return vmaxv_f32(vsqrt_f32(vdup_n_f32(x))); }
INLINE floats floats_of_bf16(const bf16 *from) {
    uint16x8_t low = vld1q_u16(from), high = vld1q_u16(from + 8), none = vdupq_n_u16(0);
    return (floats){vreinterpretq_f32_u16(vzip1q_u16(none, low)), vreinterpretq_f32_u16(vzip2q_u16(none, low)),
                    vreinterpretq_f32_u16(vzip1q_u16(none, high)), vreinterpretq_f32_u16(vzip2q_u16(none, high))};
}
/* `to` = pairs of a number of `low` and a number of `high` */
INLINE void put_pairs(pair *to, const bf16 *low, const bf16 *high) {
    for (int i = 0; i < VECTOR_WIDTH; i += 8) {
        uint16x8_t first = vld1q_u16(low + i), second = high ? vld1q_u16(high + i) : vdupq_n_u16(0);
        vst1q_u32(to + i, vreinterpretq_u32_u16(vzip1q_u16(first, second)));
        vst1q_u32(to + i + 4, vreinterpretq_u32_u16(vzip2q_u16(first, second)));
    }
}
INLINE uint32x4_t low_halves(uint32x4_t x, uint32x4_t y) {
    return vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
}
INLINE uint32x4_t high_halves(uint32x4_t x, uint32x4_t y) {
    return vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
}
/* Write VECTOR_WIDTH columns of `to` [n_pairs, PANEL]: column i is row i of `from`, or zeros if i >= n_rows. If there are fewer
 * than VECTOR_WIDTH pairs, their number is a multiple of 4.
 */
INLINE void put_transposed(pair *to, const pair *from, int64_t stride, int64_t n_rows, int64_t n_pairs) {
    for (int64_t i = 0; i < VECTOR_WIDTH; i += 4)
        for (int64_t k = 0; k < VECTOR_WIDTH && k < n_pairs; k += 4) {
            uint32x4_t row[4];
            for (int j = 0; j < 4; j++)
                row[j] = i + j < n_rows ? vld1q_u32(from + (i + j) * stride + k) : vdupq_n_u32(0);
            uint32x4_t even = vtrn1q_u32(row[0], row[1]), odd = vtrn2q_u32(row[0], row[1]);
            uint32x4_t even_below = vtrn1q_u32(row[2], row[3]), odd_below = vtrn2q_u32(row[2], row[3]);
            vst1q_u32(to + k * PANEL + i, low_halves(even, even_below));
            vst1q_u32(to + (k + 1) * PANEL + i, low_halves(odd, odd_below));
            vst1q_u32(to + (k + 2) * PANEL + i, high_halves(even, even_below));
            vst1q_u32(to + (k + 3) * PANEL + i, high_halves(odd, odd_below));
        }
}

#ifdef HAS_TILES
#include "vector_neon_tiles.h"
#else

INLINE uint16x4_t rounded(float32x4_t x) { /* to nearest, ties to even; NaN stays */
    uint32x4_t bits = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t near = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
    uint32x4_t nan = vorrq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(x, x), near, nan));
}
INLINE void put_rounded(bf16 *to, floats x) {
    vst1q_u16(to, vcombine_u16(rounded(x.a), rounded(x.b)));
    vst1q_u16(to + 8, vcombine_u16(rounded(x.c), rounded(x.d)));
}
INLINE floats numbers_of(const pair *columns, uint32x4_t kept, int32x4_t left) { /* the kept bits of pairs, shifted left */
#define NEON_PART(AT) vreinterpretq_f32_u32(vshlq_u32(vandq_u32(vld1q_u32(columns + (AT)), kept), left))
    return (floats){NEON_PART(0), NEON_PART(4), NEON_PART(8), NEON_PART(12)};
#undef NEON_PART
}
INLINE floats first_numbers(const pair *columns) { return numbers_of(columns, vdupq_n_u32(0xffff), vdupq_n_s32(16)); }
INLINE floats second_numbers(const pair *columns) { return numbers_of(columns, vdupq_n_u32(0xffff0000), vdupq_n_s32(0)); }

#define NEON_ADD(P, PLACE) sums[i][0].P = vfmaq_laneq_f32(sums[i][0].P, column.P, numbers[i], PLACE)
#define NEON_ADD_EACH(COLUMN, PLACE) \
    do { \
        floats column = COLUMN; \
        _Pragma("GCC unroll 6") for (int i = 0; i < n; i++) \
            NEON_ADD(a, PLACE), NEON_ADD(b, PLACE), NEON_ADD(c, PLACE), NEON_ADD(d, PLACE); \
    } while (0)

/* `sums` [n, BLOCK_REGISTERS] += rows of pairs [n, n_pairs] times columns of pairs [n_pairs, PANEL]. Rows are `stride` apart.
 * A pair more of a row may be read if an odd number is asked for.
 */
INLINE void add_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_pairs,
                         floats sums[][BLOCK_REGISTERS]) {
    for (int64_t k = 0; k < n_pairs; k += 2) {
        float32x4_t numbers[BLOCK_ROWS]; /* of two pairs of each row */
#pragma GCC unroll 6
        for (int i = 0; i < n; i++)
            numbers[i] = vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16((const bf16 *)(rows + i * stride + k))), 16));
        NEON_ADD_EACH(first_numbers(columns + k * PANEL), 0);
        NEON_ADD_EACH(second_numbers(columns + k * PANEL), 1);
        if (k + 1 < n_pairs) {
            NEON_ADD_EACH(first_numbers(columns + (k + 1) * PANEL), 2);
            NEON_ADD_EACH(second_numbers(columns + (k + 1) * PANEL), 3);
        }
    }
}
#endif

#endif
