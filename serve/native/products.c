/* The products of Linears in bfloat16 with the step behind them; serve/cpu_products.py says what for.
 *
 * Weights lie in panels of 32 outputs, as the processor multiplies them. A block of rows of states meets a panel while
 * its sums stay in registers; while a panel is used, the next one is fetched into the core's own cache: with few rows
 * the weights' way from memory is what a product waits for. Sums are float32, rounded once, behind bias and step; not at
 * all where a LayerNorm comes next. Each row's sums are taken in one order, whatever rows stand beside it. Needs no library,
 * not even libc.
 */
#include "kernels.h"

#define STRIDE 8 /* pairs between two looks at what to fetch next */
#define LINE_BYTES 64
#define CHUNK_BYTES (1 << 20) /* of states that meet all weights before the next ones do: they stay in a core's cache */
#define CHUNK_ROWS 48 /* at least, where chunks are made for threads alone */
#define PARTS 4 /* at least, for each thread: the last to end keeps the others waiting a fourth at most */

typedef struct {
    const bf16 *states; /* [rows, 2 n_pairs] */
    const pair *weight; /* [n_panels, n_pairs, PANEL] */
    const float *bias; /* [n_panels * PANEL] */
    const bf16 *residual; /* [rows, n_panels * PANEL] where the step is ADDED */
    void *out; /* [rows, n_panels * PANEL], float where the step is ADDED, else bf16 */
    int64_t rows, n_panels, n_pairs, step, n_chunks, n_threads, n_begun;
} job;

/* x * Phi(x). Phi of -|x| is half of erfc(|x| / sqrt 2), by Abramowitz and Stegun 7.1.26, whose error is 1.5e-7. */
INLINE floats gelu(floats x) {
    floats size = size_of(x), one = all_of(1.0f), t = over(one, times_add(size, all_of(0.231641888f), one)); /* 0.3275911 / sqrt 2 */
    floats series = all_of(0.5307027145f); /* halves of their coefficients */
    series = times_add(series, t, all_of(-0.7265760135f));
    series = times_add(series, t, all_of(0.7107068705f));
    series = times_add(series, t, all_of(-0.142248368f));
    series = times(times_add(series, t, all_of(0.127414796f)), t);
    floats tail = times(series, power_of_2(times(times(x, x), all_of(-0.721347520f))));
    return times(x, by_sign(x, subtract(one, tail), tail));
}

INLINE void finish(floats sums, const job *all, int64_t at) {
    if (all->step == ADDED) {
        put_floats((float *)all->out + at, add(sums, widened(all->residual + at)));
        return;
    }
    if (all->step == GELU)
        sums = gelu(sums);
    else if (all->step == RELU)
        sums = greater(all_of(0.0f), sums); /* NaN, the second, stays */
    put_rounded((bf16 *)all->out + at, sums);
}

/* `n` rows of states meet a panel; meanwhile the lines from `ahead` to `until` are fetched. */
INLINE void block(int n, const job *all, int64_t row, int64_t panel, const char *ahead, const char *until) {
    int64_t n_pairs = all->n_pairs, width = all->n_panels * PANEL;
    int64_t each = ((until - ahead) / LINE_BYTES * STRIDE + n_pairs - 1) / n_pairs;
    const pair *states = (const pair *)all->states + row * n_pairs;
    for (int64_t first = 0; first < PANEL; first += ACROSS * LANES) {
        const pair *weight = all->weight + panel * n_pairs * PANEL + first;
        floats sums[TALL][ACROSS];
        for (int i = 0; i < n; i++)
            for (int c = 0; c < ACROSS; c++)
                sums[i][c] = floats_at(all->bias + panel * PANEL + first + c * LANES);
        for (int64_t k = 0; k < n_pairs; k += STRIDE) {
            for (int64_t line = 0; line < each && ahead < until; line++, ahead += LINE_BYTES)
                _mm_prefetch(ahead, _MM_HINT_T1);
            add_products(n, states + k, n_pairs, weight + k * PANEL, STRIDE, sums);
        }
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            for (int c = 0; c < ACROSS; c++)
                finish(sums[i][c], all, (row + i) * width + panel * PANEL + first + c * LANES);
    }
}

static void any_block(int64_t n, const job *all, int64_t row, int64_t panel, const char *ahead, const char *until) {
    switch (n) {
#define CASE(N) case N: block(N, all, row, panel, ahead, until); break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if TALL == 12
    CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}

/* The rows from `first` to `last` meet a panel, in blocks of near equal size. */
static void chunk(const job *all, int64_t first, int64_t last, int64_t panel) {
    int64_t n_blocks = (last - first + TALL - 1) / TALL, next = panel + all->n_threads; /* about whose turn it is then */
    int64_t n_lines = next < all->n_panels ? all->n_pairs * PANEL * (int64_t)sizeof(pair) / LINE_BYTES : 0;
    const char *ahead = (const char *)(all->weight + (n_lines ? next : 0) * all->n_pairs * PANEL);
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

/* `out` = step(states * weight + bias), in float32 where the step is ADDED. Outputs: a multiple of 32, inputs (2 n_pairs) of 16; `weight` aligned to 64 bytes.
 * `team` runs the work on `n_threads`, or is null. */
void glossa_multiply(const bf16 *states, const pair *weight, const float *bias, const bf16 *residual, void *out,
                     parallel team, int64_t rows, int64_t n_out, int64_t n_in, int64_t step, int64_t n_threads) {
    int64_t n_panels = n_out / PANEL, n_chunks = (rows * n_in * (int64_t)sizeof(bf16) + CHUNK_BYTES - 1) / CHUNK_BYTES;
    int64_t n_wanted = (PARTS * n_threads + n_panels - 1) / n_panels, n_most = rows / CHUNK_ROWS;
    n_wanted = n_wanted < n_most ? n_wanted : n_most;
    n_chunks = n_chunks > rows ? rows : n_chunks > n_wanted ? n_chunks : n_wanted;
    job all = {states, weight, bias, residual, out, rows, n_panels, n_in / 2, step, n_chunks, n_threads, 0};
    together(team, n_threads, multiply_some, &all);
}
