/* The post-norm layers of a pass, all or some of them in one call. serve/kernels/cpu/fused_layers.py calls it and says why.
 *
 * Between two attentions the tokens are independent. A thread takes a few tokens through all products and norms, while their
 * intermediate values are in the cache of its core. If a pass is too small for that, all threads share each product. It calls
 * the kernels of products.c, attention.c and layer_norm.c.
 */
#include "kernels.h"

#define MAX_BLOCK_TOKENS 240 /* most tokens that a thread takes at a time: enough to hide the time of reading the weights */
#define MIN_BLOCK_TOKENS 48 /* fewest: blocks shrink to this towards the end, so that no thread waits long for the last one */
/* Fewest tokens for each thread, if threads take tokens of their own. With fewer, blocks would be so small that weights would
 * be read too often.
 */
#define OWN_TOKENS 768

typedef struct {
    const pair *weight;
    const float *bias, *scales; /* scales and offsets of int8 weights, null for bfloat16 */
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
    int64_t heads, head_width, inner, epilogue, causal;
    float scale, eps;
} backbone;

/* The work between two attentions: the rest of one layer (none before the first), and the input of the next attention. */
typedef struct {
    const backbone *model;
    const layer *own, *next; /* or null */
    const bf16 *contexts, *residual; /* [tokens, width] */
    bf16 *out, *qkv; /* [tokens, width], [tokens, 3 * width] */
    char *scratch;
    int64_t tokens, scratch_bytes, n_threads, n_joined, n_begun;
} job;

typedef struct {
    parallel team; /* or null */
    int64_t n_threads;
    float *sums; /* [tokens, width] */
    bf16 *inner; /* [tokens, inner] */
    char *int8_values; /* [tokens, width or inner, whichever is larger, + 4] */
} workspace;

static int64_t token_bytes(const backbone *model) {
    int64_t width = model->heads * model->head_width, most = width > model->inner ? width : model->inner;
    return width * (int64_t)sizeof(float) + model->inner * (int64_t)sizeof(bf16) + most + (int64_t)sizeof(float);
}

/* Return whether each thread takes tokens of its own. If not, all threads share each product. */
static int threads_own_tokens(int64_t tokens, int64_t n_threads) { return n_threads == 1 || tokens >= OWN_TOKENS * n_threads; }

/* Return for how many tokens a thread needs scratch, when `n_threads` threads work at the same time. */
static int64_t scratch_tokens(int64_t tokens, int64_t n_threads) {
    int64_t share = (tokens + n_threads - 1) / n_threads;
    return threads_own_tokens(tokens, n_threads) && share > MAX_BLOCK_TOKENS ? MAX_BLOCK_TOKENS : share;
}

static workspace workspace_of(const backbone *model, char *scratch, int64_t tokens, parallel team, int64_t n_threads) {
    float *sums = (float *)scratch;
    bf16 *inner = (bf16 *)(sums + tokens * model->heads * model->head_width);
    return (workspace){team, n_threads, sums, inner, (char *)(inner + tokens * model->inner)};
}

static void multiply(const workspace *space, const linear *own, const bf16 *states, const bf16 *residual, void *out,
                     int64_t tokens, int64_t n_out, int64_t n_in, int64_t epilogue) {
#ifdef HAS_INT8
    if (own->scales) {
        glossa_multiply_int8(states, own->weight, own->scales, own->offsets, own->bias, residual, out, space->int8_values,
                             space->team, tokens, n_out, n_in, epilogue, space->n_threads);
        return;
    }
#endif
    glossa_multiply(states, own->weight, own->bias, residual, out, space->team, tokens, n_out, n_in, epilogue,
                    space->n_threads);
}

static void norm(const workspace *space, const factors *own, bf16 *out, int64_t tokens, const backbone *model) {
    glossa_norm(space->sums, own->scale, own->shift, out, space->team, tokens, model->heads * model->head_width,
                space->n_threads, model->eps);
}

static void run_tokens(const job *given, int64_t first, int64_t last, const workspace *space) {
    const backbone *model = given->model;
    const layer *own = given->own;
    int64_t width = model->heads * model->head_width, n = last - first;
    const bf16 *residual = given->residual + first * width, *states = residual;
    if (own) {
        bf16 *out = given->out + first * width;
        multiply(space, &own->mix, given->contexts + first * width, residual, space->sums, n, width, width, ADDED);
        norm(space, &own->mix_norm, out, n, model);
        multiply(space, &own->up, out, 0, space->inner, n, model->inner, width, model->epilogue);
        multiply(space, &own->down, space->inner, out, space->sums, n, width, model->inner, ADDED);
        norm(space, &own->down_norm, out, n, model);
        states = out;
    }
    if (given->next)
        multiply(space, &given->next->qkv, states, 0, given->qkv + first * 3 * width, n, 3 * width, width, PLAIN);
}

/* Take the next block of tokens, from `first` to `last`. Returns whether tokens were left. One thread takes blocks of equal
 * size; several threads take half of a thread's share of what is left.
 */
static int next_block(job *given, int64_t *first, int64_t *last) {
    int64_t begun = __atomic_load_n(&given->n_begun, __ATOMIC_RELAXED), n;
    do {
        int64_t left = given->tokens - begun, n_blocks = (left + MAX_BLOCK_TOKENS - 1) / MAX_BLOCK_TOKENS;
        if (left <= 0)
            return 0;
        n = left / (given->n_threads > 1 ? 2 * given->n_threads : n_blocks);
        n = n > MAX_BLOCK_TOKENS ? MAX_BLOCK_TOKENS : n < MIN_BLOCK_TOKENS ? MIN_BLOCK_TOKENS : n;
        n = left - n < MIN_BLOCK_TOKENS ? left : n;
    } while (!__atomic_compare_exchange_n(&given->n_begun, &begun, begun + n, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    *first = begun;
    *last = begun + n;
    return 1;
}

static void run_own_tokens(void *job_given) {
    job *given = job_given;
    char *scratch = given->scratch + next_of(&given->n_joined) * given->scratch_bytes;
    workspace own = workspace_of(given->model, scratch, scratch_tokens(given->tokens, given->n_threads), 0, 1);
    int64_t first, last;
    while (next_block(given, &first, &last))
        run_tokens(given, first, last, &own);
}

static void run_between_attentions(job given) {
    if (threads_own_tokens(given.tokens, given.n_threads)) {
        together(given.model->team, given.n_threads, run_own_tokens, &given);
        return;
    }
    workspace shared = workspace_of(given.model, given.scratch, given.tokens, given.model->team, given.n_threads);
    run_tokens(&given, 0, given.tokens, &shared);
}

/* Return the bytes of scratch for each thread, a multiple of 64, if the longest row has `longest` tokens. */
int64_t glossa_layers_scratch(const backbone *model, int64_t longest, int64_t tokens, int64_t n_threads) {
    int64_t own = scratch_tokens(tokens, n_threads) * token_bytes(model);
    int64_t attention = glossa_attend_scratch(longest, model->head_width);
    return ((own > attention ? own : attention) + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

/* `out` [tokens, heads * head_width] = the layers from `first` to `last`, applied to `states`, or to `out` from the second
 * layer on. `qkv` [tokens, 3 * width], `contexts` [tokens, width] and `scratch` are scratch. `scratch` is aligned to 64 and has
 * `scratch_bytes` (from glossa_layers_scratch) for each thread.
 */
void glossa_layers(const backbone *model, const bf16 *states, bf16 *out, const int32_t *bounds, bf16 *qkv, bf16 *contexts,
                   char *scratch, int64_t first, int64_t last, int64_t tokens, int64_t rows, int64_t scratch_bytes,
                   int64_t n_threads) {
    job between = {.model = model, .next = model->layers + first, .contexts = contexts,
                   .residual = first ? out : states, .out = out, .qkv = qkv,
                   .scratch = scratch, .tokens = tokens, .scratch_bytes = scratch_bytes, .n_threads = n_threads};
    run_between_attentions(between);
    for (int64_t i = first; i < last; i++) {
        glossa_attend(qkv, contexts, bounds, scratch, model->team, rows, model->heads, model->head_width, scratch_bytes,
                      model->causal, n_threads, model->scale);
        between.own = model->layers + i;
        between.next = i + 1 < last ? model->layers + i + 1 : 0;
        between.residual = i ? out : states;
        run_between_attentions(between);
    }
}
