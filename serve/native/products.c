/* The products of Linears in bfloat16 with the step behind them; serve/cpu_products.py says what for.
 *
 * Weights lie in panels of 32 outputs, as the processor multiplies them. A block of 12 rows of states meets a panel while
 * its 24 sums stay in registers; while a panel is used, the next one is fetched into the core's own cache: with few rows
 * the weights' way from memory is what a product waits for. Sums are float32, rounded once, behind bias and step. Each
 * row's sums are taken in one order, whatever rows stand beside it. Needs no library, not even libc.
 */
#include <immintrin.h>

#include "team.h"

#define LANES 16 /* float32 numbers, or pairs of bfloat16, in a register */
#define PANEL 32 /* outputs that are done at a time */
#define ROWS 12 /* of states that are done at a time, or one less: 24 of the 32 registers hold sums */
#define STRIDE 8 /* pairs between two looks at what to fetch next */
#define LINE_BYTES 64
#define CHUNK_BYTES (1 << 20) /* of states that meet all weights before the next ones do: they stay in a core's cache */
#define CHUNK_ROWS 48 /* at least, where chunks are made for threads alone */
#define PARTS 4 /* at least, for each thread: the last to end keeps the others waiting a fourth at most */

typedef uint16_t bf16;
typedef uint32_t pair __attribute__((may_alias)); /* two neighbouring bfloat16 numbers */

enum { PLAIN, GELU, RELU, ADDED };

typedef struct {
    const bf16 *states; /* [rows, 2 pairs] */
    const pair *weight; /* [n_panels, pairs, PANEL] */
    const float *bias; /* [n_panels * PANEL] */
    const bf16 *residual; /* [rows, n_panels * PANEL] where the step is ADDED */
    bf16 *out; /* [rows, n_panels * PANEL] */
    int64_t rows, n_panels, pairs, step, n_chunks, n_threads, n_begun;
} job;

/* 2^x for x <= 0, off by less than a millionth of it; 0 for -infinity. */
static inline __m512 power_of_2(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), rest = _mm512_sub_ps(x, whole);
    __m512 series = _mm512_set1_ps(0.00133335581f);
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.00961812911f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.0555041087f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.240226507f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(0.693147181f));
    series = _mm512_fmadd_ps(series, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(series, whole);
}

/* x * Phi(x). Phi of -|x| is half of erfc(|x| / sqrt 2), by Abramowitz and Stegun 7.1.26, whose error is 1.5e-7. */
static inline __m512 gelu(__m512 x) {
    __m512 size = _mm512_abs_ps(x), one = _mm512_set1_ps(1.0f);
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(size, _mm512_set1_ps(0.231641888f), one)); /* 0.3275911 / sqrt 2 */
    __m512 series = _mm512_set1_ps(0.5307027145f); /* halves of their coefficients */
    series = _mm512_fmadd_ps(series, t, _mm512_set1_ps(-0.7265760135f));
    series = _mm512_fmadd_ps(series, t, _mm512_set1_ps(0.7107068705f));
    series = _mm512_fmadd_ps(series, t, _mm512_set1_ps(-0.142248368f));
    series = _mm512_mul_ps(_mm512_fmadd_ps(series, t, _mm512_set1_ps(0.127414796f)), t);
    __m512 tail = _mm512_mul_ps(series, power_of_2(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.721347520f))));
    __m512 chance = _mm512_mask_sub_ps(tail, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ), one, tail);
    return _mm512_mul_ps(x, chance);
}

static inline __attribute__((always_inline)) void finish(__m512 sums, int64_t step, const bf16 *residual, bf16 *out) {
    if (step == GELU)
        sums = gelu(sums);
    else if (step == RELU)
        sums = _mm512_max_ps(_mm512_setzero_ps(), sums); /* NaN, the second, stays */
    else if (step == ADDED)
        sums = _mm512_add_ps(sums, _mm512_castsi512_ps(_mm512_slli_epi32(
                   _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)residual)), 16)));
    _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(sums));
}

/* `n` rows of states meet a panel; meanwhile the lines from `ahead` to `until` are fetched. */
static inline __attribute__((always_inline)) void block(int n, const job *all, int64_t row, int64_t panel, const char *ahead,
                                                        const char *until) {
    int64_t pairs = all->pairs, width = all->n_panels * PANEL, each = ((until - ahead) / LINE_BYTES * STRIDE + pairs - 1) / pairs;
    const pair *states = (const pair *)all->states + row * pairs, *weight = all->weight + panel * pairs * PANEL;
    const float *bias = all->bias + panel * PANEL;
    __m512 sums[ROWS][2];
    for (int i = 0; i < n; i++)
        sums[i][0] = _mm512_loadu_ps(bias), sums[i][1] = _mm512_loadu_ps(bias + LANES);
    for (int64_t k = 0; k < pairs;) {
        for (int64_t line = 0; line < each && ahead < until; line++, ahead += LINE_BYTES)
            _mm_prefetch(ahead, _MM_HINT_T1);
        for (int64_t end = k + STRIDE; k < end; k++) {
            __m512bh left = (__m512bh)_mm512_load_si512(weight + k * PANEL);
            __m512bh right = (__m512bh)_mm512_load_si512(weight + k * PANEL + LANES);
#pragma GCC unroll 12
            for (int i = 0; i < n; i++) {
                __m512bh one = (__m512bh)_mm512_set1_epi32((int)states[i * pairs + k]);
                sums[i][0] = _mm512_dpbf16_ps(sums[i][0], one, left);
                sums[i][1] = _mm512_dpbf16_ps(sums[i][1], one, right);
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < n; i++) {
        int64_t at = (row + i) * width + panel * PANEL;
        const bf16 *residual = all->step == ADDED ? all->residual + at : all->out;
        finish(sums[i][0], all->step, residual, all->out + at);
        finish(sums[i][1], all->step, residual + LANES, all->out + at + LANES);
    }
}

static void any_block(int64_t n, const job *all, int64_t row, int64_t panel, const char *ahead, const char *until) {
    switch (n) {
#define CASE(N) case N: block(N, all, row, panel, ahead, until); break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    }
}

/* The rows from `first` to `last` meet a panel, in blocks of near equal size. */
static void chunk(const job *all, int64_t first, int64_t last, int64_t panel) {
    int64_t n_blocks = (last - first + ROWS - 1) / ROWS, next = panel + all->n_threads; /* about whose turn it is then */
    int64_t n_lines = next < all->n_panels ? all->pairs * PANEL * (int64_t)sizeof(pair) / LINE_BYTES : 0;
    const char *ahead = (const char *)(all->weight + (n_lines ? next : 0) * all->pairs * PANEL);
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t begin = first + (last - first) * i / n_blocks, end = first + (last - first) * (i + 1) / n_blocks;
        any_block(end - begin, all, begin, panel, ahead + n_lines * i / n_blocks * LINE_BYTES,
                  ahead + n_lines * (i + 1) / n_blocks * LINE_BYTES);
    }
}

static void multiply_some(void *given) {
    job *all = given;
    int64_t n_parts = all->n_chunks * all->n_panels, part;
    while ((part = next_of(&all->n_begun)) < n_parts) {
        int64_t at = part / all->n_panels;
        chunk(all, all->rows * at / all->n_chunks, all->rows * (at + 1) / all->n_chunks, part % all->n_panels);
    }
}

/* `out` = step(states * weight + bias). Outputs: a multiple of 32, inputs (2 pairs) of 16; `weight` aligned to 64 bytes.
 * `team` runs the work on `n_threads`, or is null. */
void glossa_multiply(const bf16 *states, const pair *weight, const float *bias, const bf16 *residual, bf16 *out,
                     parallel team, int64_t rows, int64_t n_out, int64_t n_in, int64_t step, int64_t n_threads) {
    int64_t n_panels = n_out / PANEL, n_chunks = (rows * n_in * (int64_t)sizeof(bf16) + CHUNK_BYTES - 1) / CHUNK_BYTES;
    int64_t n_wanted = (PARTS * n_threads + n_panels - 1) / n_panels, n_most = rows / CHUNK_ROWS;
    n_wanted = n_wanted < n_most ? n_wanted : n_most;
    n_chunks = n_chunks > rows ? rows : n_chunks > n_wanted ? n_chunks : n_wanted;
    job all = {states, weight, bias, residual, out, rows, n_panels, n_in / 2, step, n_chunks, n_threads, 0};
    together(team, n_threads, multiply_some, &all);
}
