/* Post-norm layers of a pass, all in one call or some; serve/cpu_layers.py says what for.
 *
 * Calls the kernels of products.c, attention.c and norms.c, one after the other.
 */
#include "kernels.h"

typedef struct {
    const pair *weight;
    const float *bias, *scales; /* scales and offsets of weights in bytes, null of bfloat16 */
    const int32_t *offsets;
} linear;

typedef struct {
    const float *scale, *shift;
} factors;

typedef struct {
    linear qkv, mix, up, down;
    factors mix_norm, down_norm;
} layer;

typedef struct {
    parallel team; /* or null */
    const layer *layers;
    int64_t heads, head_width, inner, step, causal;
    float scale, eps;
} backbone;

static void multiply(const backbone *all, const linear *own, const bf16 *states, const bf16 *residual, void *out, char *levels,
                     int64_t tokens, int64_t n_out, int64_t n_in, int64_t step, int64_t n_threads) {
#ifdef HAS_BYTES
    if (own->scales) {
        glossa_multiply_bytes(states, own->weight, own->scales, own->offsets, own->bias, residual, out, levels, all->team,
                              tokens, n_out, n_in, step, n_threads);
        return;
    }
#else
    (void)levels;
#endif
    glossa_multiply(states, own->weight, own->bias, residual, out, all->team, tokens, n_out, n_in, step, n_threads);
}

/* `out` [tokens, heads * head_width] = the layers from `first` to `last` of `states`, or of `out` from the second on.
 * `wide` [tokens, 3 * width or inner, whichever is more] of bfloat16, `narrow` [tokens, width] of float32 and `scratch`
 * (glossa_attend's) are room to work in, and `levels` (glossa_multiply_bytes') where a weight is of bytes. */
void glossa_layers(const backbone *all, const bf16 *states, bf16 *out, const int32_t *bounds, bf16 *wide, float *narrow,
                   char *scratch, char *levels, int64_t first, int64_t last, int64_t tokens, int64_t rows, int64_t scratch_bytes,
                   int64_t n_threads) {
    int64_t width = all->heads * all->head_width;
    bf16 *contexts = (bf16 *)narrow;
    float *sums = (float *)wide; /* of attention, for which queries, keys and values make room */
    for (int64_t i = first; i < last; i++) {
        const layer *own = all->layers + i;
        const bf16 *before = i ? out : states;
        multiply(all, &own->qkv, before, 0, wide, levels, tokens, 3 * width, width, PLAIN, n_threads);
        glossa_attend(wide, contexts, bounds, scratch, all->team, rows, all->heads, all->head_width, scratch_bytes,
                      all->causal, n_threads, all->scale);
        multiply(all, &own->mix, contexts, before, sums, levels, tokens, width, width, ADDED, n_threads);
        glossa_norm(sums, own->mix_norm.scale, own->mix_norm.shift, out, all->team, tokens, width, n_threads, all->eps);
        multiply(all, &own->up, out, 0, wide, levels, tokens, all->inner, width, all->step, n_threads);
        multiply(all, &own->down, wide, out, narrow, levels, tokens, width, all->inner, ADDED, n_threads);
        glossa_norm(narrow, own->down_norm.scale, own->down_norm.shift, out, all->team, tokens, width, n_threads, all->eps);
    }
}
