/* Attention of the rows of a packed stream in bfloat16. serve/kernels/cpu/attention.py calls it and says why.
 *
 * For each row and head, keys and values are packed once. Then a block of queries is multiplied with all keys, its softmax is
 * computed while the scores are in the cache, and the result is multiplied with all values. States are read in place and
 * contexts are written in place; only keys and values are copied. Scores, sums and contexts are float32; probabilities are
 * rounded to bfloat16. A row depends on itself only, and sums in an order that depends on its length only. In a causal row, a
 * value that is not finite may reach the few earlier tokens of its block. It needs no library, not even libc.
 */
#include "kernels.h"

#define QUERIES BLOCK_ROWS /* queries in a block */
#define FEW 4 /* queries in a block when the row has fewer than QUERIES tokens */

typedef struct {
    const bf16 *qkv; /* [tokens, 3, heads, width] */
    bf16 *contexts; /* [tokens, heads, width] */
    const int32_t *bounds; /* [rows + 1] */
    int64_t rows, heads, width;
    float scale; /* of the scores, times log2(e) */
    int64_t causal;
    char *scratch;
    int64_t scratch_bytes; /* of one thread */
    int64_t n_threads, n_begun, n_workers;
} job;

/* `sums` [n, BLOCK_REGISTERS] = rows [n, n_pairs] times columns [n_pairs, PANEL], in pairs. Rows are `stride` apart. */
INLINE void product_of(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_pairs,
                       floats sums[][BLOCK_REGISTERS]) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c < BLOCK_REGISTERS; c++)
            sums[i][c] = broadcast(0.0f);
    to_tiles(n, sums);
    add_products(n, rows, stride, columns, n_pairs, sums);
    from_tiles(n, sums);
}

/* `scores` [n, n_panels * PANEL] = queries times keys */
INLINE void score(int n, const pair *queries, int64_t stride, const pair *keys, int64_t n_panels, int64_t n_pairs,
                  float *scores, int64_t n_padded) {
    for (int64_t first = 0; first < n_panels * PANEL; first += BLOCK_REGISTERS * VECTOR_WIDTH) {
        floats sums[QUERIES][BLOCK_REGISTERS];
        product_of(n, queries, stride, keys + first / PANEL * n_pairs * PANEL + first % PANEL, n_pairs, sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            for (int c = 0; c < BLOCK_REGISTERS; c++)
                put_floats(scores + i * n_padded + first + c * VECTOR_WIDTH, sums[i][c]);
    }
}

/* `contexts` [n, width] = probabilities times values, scaled by the inverse sum of each row. Rows are `stride` apart. */
INLINE void weigh_values(int n, const pair *probabilities, int64_t n_padded, const pair *values, int64_t n_pairs,
                         int64_t n_value_pairs, const float *inverse_sums, bf16 *contexts, int64_t stride, int64_t width) {
    for (int64_t first = 0; first < width; first += BLOCK_REGISTERS * VECTOR_WIDTH) {
        floats sums[QUERIES][BLOCK_REGISTERS];
        product_of(n, probabilities, n_padded / 2, values + first / PANEL * n_value_pairs * PANEL + first % PANEL, n_pairs,
                   sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            for (int c = 0; c < BLOCK_REGISTERS; c++)
                if (first + c * VECTOR_WIDTH < width)
                    put_rounded(contexts + i * stride + first + c * VECTOR_WIDTH,
                                times(sums[i][c], broadcast(inverse_sums[i])));
    }
}

/* `probabilities` [n_padded] = 2^(scale * (score - highest score)), and 0 from `n_seen` on. Returns 1 / their sum. */
static inline float softmax_row(const float *scores, bf16 *probabilities, int64_t n_seen, int64_t n_padded, float scale) {
    floats highest = broadcast(-__builtin_inff()), sum = broadcast(0.0f), factor = broadcast(scale);
    for (int64_t k = 0; k < n_seen; k += VECTOR_WIDTH)
        highest = select_first(n_seen - k, max_of(highest, floats_at(scores + k)), highest);
    highest = broadcast(max_in(highest));
    for (int64_t k = 0; k < n_padded; k += VECTOR_WIDTH) {
        floats probability = power_of_2(times(subtract(floats_at(scores + k), highest), factor));
        probability = select_first(n_seen - k, probability, broadcast(0.0f));
        sum = add(sum, probability);
        put_rounded(probabilities + k, probability);
    }
    return 1.0f / sum_of(sum);
}

/* `packed` [panels, n_pairs, PANEL]: column k holds key k, and zeros follow the last key. */
static void pack_keys(const bf16 *keys, int64_t stride, int64_t n_keys, int64_t n_pairs, pair *packed) {
    for (int64_t key = 0; key < (n_keys + PANEL - 1) / PANEL * PANEL; key += VECTOR_WIDTH)
        for (int64_t k = 0; k < n_pairs; k += VECTOR_WIDTH)
            put_transposed(packed + key / PANEL * n_pairs * PANEL + key % PANEL + k * PANEL,
                           (const pair *)(keys + (key < n_keys ? key : 0) * stride) + k, stride / 2, n_keys - key, n_pairs - k);
}

/* `packed` [panels, n_pairs, PANEL]: pair p of column c holds number c of the values 2 p and 2 p + 1. Zeros follow the last
 * value.
 */
static void pack_values(const bf16 *values, int64_t stride, int64_t n_values, int64_t width, pair *packed) {
    int64_t n_pairs = (n_values + 1) / 2;
    for (int64_t first = 0; first < width; first += VECTOR_WIDTH) {
        pair *out = packed + first / PANEL * n_pairs * PANEL + first % PANEL;
        for (int64_t p = 0; p < n_pairs; p++) {
            const bf16 *even = values + 2 * p * stride + first;
            put_pairs(out + p * PANEL, even, 2 * p + 1 < n_values ? even + stride : 0);
        }
    }
}

INLINE void attend_block(int n, const job *args, const bf16 *queries, const pair *keys, const pair *values, int64_t begin,
                         int64_t length, float *scores, bf16 *probabilities, bf16 *contexts) {
    int64_t stride = 3 * args->heads * args->width, n_seen = args->causal ? begin + n : length;
    n_seen = n_seen < length ? n_seen : length;
    int64_t n_panels = (n_seen + PANEL - 1) / PANEL, n_padded = n_panels * PANEL;
    float inverse_sums[QUERIES];
    score(n, (const pair *)(queries + begin * stride), stride / 2, keys, n_panels, args->width / 2, scores, n_padded);
    for (int i = 0; i < n; i++) {
        int64_t n_own = args->causal && begin + i + 1 < n_seen ? begin + i + 1 : n_seen;
        inverse_sums[i] = softmax_row(scores + i * n_padded, probabilities + i * n_padded, n_own, n_padded, args->scale);
    }
    weigh_values(n, (const pair *)probabilities, n_padded, values, (n_seen + 1) / 2, (length + 1) / 2, inverse_sums,
                 contexts + begin * args->heads * args->width, args->heads * args->width, args->width);
}

/* Prefetch queries, keys and values of a head. Those of two tokens are a row of all heads apart, about a page, and the
 * processor does not prefetch over such distances by itself.
 */
INLINE void fetch_head(const job *args, const bf16 *queries, int64_t first, int64_t last) {
    for (int64_t token = first; token < last; token++)
        for (int64_t kind = 0; kind < 3; kind++) {
            const char *from = (const char *)(queries + (token * 3 + kind) * args->heads * args->width);
            for (int64_t at = 0; at < args->width * (int64_t)sizeof(bf16); at += LINE_BYTES)
                fetch_far(from + at);
        }
}

/* `next`: the head of this row that this thread probably takes next. */
static void attend_head(const job *args, int64_t row, int64_t head, int64_t next, char *scratch) {
    int64_t start = args->bounds[row], length = args->bounds[row + 1] - start, width = args->width;
    int64_t stride = 3 * args->heads * width, n_padded = (length + PANEL - 1) / PANEL * PANEL;
    const bf16 *queries = args->qkv + start * stride + head * width;
    bf16 *contexts = args->contexts + (start * args->heads + head) * width;
    pair *keys = (pair *)scratch, *values = keys + n_padded * width / 2;
    float *scores = (float *)(values + n_padded / 2 * ((width + PANEL - 1) / PANEL * PANEL));
    bf16 *probabilities = (bf16 *)(scores + QUERIES * n_padded);
    pack_keys(queries + args->heads * width, stride, length, width / 2, keys);
    pack_values(queries + 2 * args->heads * width, stride, length, width, values);
    int n = length >= QUERIES ? QUERIES : length >= FEW ? FEW : 1;
    for (int64_t done = 0; done < length; done += n) {
        if (next < args->heads)
            fetch_head(args, queries + (next - head) * width, done, done + n < length ? done + n : length);
        /* the last block repeats tokens of the one before, to be full */
        int64_t begin = done + n <= length ? done : length - n;
        if (n == QUERIES)
            attend_block(QUERIES, args, queries, keys, values, begin, length, scores, probabilities, contexts);
        else if (n == FEW)
            attend_block(FEW, args, queries, keys, values, begin, length, scores, probabilities, contexts);
        else
            attend_block(1, args, queries, keys, values, begin, length, scores, probabilities, contexts);
    }
}

static void attend_some(void *given) {
    job *args = given;
    char *scratch = args->scratch + next_of(&args->n_workers) * args->scratch_bytes;
    int64_t n_parts = args->rows * args->heads, part;
    while ((part = next_of(&args->n_begun)) < n_parts) {
        /* the longest rows come last in the pack and are taken first */
        int64_t row = args->rows - 1 - part / args->heads, head = part % args->heads;
        attend_head(args, row, head, head + args->n_threads, scratch);
    }
}

/* Return the bytes of scratch, aligned to 64, that a thread needs for rows of at most `longest` tokens. For each token, padded
 * to whole panels, it holds in this order:
 * - its packed key: 2 bytes for each of `width` numbers
 * - its packed value: 2 bytes for each column, in whole panels (`panels` columns)
 * - for each query of a block its score, 4 bytes, and its probability, 2 bytes
 */
int64_t glossa_attend_scratch(int64_t longest, int64_t width) {
    int64_t n_padded = (longest + PANEL - 1) / PANEL * PANEL, panels = (width + PANEL - 1) / PANEL * PANEL;
    return n_padded * (2 * width + 2 * panels + QUERIES * 6);
}

/* Compute `contexts` [tokens, heads, width] of `qkv` [tokens, 3, heads, width]. `width` is a multiple of 16. `team` runs the
 * work on `n_threads` threads, or is null.
 */
void glossa_attend(const bf16 *qkv, bf16 *contexts, const int32_t *bounds, char *scratch, parallel team, int64_t rows,
                   int64_t heads, int64_t width, int64_t scratch_bytes, int64_t causal, int64_t n_threads, float scale) {
    job args = {qkv, contexts, bounds, rows, heads, width, scale * 1.44269504f, causal, scratch, scratch_bytes, n_threads, 0,
                0};
    together(team, n_threads, attend_some, &args);
}
