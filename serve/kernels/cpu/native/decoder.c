/* The decoder of a masked LM: scores of states over a vocabulary, and the sums of their exponentials.
 * serve/kernels/cpu/decoder.py calls it and says why.
 *
 * A few rows of the decoder, read in place, are multiplied with all states, which are packed in panels of 32. Meanwhile the
 * next rows are prefetched. Sums are float32 and never rounded. The scores of a state are summed in one order, whatever other
 * states there are. It needs no library, not even libc.
 */
#include "kernels.h"

#define MAX_BLOCK_WORDS 192 /* most words that a thread takes at a time */
#define STEP_WORDS 48 /* a block of words is a multiple of this */
#define PART_BYTES (288 << 10) /* most bytes of a block of words, so that it stays in the cache of a core for all panels */
#define RUN 256 /* vectors that are summed before their sum is added to the total, so that rounding errors stay small */

typedef struct {
    const bf16 *words; /* [n_words, 2 n_pairs] */
    const float *bias; /* [n_words] */
    const pair *states; /* [n_states / PANEL, rounded up, n_pairs, PANEL] */
    float *logits; /* [n_states, n_words] */
    int64_t n_words, n_pairs, n_states, n_begun;
} job;

/* `to` [n, PANEL] = `n` rows of words times the first `n_states` states of a panel, in whole registers. Meanwhile the cache
 * lines from `ahead` to `until` are prefetched.
 */
INLINE void block(int n, const pair *words, const pair *states, int64_t n_pairs, int64_t n_states, float *to,
                  const char *ahead, const char *until) {
    for (int64_t first = 0; first < n_states; first += BLOCK_REGISTERS * VECTOR_WIDTH) {
        floats sums[BLOCK_ROWS][BLOCK_REGISTERS];
        for (int i = 0; i < n; i++)
            for (int c = 0; c < BLOCK_REGISTERS; c++)
                sums[i][c] = broadcast(0.0f);
        to_tiles(n, sums);
        for (int64_t k = 0; k < n_pairs; k += FETCH_STEP) {
            int n_lines = first ? 0 : n * FETCH_STEP * (int)sizeof(pair) / LINE_BYTES;
            for (int line = 0; line < n_lines && ahead < until; line++, ahead += LINE_BYTES)
                fetch_near(ahead);
            add_products(n, words + k, n_pairs, states + k * PANEL + first, FETCH_STEP, sums);
        }
        from_tiles(n, sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            for (int c = 0; c < BLOCK_REGISTERS; c++)
                put_floats(to + i * PANEL + first + c * VECTOR_WIDTH, sums[i][c]);
    }
}

static void any_block(int64_t n, const pair *words, const pair *states, int64_t n_pairs, int64_t n_states, float *to,
                      const char *ahead, const char *until) {
    switch (n) {
#define CASE(N) case N: block(N, words, states, n_pairs, n_states, to, ahead, until); break;
        EACH_ROW_COUNT(CASE)
    }
}

/* Write the scores of `n` words from `first` on, at most VECTOR_WIDTH, for the states of a panel. `sums` is [n, PANEL]. */
static void put_scores(const job *args, const float *sums, int64_t first, int64_t n, int64_t panel) {
    _Alignas(64) pair scores_by_state[VECTOR_WIDTH * PANEL];
    for (int64_t state = panel * PANEL; state < args->n_states && state < (panel + 1) * PANEL; state += VECTOR_WIDTH) {
        put_transposed(scores_by_state, (const pair *)sums + state % PANEL, PANEL, n, VECTOR_WIDTH);
        for (int64_t i = 0; i < VECTOR_WIDTH && state + i < args->n_states; i++) {
            const float *own = (const float *)(scores_by_state + i * PANEL);
            float *to = args->logits + (state + i) * args->n_words + first;
            if (n == VECTOR_WIDTH)
                put_floats(to, add(floats_at(own), floats_at(args->bias + first)));
            else
                for (int64_t word = 0; word < n; word++)
                    to[word] = own[word] + args->bias[first + word];
        }
    }
}

static void score_some(void *given) {
    job *args = given;
    float sums[MAX_BLOCK_WORDS * PANEL];
    const pair *words = (const pair *)args->words;
    int64_t n_fit = PART_BYTES / (args->n_pairs * (int64_t)sizeof(pair)) / STEP_WORDS * STEP_WORDS;
    int64_t n_each = n_fit < STEP_WORDS ? STEP_WORDS : n_fit < MAX_BLOCK_WORDS ? n_fit : MAX_BLOCK_WORDS;
    for (int64_t first; (first = next_of(&args->n_begun) * n_each) < args->n_words;) {
        int64_t n = args->n_words - first < n_each ? args->n_words - first : n_each;
        for (int64_t panel = 0; panel * PANEL < args->n_states; panel++) {
            int64_t n_states = args->n_states - panel * PANEL < PANEL ? args->n_states - panel * PANEL : PANEL;
            for (int64_t word = 0; word < n; word += BLOCK_ROWS) {
                const pair *own = words + (first + word) * args->n_pairs, *next = own + BLOCK_ROWS * args->n_pairs;
                const pair *until = panel ? next : words + (first + n) * args->n_pairs;
                any_block(n - word < BLOCK_ROWS ? n - word : BLOCK_ROWS, own, args->states + panel * args->n_pairs * PANEL,
                          args->n_pairs, n_states, sums + word * PANEL, (const char *)next, (const char *)until);
            }
            for (int64_t word = 0; word < n; word += VECTOR_WIDTH)
                put_scores(args, sums + word * PANEL, first + word, n - word < VECTOR_WIDTH ? n - word : VECTOR_WIDTH, panel);
        }
    }
}

/* `logits` [n_states, n_words] = states times words + bias. The width, 2 n_pairs, is a multiple of 16. `states` are in panels,
 * aligned to 64 bytes. `team` runs the work on `n_threads` threads, or is null.
 */
void glossa_score(const bf16 *words, const float *bias, const pair *states, float *logits, parallel team, int64_t n_words,
                  int64_t width, int64_t n_states, int64_t n_threads) {
    job args = {words, bias, states, logits, n_words, width / 2, n_states, 0};
    together(team, n_threads, score_some, &args);
}

typedef struct {
    const float *logits; /* [n_states, n_words] */
    float *largest, *sums; /* [n_states] */
    int64_t n_words, n_states, n_begun;
} total;

/* Return VECTOR_WIDTH scores from `at` on, with -infinity after the last. */
INLINE floats scores_at(const float *logits, int64_t at, int64_t n_words) {
    float last[VECTOR_WIDTH];
    if (at + VECTOR_WIDTH <= n_words)
        return floats_at(logits + at);
    for (int64_t i = 0; i < VECTOR_WIDTH; i++)
        last[i] = at + i < n_words ? logits[at + i] : -__builtin_inff();
    return floats_at(last);
}

static void sum_up(const total *args, int64_t state) {
    const float *logits = args->logits + state * args->n_words;
    floats top = broadcast(-__builtin_inff()), sum = broadcast(0.0f);
    for (int64_t at = 0; at < args->n_words; at += VECTOR_WIDTH)
        top = max_of(scores_at(logits, at, args->n_words), top);
    floats largest = broadcast(max_in(top));
    for (int64_t begun = 0; begun < args->n_words; begun += RUN * VECTOR_WIDTH) {
        floats some = broadcast(0.0f);
        for (int64_t at = begun; at < begun + RUN * VECTOR_WIDTH && at < args->n_words; at += VECTOR_WIDTH)
            some = add(some, power_of_2(times(subtract(scores_at(logits, at, args->n_words), largest),
                                              broadcast(1.44269504f))));
        sum = add(sum, some);
    }
    args->largest[state] = max_in(top);
    args->sums[state] = sum_of(sum);
}

static void sum_up_some(void *given) {
    total *args = given;
    int64_t state;
    while ((state = next_of(&args->n_begun)) < args->n_states)
        sum_up(args, state);
}

/* For each state, compute its largest score, and the sum of exp(score - largest score). */
void glossa_sum_up(const float *logits, float *largest, float *sums, parallel team, int64_t n_words, int64_t n_states,
                   int64_t n_threads) {
    total args = {logits, largest, sums, n_words, n_states, 0};
    together(team, n_threads, sum_up_some, &args);
}
