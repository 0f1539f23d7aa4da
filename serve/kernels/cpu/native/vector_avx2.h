/* Vectors of sixteen numbers in two registers of AVX2 with FMA. Include vector.h instead.
 *
 * A product of bfloat16 pairs is two products of float32. It is exact where AVX512-BF16 takes numbers below 2^-126 as 0.
 */
#ifndef GLOSSA_VECTOR_AVX2_H
#define GLOSSA_VECTOR_AVX2_H

#include <immintrin.h>

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
INLINE float root_of(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
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
