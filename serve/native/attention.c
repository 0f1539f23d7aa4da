/* Attention of the rows of a packed stream in bfloat16; serve/cpu_attention.py says what for.
 *
 * For each row and head: keys and values are laid out once, then a block of queries meets all keys, takes its softmax
 * while the scores are in cache, and meets all values. States are read where they lie and contexts written where they
 * belong; nothing is copied but keys and values. Scores, sums and contexts are float32, probabilities rounded to bfloat16.
 * A row sees only itself, in an order that its length alone decides; of a causal row a value that is no number may reach
 * the few tokens before it that share its block. Needs no library, not even libc.
 */
#include <immintrin.h>

#include "team.h"

#define LANES 16 /* float32 numbers, or pairs of bfloat16, in a register */
#define PANEL 32 /* columns of a product that are done at a time */
#define QUERIES 12 /* rows of a product that are done at a time: 24 of the 32 registers hold sums */
#define FEW 4 /* in rows shorter than that */

typedef uint16_t bf16;
typedef uint32_t pair __attribute__((may_alias)); /* two neighbouring bfloat16 numbers */

typedef struct {
    const bf16 *qkv; /* [tokens, 3, heads, width] */
    bf16 *contexts; /* [tokens, heads, width] */
    const int32_t *bounds; /* [rows + 1] */
    int64_t rows, heads, width;
    float scale; /* of scores, times log2(e) */
    int64_t causal;
    char *scratch;
    int64_t scratch_bytes; /* of one worker */
    int64_t n_begun, n_workers;
} job;

/* `sums` [n, PANEL] = a [n, pairs] (rows `stride` apart) * b [pairs, PANEL], in pairs. */
static inline __attribute__((always_inline)) void product_of(int n, const pair *a, int64_t stride, const pair *b,
                                                             int64_t pairs, __m512 sums[][2]) {
    for (int i = 0; i < n; i++)
        sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < pairs; k++) {
        __m512bh left = (__m512bh)_mm512_load_si512(b + k * PANEL), right = (__m512bh)_mm512_load_si512(b + k * PANEL + LANES);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            __m512bh each = (__m512bh)_mm512_set1_epi32((int)a[i * stride + k]);
            sums[i][0] = _mm512_dpbf16_ps(sums[i][0], each, left);
            sums[i][1] = _mm512_dpbf16_ps(sums[i][1], each, right);
        }
    }
}

/* `scores` [n, n_panels * PANEL] = queries * keys */
static inline __attribute__((always_inline)) void score(int n, const pair *queries, int64_t stride, const pair *keys,
                                                        int64_t n_panels, int64_t pairs, float *scores, int64_t n_padded) {
    for (int64_t panel = 0; panel < n_panels; panel++) {
        __m512 sums[QUERIES][2];
        product_of(n, queries, stride, keys + panel * pairs * PANEL, pairs, sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            _mm512_store_ps(scores + i * n_padded + panel * PANEL, sums[i][0]);
            _mm512_store_ps(scores + i * n_padded + panel * PANEL + LANES, sums[i][1]);
        }
    }
}

/* `contexts` [n, width] (rows `stride` apart) = chances * values * shares of their row */
static inline __attribute__((always_inline)) void mix(int n, const pair *chances, int64_t n_padded, const pair *values,
                                                      int64_t pairs, int64_t values_pairs, const float *shares,
                                                      bf16 *contexts, int64_t stride, int64_t width) {
    for (int64_t first = 0; first < width; first += PANEL) {
        __m512 sums[QUERIES][2];
        product_of(n, chances, n_padded / 2, values + first * values_pairs, pairs, sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            __m512 share = _mm512_set1_ps(shares[i]);
            bf16 *out = contexts + i * stride + first;
            _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(sums[i][0], share)));
            if (first + LANES < width)
                _mm256_storeu_si256((__m256i *)(out + LANES), (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(sums[i][1], share)));
        }
    }
}

/* 2^x for x <= 0, off by less than 3e-6 of it, 1 at 0: 2^whole times a polynomial of the rest, in -1/2 to 1/2, fitted to
 * an even error. Of -infinity the rest is NaN and the answer 0, by scalef's own rule. */
static inline __m512 power_of_2(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), rest = _mm512_sub_ps(x, whole);
    __m512 series = _mm512_set1_ps(0.00958285f);
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.05590643f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.24024099f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.69312419f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(series, whole);
}

static inline __mmask16 first_of(int64_t n) { return n >= LANES ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }

/* `chances` [n_padded] = 2^(scale * (score - the highest)), 0 from `n_seen` on; return 1 over their sum. */
static inline float soften(const float *scores, bf16 *chances, int64_t n_seen, int64_t n_padded, float scale) {
    __m512 highest = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps(), factor = _mm512_set1_ps(scale);
    for (int64_t k = 0; k < n_seen; k += LANES)
        highest = _mm512_mask_max_ps(highest, first_of(n_seen - k), highest, _mm512_load_ps(scores + k));
    highest = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
    for (int64_t k = 0; k < n_padded; k += LANES) {
        __m512 chance = power_of_2(_mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(scores + k), highest), factor));
        chance = _mm512_maskz_mov_ps(first_of(n_seen - k), chance);
        sum = _mm512_add_ps(sum, chance);
        _mm256_store_si256((__m256i *)(chances + k), (__m256i)_mm512_cvtneps_pbh(chance));
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

/* Turn LANES rows of LANES pairs: rows[j] becomes pair j of every row. */
static inline void turned(__m512i rows[LANES]) {
    __m512i two[LANES], four[LANES];
    for (int i = 0; i < LANES; i += 2) {
        two[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        two[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            four[i + 2 * j] = _mm512_unpacklo_epi64(two[i + j], two[i + j + 2]);
            four[i + 2 * j + 1] = _mm512_unpackhi_epi64(two[i + j], two[i + j + 2]);
        }
    for (int j = 0; j < 4; j++) { /* four[4 r + j]: rows 4 r to 4 r + 3, pairs j, j + 4, j + 8, j + 12 */
        __m512i low = _mm512_shuffle_i32x4(four[j], four[4 + j], 0x88), high = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0x88);
        rows[j] = _mm512_shuffle_i32x4(low, high, 0x88);
        rows[j + 8] = _mm512_shuffle_i32x4(low, high, 0xdd);
        low = _mm512_shuffle_i32x4(four[j], four[4 + j], 0xdd), high = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0xdd);
        rows[j + 4] = _mm512_shuffle_i32x4(low, high, 0x88);
        rows[j + 12] = _mm512_shuffle_i32x4(low, high, 0xdd);
    }
}

/* `laid` [panels, pairs, PANEL]: column k of the keys' product is key k, zeros behind the last. */
static void lay_keys(const bf16 *keys, int64_t stride, int64_t n_keys, int64_t pairs, pair *laid) {
    for (int64_t key = 0; key < (n_keys + PANEL - 1) / PANEL * PANEL; key += LANES) {
        pair *out = laid + key / PANEL * pairs * PANEL + key % PANEL;
        for (int64_t k = 0; k < pairs; k += LANES) {
            __m512i rows[LANES];
            for (int i = 0; i < LANES; i++)
                rows[i] = key + i < n_keys ? _mm512_maskz_loadu_epi32(first_of(pairs - k), (const pair *)(keys + (key + i) * stride) + k)
                                           : _mm512_setzero_si512();
            turned(rows);
            for (int i = 0; i < LANES && k + i < pairs; i++)
                _mm512_store_si512(out + (k + i) * PANEL, rows[i]);
        }
    }
}

/* `laid` [panels, pairs, PANEL]: pair p of column c is number c of values 2 p and 2 p + 1, zeros behind the last. */
static void lay_values(const bf16 *values, int64_t stride, int64_t n_values, int64_t width, pair *laid) {
    int64_t pairs = (n_values + 1) / 2;
    for (int64_t first = 0; first < width; first += LANES) {
        pair *out = laid + first / PANEL * pairs * PANEL + first % PANEL;
        for (int64_t p = 0; p < pairs; p++) {
            const bf16 *even = values + 2 * p * stride + first;
            __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)even)), high = _mm512_setzero_si512();
            if (2 * p + 1 < n_values)
                high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(even + stride)));
            _mm512_store_si512(out + p * PANEL, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
    }
}

static inline __attribute__((always_inline)) void attend_block(int n, const job *all, const bf16 *queries, const pair *keys,
                                                               const pair *values, int64_t begin, int64_t length,
                                                               float *scores, bf16 *chances, bf16 *contexts) {
    int64_t stride = 3 * all->heads * all->width, n_seen = all->causal ? begin + n : length;
    n_seen = n_seen < length ? n_seen : length;
    int64_t n_panels = (n_seen + PANEL - 1) / PANEL, n_padded = n_panels * PANEL;
    float shares[QUERIES];
    score(n, (const pair *)(queries + begin * stride), stride / 2, keys, n_panels, all->width / 2, scores, n_padded);
    for (int i = 0; i < n; i++) {
        int64_t n_own = all->causal && begin + i + 1 < n_seen ? begin + i + 1 : n_seen;
        shares[i] = soften(scores + i * n_padded, chances + i * n_padded, n_own, n_padded, all->scale);
    }
    mix(n, (const pair *)chances, n_padded, values, (n_seen + 1) / 2, (length + 1) / 2, shares,
        contexts + begin * all->heads * all->width, all->heads * all->width, all->width);
}

static void attend_head(const job *all, int64_t row, int64_t head, char *scratch) {
    int64_t start = all->bounds[row], length = all->bounds[row + 1] - start, width = all->width;
    int64_t stride = 3 * all->heads * width, n_padded = (length + PANEL - 1) / PANEL * PANEL;
    const bf16 *queries = all->qkv + start * stride + head * width;
    bf16 *contexts = all->contexts + (start * all->heads + head) * width;
    pair *keys = (pair *)scratch, *values = keys + n_padded * width / 2;
    float *scores = (float *)(values + n_padded / 2 * ((width + PANEL - 1) / PANEL * PANEL));
    bf16 *chances = (bf16 *)(scores + QUERIES * n_padded);
    lay_keys(queries + all->heads * width, stride, length, width / 2, keys);
    lay_values(queries + 2 * all->heads * width, stride, length, width, values);
    int n = length >= QUERIES ? QUERIES : length >= FEW ? FEW : 1;
    for (int64_t done = 0; done < length; done += n) {
        int64_t begin = done + n <= length ? done : length - n; /* the last block does again what fills it */
        if (n == QUERIES)
            attend_block(QUERIES, all, queries, keys, values, begin, length, scores, chances, contexts);
        else if (n == FEW)
            attend_block(FEW, all, queries, keys, values, begin, length, scores, chances, contexts);
        else
            attend_block(1, all, queries, keys, values, begin, length, scores, chances, contexts);
    }
}

static void attend_some(void *given) {
    job *all = given;
    char *scratch = all->scratch + next_of(&all->n_workers) * all->scratch_bytes;
    int64_t n_parts = all->rows * all->heads, part;
    while ((part = next_of(&all->n_begun)) < n_parts) {
        part = n_parts - 1 - part; /* the longest rows come last: begin with them */
        attend_head(all, part / all->heads, part % all->heads, scratch);
    }
}

/* Bytes of scratch, aligned to 64, that a worker needs for rows of at most `longest` tokens. */
int64_t glossa_attend_scratch(int64_t longest, int64_t width) {
    int64_t n_padded = (longest + PANEL - 1) / PANEL * PANEL, panels = (width + PANEL - 1) / PANEL * PANEL;
    return n_padded * (2 * width + 2 * panels + QUERIES * 6);
}

/* `contexts` [tokens, heads, width] of `qkv`. `width`: a multiple of 16. `team` runs the work on `n_threads`, or is null. */
void glossa_attend(const bf16 *qkv, bf16 *contexts, const int32_t *bounds, char *scratch, parallel team, int64_t rows,
                   int64_t heads, int64_t width, int64_t scratch_bytes, int64_t causal, int64_t n_threads, float scale) {
    job all = {qkv, contexts, bounds, rows, heads, width, scale * 1.44269504f, causal, scratch, scratch_bytes, 0, 0};
    together(team, n_threads, attend_some, &all);
}
