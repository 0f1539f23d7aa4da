/* Vectors of sixteen numbers in one register of AVX-512, for processors with AVX512-BF16. Include vector.h instead. */
#ifndef GLOSSA_VECTOR_AVX512_H
#define GLOSSA_VECTOR_AVX512_H

#include <immintrin.h>

#define BLOCK_ROWS 12 /* most rows of a product that are computed at a time: 12 rows x 2 registers = 24 of the 32 hold sums */
#define BLOCK_REGISTERS 2 /* registers of columns that are computed at a time */
#define EACH_ROW_COUNT(CASE) \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)

typedef __m512 floats;
typedef __m512bh pairs;

INLINE floats broadcast(float x) { return _mm512_set1_ps(x); }
INLINE floats floats_at(const float *from) { return _mm512_loadu_ps(from); }
INLINE void put_floats(float *to, floats a) { _mm512_storeu_ps(to, a); }
INLINE floats add(floats a, floats b) { return _mm512_add_ps(a, b); }
INLINE floats subtract(floats a, floats b) { return _mm512_sub_ps(a, b); }
INLINE floats times(floats a, floats b) { return _mm512_mul_ps(a, b); }
INLINE floats times_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
/* Element by element; `b` where one of the two is NaN. */
INLINE floats max_of(floats a, floats b) { return _mm512_max_ps(a, b); }
INLINE floats min_of(floats a, floats b) { return _mm512_min_ps(a, b); }
INLINE floats round_to_int(floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* a * 2^whole for whole <= 0; 0 if whole is -infinity. */
INLINE floats times_power_of_2(floats a, floats whole) { return _mm512_scalef_ps(a, whole); }
/* The first `n` numbers of `a`, then those of `b`. */
INLINE floats select_first(int64_t n, floats a, floats b) {
    return _mm512_mask_mov_ps(b, n >= VECTOR_WIDTH ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1), a);
}
INLINE float max_in(floats a) { return _mm512_reduce_max_ps(a); }
INLINE float sum_of(floats a) { return _mm512_reduce_add_ps(a); }
INLINE float root_of(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
INLINE floats floats_of_bf16(const bf16 *from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16));
}
INLINE void put_rounded(bf16 *to, floats a) { _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(a)); }
INLINE pairs pairs_at(const pair *from) { return (pairs)_mm512_load_si512(from); }

#ifdef __AVX512VNNI__
#define HAS_INT8 /* defined if there are int8 products */
typedef __m512i ints; /* integers */
INLINE ints ints_at(const int32_t *from) { return _mm512_loadu_si512(from); }
INLINE floats floats_of(ints a) { return _mm512_cvtepi32_ps(a); }
/* `counts` [n, BLOCK_REGISTERS] += rows of four unsigned int8 values [n, n_groups] times columns of four signed ones. Rows are
 * `stride` apart.
 */
INLINE void add_int8_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_groups,
                              ints counts[][BLOCK_REGISTERS]) {
    for (int64_t k = 0; k < n_groups; k++) {
        ints left = _mm512_load_si512(columns + k * PANEL), right = _mm512_load_si512(columns + k * PANEL + VECTOR_WIDTH);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            ints each = _mm512_set1_epi32((int)rows[i * stride + k]);
            counts[i][0] = _mm512_dpbusd_epi32(counts[i][0], each, left);
            counts[i][1] = _mm512_dpbusd_epi32(counts[i][1], each, right);
        }
    }
}
INLINE ints no_magnitude(void) { return _mm512_setzero_si512(); }
/* Element by element: the larger of `most` and the magnitude of the numbers at `from`, as bits without the sign. The bits of a
 * NaN are larger than those of any number.
 */
INLINE ints max_magnitude_bits(ints most, const bf16 *from) {
    ints sizes = _mm512_and_si512((ints)floats_of_bf16(from), _mm512_set1_epi32(0x7fffffff));
    return _mm512_max_epu32(most, sizes);
}
INLINE float max_magnitude(ints most) {
    union {
        uint32_t bits;
        float number;
    } found = {.bits = _mm512_reduce_max_epu32(most)};
    return found.number;
}
/* Round to the nearest integer from 0 to 255. */
INLINE void put_uint8(uint8_t *to, floats a) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(max_of(a, broadcast(0.0f)))));
}
#endif
/* `sums` [n, BLOCK_REGISTERS] += rows of pairs [n, n_pairs] times columns of pairs [n_pairs, PANEL]. Rows are `stride` apart.
 * Eight pairs of a row may be read even if fewer are asked for.
 */
INLINE void add_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_pairs,
                         floats sums[][BLOCK_REGISTERS]) {
    for (int64_t k = 0; k < n_pairs; k++) {
        pairs left = pairs_at(columns + k * PANEL), right = pairs_at(columns + k * PANEL + VECTOR_WIDTH);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            pairs each = (pairs)_mm512_set1_epi32((int)rows[i * stride + k]);
            sums[i][0] = _mm512_dpbf16_ps(sums[i][0], each, left);
            sums[i][1] = _mm512_dpbf16_ps(sums[i][1], each, right);
        }
    }
}
/* `to` = pairs of a number of `low` and a number of `high` */
INLINE void put_pairs(pair *to, const bf16 *low, const bf16 *high) {
    __m512i first = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)low)), second = _mm512_setzero_si512();
    if (high)
        second = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)high)), 16);
    _mm512_store_si512(to, _mm512_or_si512(first, second));
}

/* Transpose VECTOR_WIDTH rows of VECTOR_WIDTH pairs: rows[j] becomes pair j of every row. */
INLINE void transpose(__m512i rows[VECTOR_WIDTH]) {
    __m512i two[VECTOR_WIDTH], four[VECTOR_WIDTH];
    for (int i = 0; i < VECTOR_WIDTH; i += 2) {
        two[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        two[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < VECTOR_WIDTH; i += 4)
        for (int j = 0; j < 2; j++) {
            four[i + 2 * j] = _mm512_unpacklo_epi64(two[i + j], two[i + j + 2]);
            four[i + 2 * j + 1] = _mm512_unpackhi_epi64(two[i + j], two[i + j + 2]);
        }
    for (int j = 0; j < 4; j++) { /* four[4 r + j]: rows 4 r to 4 r + 3, pairs j, j + 4, j + 8, j + 12 */
        __m512i low = _mm512_shuffle_i32x4(four[j], four[4 + j], 0x88);
        __m512i high = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0x88);
        rows[j] = _mm512_shuffle_i32x4(low, high, 0x88);
        rows[j + 8] = _mm512_shuffle_i32x4(low, high, 0xdd);
        low = _mm512_shuffle_i32x4(four[j], four[4 + j], 0xdd), high = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0xdd);
        rows[j + 4] = _mm512_shuffle_i32x4(low, high, 0x88);
        rows[j + 12] = _mm512_shuffle_i32x4(low, high, 0xdd);
    }
}

/* Write VECTOR_WIDTH columns of `to` [n_pairs, PANEL]: column i is row i of `from`, or zeros if i >= n_rows. There are at most
 * VECTOR_WIDTH pairs.
 */
INLINE void put_transposed(pair *to, const pair *from, int64_t stride, int64_t n_rows, int64_t n_pairs) {
    __m512i rows[VECTOR_WIDTH];
    __mmask16 there = n_pairs >= VECTOR_WIDTH ? 0xffff : (__mmask16)((1u << n_pairs) - 1);
    for (int i = 0; i < VECTOR_WIDTH; i++)
        rows[i] = i < n_rows ? _mm512_maskz_loadu_epi32(there, from + i * stride) : _mm512_setzero_si512();
    transpose(rows);
    for (int i = 0; i < VECTOR_WIDTH && i < n_pairs; i++)
        _mm512_store_si512(to + i * PANEL, rows[i]);
}

#endif
