/* Vectors of sixteen numbers for the bfloat16 kernels: one register of AVX512-BF16, or two registers of AVX2 with FMA.
 *
 * With AVX2, a product of bfloat16 pairs is two products of float32. It is exact where AVX512-BF16 takes numbers below 2^-126
 * as 0.
 */
#ifndef GLOSSA_VECTOR_H
#define GLOSSA_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#define VECTOR_WIDTH 16 /* float32 numbers, or pairs of bfloat16, in a vector */
#define PANEL 32 /* columns of a product that are computed at a time */
#define FETCH_STEP 8 /* groups (pairs, or four int8 values) of a row between two prefetches */
#define LINE_BYTES 64
#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bf16;
/* 32 bits that the processor multiplies at once: two neighbouring bfloat16 numbers. In int8 products it is four int8 values,
 * and decoder.c also moves single float32 numbers as such.
 */
typedef uint32_t pair __attribute__((may_alias));

#ifdef __AVX512BF16__

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

#else

#define BLOCK_ROWS 6 /* as above: 6 rows x 1 vector of 2 registers = 12 of the 16 registers hold sums */
#define BLOCK_REGISTERS 1 /* as above, in vectors */
#define EACH_ROW_COUNT(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

typedef struct {
    __m256 low, high;
} floats;
typedef struct {
    __m256i low, high;
} pairs;

#define BOTH_PARTS(CALL) (floats){CALL(low), CALL(high)}

INLINE floats broadcast(float x) { return (floats){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE floats floats_at(const float *from) { return (floats){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
INLINE void put_floats(float *to, floats a) { _mm256_storeu_ps(to, a.low), _mm256_storeu_ps(to + 8, a.high); }
#define AVX2_PART(H) _mm256_add_ps(a.H, b.H)
INLINE floats add(floats a, floats b) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_sub_ps(a.H, b.H)
INLINE floats subtract(floats a, floats b) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_mul_ps(a.H, b.H)
INLINE floats times(floats a, floats b) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_fmadd_ps(a.H, b.H, c.H)
INLINE floats times_add(floats a, floats b, floats c) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_max_ps(a.H, b.H)
INLINE floats max_of(floats a, floats b) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_min_ps(a.H, b.H)
INLINE floats min_of(floats a, floats b) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
#define AVX2_PART(H) _mm256_round_ps(a.H, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
INLINE floats round_to_int(floats a) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
INLINE __m256 times_power_of_2_avx2(__m256 a, __m256 whole) { /* results below 2^-126 are 0 */
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    __m256 gone = _mm256_cmp_ps(whole, _mm256_set1_ps(-126.0f), _CMP_LT_OQ);
    return _mm256_andnot_ps(gone, _mm256_mul_ps(a, _mm256_castsi256_ps(power)));
}
#define AVX2_PART(H) times_power_of_2_avx2(a.H, whole.H)
INLINE floats times_power_of_2(floats a, floats whole) { return BOTH_PARTS(AVX2_PART); }
#undef AVX2_PART
INLINE floats select_first(int64_t n, floats a, floats b) {
    __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i end = _mm256_set1_epi32(n > VECTOR_WIDTH ? VECTOR_WIDTH : n < 0 ? 0 : (int)n);
    __m256i low = _mm256_cmpgt_epi32(end, place), high = _mm256_cmpgt_epi32(end, _mm256_add_epi32(place, _mm256_set1_epi32(8)));
    return (floats){_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(low)),
                    _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(high))};
}
INLINE float max_in(floats a) {
    __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
INLINE float sum_of(floats a) {
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
INLINE __m256 floats_of_bf16_avx2(const bf16 *from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from)), 16));
}
INLINE floats floats_of_bf16(const bf16 *from) { return (floats){floats_of_bf16_avx2(from), floats_of_bf16_avx2(from + 8)}; }
INLINE __m256i rounded(__m256 a) { /* to nearest, ties to even; NaN stays */
    __m256i bits = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i near = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    __m256i nan = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(near, nan, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
INLINE void put_rounded(bf16 *to, floats a) {
    __m256i packed = _mm256_packus_epi32(rounded(a.low), rounded(a.high));
    _mm256_storeu_si256((__m256i *)to, _mm256_permute4x64_epi64(packed, 0xd8));
}
INLINE pairs pairs_at(const pair *from) {
    return (pairs){_mm256_load_si256((const __m256i *)from), _mm256_load_si256((const __m256i *)from + 1)};
}
INLINE __m256 first_numbers(__m256i of) { return _mm256_castsi256_ps(_mm256_slli_epi32(of, 16)); }
INLINE __m256 second_numbers(__m256i of) {
    return _mm256_castsi256_ps(_mm256_and_si256(of, _mm256_set1_epi32((int)0xffff0000)));
}
INLINE void add_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_pairs,
                         floats sums[][BLOCK_REGISTERS]) {
    float numbers[BLOCK_ROWS][VECTOR_WIDTH]; /* of eight pairs: one load then copies a number into all places of a register */
    for (int64_t begun = 0; begun < n_pairs; begun += VECTOR_WIDTH / 2) {
        int64_t n_here = n_pairs - begun < VECTOR_WIDTH / 2 ? n_pairs - begun : VECTOR_WIDTH / 2;
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            put_floats(numbers[i], floats_of_bf16((const bf16 *)(rows + i * stride + begun)));
        for (int64_t k = 0; k < n_here; k++) {
            pairs both = pairs_at(columns + (begun + k) * PANEL);
            floats first = {first_numbers(both.low), first_numbers(both.high)};
#pragma GCC unroll 12
            for (int i = 0; i < n; i++)
                sums[i][0] = times_add(broadcast(numbers[i][2 * k]), first, sums[i][0]);
            floats second = {second_numbers(both.low), second_numbers(both.high)};
#pragma GCC unroll 12
            for (int i = 0; i < n; i++)
                sums[i][0] = times_add(broadcast(numbers[i][2 * k + 1]), second, sums[i][0]);
        }
    }
}
INLINE void put_pairs(pair *to, const bf16 *low, const bf16 *high) {
    for (int i = 0; i < VECTOR_WIDTH; i++)
        to[i] = low[i] | (high ? (pair)high[i] << 16 : 0);
}
INLINE void put_transposed(pair *to, const pair *from, int64_t stride, int64_t n_rows, int64_t n_pairs) {
    for (int64_t k = 0; k < VECTOR_WIDTH && k < n_pairs; k++)
        for (int64_t i = 0; i < VECTOR_WIDTH; i++)
            to[k * PANEL + i] = i < n_rows ? from[i * stride + k] : 0;
}

#endif

INLINE float one_over_root(float x) { return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

/* 2^x for x <= 0, with a relative error below 3e-6, and exactly 1 at 0. It is 2^whole times a minimax polynomial of the rest,
 * from -1/2 to 1/2. It is 0 for -infinity.
 */
INLINE floats power_of_2(floats x) {
    floats whole = round_to_int(x), rest = subtract(x, whole), series = broadcast(0.00958285f);
    series = times_add(series, rest, broadcast(0.05590643f));
    series = times_add(series, rest, broadcast(0.24024099f));
    series = times_add(series, rest, broadcast(0.69312419f));
    return times_power_of_2(times_add(series, rest, broadcast(1.0f)), whole);
}

#endif
