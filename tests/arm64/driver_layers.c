/* Checks attention against double arithmetic, and whole layers against the single kernels, whose bits they must have. */
#include "driver.h"

/* The structs of fused_layers.c, which Python fills in as well (serve/kernels/cpu/fused_layers.py). */
typedef struct {
    const pair *weight;
    const float *bias, *scales;
    const int32_t *offsets;
} linear;
typedef struct {
    linear qkv, mix, up, down;
    const float *mix_scale, *mix_shift, *down_scale, *down_shift;
} layer;
typedef struct {
    parallel team;
    const layer *layers;
    int64_t heads, head_width, inner, epilogue, causal;
    float scale, eps;
} backbone;
int64_t glossa_layers_scratch(const backbone *model, int64_t longest, int64_t tokens, int64_t n_threads);
void glossa_layers(const backbone *model, const bf16 *states, bf16 *out, const int32_t *bounds, bf16 *qkv, bf16 *contexts,
                   char *scratch, int64_t first, int64_t last, int64_t tokens, int64_t rows, int64_t scratch_bytes,
                   int64_t n_threads);
void check_layers(void);

enum { HEADS = 2, HEAD_WIDTH = 48, WIDTH = HEADS * HEAD_WIDTH, INNER = 96, ROWS = 10, LAYERS = 2 };
static const int32_t BOUNDS[ROWS + 1] = {0, 1, 2, 5, 9, 14, 20, 27, 44, 77, 117};
#define TOKENS 117
#define LONGEST 40
#define SCALE 0.25f

static void attend(const bf16 *qkv, bf16 *contexts, const int32_t *bounds, int64_t rows, int causal) {
    int64_t n_bytes = glossa_attend_scratch(LONGEST, HEAD_WIDTH);
    glossa_attend(qkv, contexts, bounds, room((size_t)n_bytes), 0, rows, HEADS, HEAD_WIDTH, n_bytes, causal, 1, SCALE);
}

static void check_query(const char *name, const bf16 *qkv, const bf16 *contexts, int64_t first, int64_t token, int64_t last) {
    for (int64_t head = 0; head < HEADS; head++) {
        const bf16 *query = qkv + (token * 3 * HEADS + head) * HEAD_WIDTH;
        double scores[LONGEST], most = -1e30, total = 0.0;
        for (int64_t key = first; key < last; key++) {
            const bf16 *own = qkv + ((key * 3 + 1) * HEADS + head) * HEAD_WIDTH;
            scores[key - first] = 0.0;
            for (int64_t k = 0; k < HEAD_WIDTH; k++)
                scores[key - first] += number_of(query[k]) * number_of(own[k]) * SCALE;
            most = fmax(most, scores[key - first]);
        }
        for (int64_t key = first; key < last; key++)
            total += exp(scores[key - first] - most);
        for (int64_t k = 0; k < HEAD_WIDTH; k++) {
            double wanted = 0.0, size = 0.0;
            for (int64_t key = first; key < last; key++) {
                double one = number_of(qkv[((key * 3 + 2) * HEADS + head) * HEAD_WIDTH + k]);
                one *= exp(scores[key - first] - most) / total;
                wanted += one, size += fabs(one);
            }
            /* probabilities and contexts are rounded to bfloat16 */
            check_near(name, token, number_of(contexts[(token * HEADS + head) * HEAD_WIDTH + k]), wanted,
                       ROUNDING * (fabs(wanted) + size) + 1e-5);
        }
    }
}

static void check_attention(int causal) {
    const bf16 *qkv = some_bf16(TOKENS * 3 * WIDTH, 2.0);
    bf16 *contexts = room(sizeof(bf16) * TOKENS * WIDTH), *alone = room(sizeof(bf16) * TOKENS * WIDTH);
    attend(qkv, contexts, BOUNDS, ROWS, causal);
    for (int row = 0; row < ROWS; row++) {
        int64_t first = BOUNDS[row], last = BOUNDS[row + 1];
        const int32_t own[] = {0, (int32_t)(last - first)};
        for (int64_t token = first; token < last; token++)
            check_query(causal ? "causal attention" : "attention", qkv, contexts, first, token, causal ? token + 1 : last);
        attend(qkv + first * 3 * WIDTH, alone, own, 1, causal);
        check_same_bits("attention: a row alone and among batch mates", alone, contexts + first * WIDTH,
                        sizeof(bf16) * (size_t)((last - first) * WIDTH));
    }
}

static linear some_linear(int64_t n_out, int64_t n_in, int int8) {
    if (!int8)
        return (linear){packed(some_bf16(n_out * n_in, 0.2), n_out, n_in, 2, sizeof(bf16)), some_floats(n_out, 1.0), 0, 0};
    int8_t *weight = room((size_t)(n_out * n_in));
    int32_t *offsets = room(sizeof(int32_t) * (size_t)n_out);
    float *scales = some_floats(n_out, 0.0);
    for (int64_t out = 0; out < n_out; out++) {
        offsets[out] = 0, scales[out] = 0.002f;
        for (int64_t in = 0; in < n_in; in++) {
            weight[out * n_in + in] = (int8_t)(127 * drawn());
            offsets[out] -= 128 * weight[out * n_in + in];
        }
    }
    return (linear){packed(weight, n_out, n_in, 4, 1), some_floats(n_out, 1.0), scales, offsets};
}

static void multiply(const linear *own, const bf16 *states, const bf16 *residual, void *out, int64_t n_out, int64_t n_in,
                     int epilogue) {
#ifdef HAS_INT8
    if (own->scales) {
        glossa_multiply_int8(states, own->weight, own->scales, own->offsets, own->bias, residual, out,
                             room((size_t)(TOKENS * (n_in + 4))), 0, TOKENS, n_out, n_in, epilogue, 1);
        return;
    }
#endif
    glossa_multiply(states, own->weight, own->bias, residual, out, 0, TOKENS, n_out, n_in, epilogue, 1);
}

static void check_fused(int int8) {
    layer layers[LAYERS];
    const bf16 *states = some_bf16(TOKENS * WIDTH, 1.0), *begun = states;
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (layer){some_linear(3 * WIDTH, WIDTH, int8), some_linear(WIDTH, WIDTH, int8),
                            some_linear(INNER, WIDTH, int8),     some_linear(WIDTH, INNER, int8),
                            some_floats(WIDTH, 1.0),             some_floats(WIDTH, 1.0),
                            some_floats(WIDTH, 1.0),             some_floats(WIDTH, 1.0)};
    bf16 *qkv = room(sizeof(bf16) * TOKENS * 3 * WIDTH), *contexts = room(sizeof(bf16) * TOKENS * WIDTH);
    bf16 *mixed = room(sizeof(bf16) * TOKENS * WIDTH), *inner = room(sizeof(bf16) * TOKENS * INNER);
    bf16 *single = room(sizeof(bf16) * TOKENS * WIDTH), *fused = room(sizeof(bf16) * TOKENS * WIDTH);
    float *sums = room(sizeof(float) * TOKENS * WIDTH);
    for (int i = 0; i < LAYERS; i++) {
        multiply(&layers[i].qkv, states, 0, qkv, 3 * WIDTH, WIDTH, PLAIN);
        attend(qkv, contexts, BOUNDS, ROWS, 0);
        multiply(&layers[i].mix, contexts, states, sums, WIDTH, WIDTH, ADDED);
        glossa_norm(sums, layers[i].mix_scale, layers[i].mix_shift, mixed, 0, TOKENS, WIDTH, 1, 1e-5f);
        multiply(&layers[i].up, mixed, 0, inner, INNER, WIDTH, GELU);
        multiply(&layers[i].down, inner, mixed, sums, WIDTH, INNER, ADDED);
        glossa_norm(sums, layers[i].down_scale, layers[i].down_shift, single, 0, TOKENS, WIDTH, 1, 1e-5f);
        states = single;
    }
    backbone model = {0, layers, HEADS, HEAD_WIDTH, INNER, GELU, 0, SCALE, 1e-5f};
    int64_t n_bytes = glossa_layers_scratch(&model, LONGEST, TOKENS, 1);
    char *scratch = room((size_t)n_bytes);
    glossa_layers(&model, begun, fused, BOUNDS, qkv, contexts, scratch, 0, LAYERS, TOKENS, ROWS, n_bytes, 1);
    check_same_bits("layers in one call and one by one", fused, single, sizeof(bf16) * TOKENS * WIDTH);
    bf16 *alone = room(sizeof(bf16) * TOKENS * WIDTH);
    for (int row = 0; row < ROWS; row++) {
        int64_t first = BOUNDS[row], length = BOUNDS[row + 1] - first;
        const int32_t own[] = {0, (int32_t)length};
        glossa_layers(&model, begun + first * WIDTH, alone, own, qkv, contexts, scratch, 0, LAYERS, length, 1, n_bytes, 1);
        check_same_bits("layers: a row alone and among batch mates", alone, fused + first * WIDTH,
                        sizeof(bf16) * (size_t)(length * WIDTH));
    }
}

void check_layers(void) {
    check_attention(0);
    check_attention(1);
    check_fused(0);
#ifdef HAS_INT8
    check_fused(1);
#endif
}
