/* The states that enter the first layer: the normalized sum of word, position and type embeddings.
 * serve/kernels/cpu/embeddings.py calls it and says why.
 *
 * Sums and LayerNorm (layer_norm.c) are float32, rounded once. It needs no library, not even libc.
 */
#include "kernels.h"

typedef struct {
    const int32_t *ids; /* [tokens] */
    const int64_t *positions; /* [tokens] or null; negative where positions are to be counted */
    const int64_t *types; /* [tokens] or null; negative means type 0 */
    const int32_t *bounds; /* [rows + 1] */
    const bf16 *words; /* [vocabulary, width] */
    const float *position_table, *type_table; /* [positions, width], [types, width] */
    float *sums; /* [tokens, width] */
    int64_t rows, width, pad_id, n_begun;
} job;

static void embed(const job *args, int64_t token, int64_t position) {
    const bf16 *word = args->words + args->ids[token] * args->width;
    const float *position_row = args->position_table + position * args->width, *type_row = 0;
    if (args->types && args->types[token] > 0)
        type_row = args->type_table + args->types[token] * args->width;
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH) {
        floats sum = add(floats_of_bf16(word + k), floats_at(position_row + k));
        put_floats(args->sums + token * args->width + k, type_row ? add(sum, floats_at(type_row + k)) : sum);
    }
}

static void embed_some(void *given) {
    job *args = given;
    int64_t row;
    while ((row = next_of(&args->n_begun)) < args->rows) {
        /* the last position that was counted; pad ids are not counted and have position pad_id. A pad_id of -1 is no token's:
         * positions count from 0 */
        int64_t counted = args->pad_id;
        for (int64_t token = args->bounds[row]; token < args->bounds[row + 1]; token++) {
            int64_t own = args->ids[token] == args->pad_id ? args->pad_id : ++counted;
            embed(args, token, args->positions && args->positions[token] >= 0 ? args->positions[token] : own);
        }
    }
}

/* Compute `out` [tokens, width] of `ids`. `sums` [tokens, width] is scratch. `width` is a multiple of 16. `team` runs the work
 * on `n_threads` threads, or is null.
 */
void glossa_embed(const int32_t *ids, const int64_t *positions, const int64_t *types, const int32_t *bounds, const bf16 *words,
                  const float *position_table, const float *type_table, const float *scale, const float *shift, float *sums,
                  bf16 *out, parallel team, int64_t rows, int64_t width, int64_t pad_id, int64_t n_threads, float eps) {
    job args = {ids, positions, types, bounds, words, position_table, type_table, sums, rows, width, pad_id, 0};
    together(team, n_threads, embed_some, &args);
    glossa_norm(sums, scale, shift, out, team, bounds[rows], width, n_threads, eps);
}
