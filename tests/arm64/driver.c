/* Checks every kernel against double arithmetic, and that a row has the same bits with any batch mates. It needs libc alone, so that
 * it runs under an emulator of another processor. tests/arm64/emulated.py compiles it together with the kernels.
 */
#include "driver.h"

/* Kernels that kernels.h does not name, because no other kernel calls them. */
void glossa_embed(const int32_t *ids, const int64_t *positions, const int64_t *types, const int32_t *bounds, const bf16 *words,
                  const float *position_table, const float *type_table, const float *scale, const float *shift, float *sums,
                  bf16 *out, parallel team, int64_t rows, int64_t width, int64_t pad_id, int64_t n_threads, float eps);
void glossa_score(const bf16 *words, const float *bias, const pair *states, float *logits, parallel team, int64_t n_words,
                  int64_t width, int64_t n_states, int64_t n_threads);
void glossa_sum_up(const float *logits, float *largest, float *sums, parallel team, int64_t n_words, int64_t n_states,
                   int64_t n_threads);
void check_layers(void); /* driver_layers.c */

int n_checks, n_failed;
uint64_t random_state = 88172645463325252ull;

enum { OUTPUTS = 64, MOST_ROWS = 13 };
static const int64_t ROW_COUNTS[] = {1, 2, 3, 4, 5, 6, 7, 12, MOST_ROWS};
static const char *const EPILOGUES[] = {"product", "product, GELU", "product, ReLU", "product, residual"};

static double after(int epilogue, double sum, double residual) {
    if (epilogue == GELU)
        return sum * 0.5 * (1.0 + erf(sum / sqrt(2.0)));
    if (epilogue == RELU)
        return sum > 0.0 ? sum : 0.0;
    return epilogue == ADDED ? sum + residual : sum;
}

/* Compare products of 1 to MOST_ROWS rows. `exact` [MOST_ROWS, OUTPUTS] are sums, `sizes` what their rounding may cost. */
static void check_products(const char *kind, int epilogue, const double *exact, const double *sizes, const bf16 *residual,
                           void (*multiply)(int epilogue, int64_t rows, int64_t from, void *out)) {
    size_t size = epilogue == ADDED ? sizeof(float) : sizeof(bf16);
    char name[80], *together = room(MOST_ROWS * OUTPUTS * size), *alone = room(MOST_ROWS * OUTPUTS * size);
    snprintf(name, sizeof name, "%s %s", kind, EPILOGUES[epilogue]);
    multiply(epilogue, MOST_ROWS, 0, together);
    for (int64_t i = 0; i < MOST_ROWS * OUTPUTS; i++) {
        double found = epilogue == ADDED ? ((float *)together)[i] : number_of(((bf16 *)together)[i]);
        double wanted = after(epilogue, exact[i], number_of(residual[i]));
        double rounding = epilogue == ADDED ? 0.0 : ROUNDING * fabs(wanted);
        double series = epilogue == GELU ? 2e-6 + fabs(exact[i]) / 8192 : 0.0; /* what GELU's polynomial may cost */
        check_near(name, i, found, wanted, rounding + series + sizes[i]);
    }
    snprintf(name, sizeof name, "%s %s: a row alone and among batch mates", kind, EPILOGUES[epilogue]);
    for (size_t each = 0; each < sizeof ROW_COUNTS / sizeof *ROW_COUNTS; each++)
        for (int64_t from = 0; from + ROW_COUNTS[each] <= MOST_ROWS; from += 2) {
            multiply(epilogue, ROW_COUNTS[each], from, alone);
            check_same_bits(name, alone, together + (size_t)(from * OUTPUTS) * size,
                            (size_t)(ROW_COUNTS[each] * OUTPUTS) * size);
        }
}

static int64_t inputs;
static const bf16 *states, *residual;
static const void *weight;
static const float *bias;

static void multiply_bf16(int epilogue, int64_t rows, int64_t from, void *out) {
    glossa_multiply(states + from * inputs, weight, bias, residual + from * OUTPUTS, out, 0, rows, OUTPUTS, inputs,
                    epilogue, 1);
}

static void check_bf16(void) {
    double *exact = room(sizeof(double) * MOST_ROWS * OUTPUTS), *sizes = room(sizeof(double) * MOST_ROWS * OUTPUTS);
    for (inputs = 16; inputs <= 112; inputs += 96) {
        const bf16 *plain = some_bf16(OUTPUTS * inputs, 0.3);
        states = some_bf16(MOST_ROWS * inputs, 1.0), residual = some_bf16(MOST_ROWS * OUTPUTS, 2.0);
        weight = packed(plain, OUTPUTS, inputs, 2, sizeof(bf16)), bias = some_floats(OUTPUTS, 1.0);
        for (int64_t i = 0; i < MOST_ROWS * OUTPUTS; i++) {
            exact[i] = bias[i % OUTPUTS], sizes[i] = fabs(exact[i]) + 2.0;
            for (int64_t k = 0; k < inputs; k++) {
                double one = number_of(states[i / OUTPUTS * inputs + k]) * number_of(plain[i % OUTPUTS * inputs + k]);
                exact[i] += one, sizes[i] += fabs(one);
            }
            sizes[i] *= 1e-6; /* each addition rounds to 24 bits */
        }
        for (int epilogue = PLAIN; epilogue <= ADDED; epilogue++)
            check_products("bfloat16", epilogue, exact, sizes, residual, multiply_bf16);
    }
}

#ifdef HAS_INT8
static const float *scales;
static const int32_t *offsets;

static void multiply_int8(int epilogue, int64_t rows, int64_t from, void *out) {
    char *scratch = room((size_t)(rows * (inputs + 4)));
    glossa_multiply_int8(states + from * inputs, weight, scales, offsets, bias, residual + from * OUTPUTS, out, scratch, 0,
                         rows, OUTPUTS, inputs, epilogue, 1);
}

static void check_int8(void) {
    double *exact = room(sizeof(double) * MOST_ROWS * OUTPUTS), *sizes = room(sizeof(double) * MOST_ROWS * OUTPUTS);
    for (inputs = 32; inputs <= 128; inputs += 96) {
        int8_t *plain = room((size_t)(OUTPUTS * inputs));
        int32_t *minus = room(OUTPUTS * sizeof(int32_t));
        float *positive = some_floats(OUTPUTS, 0.01), *row_scales = room(MOST_ROWS * sizeof(float));
        uint8_t *whole = room((size_t)(MOST_ROWS * inputs));
        for (int64_t i = 0; i < OUTPUTS * inputs; i++)
            plain[i] = (int8_t)(i % 17 ? (int)(127 * drawn()) : i % 2 ? 127 : -127);
        for (int64_t out = 0; out < OUTPUTS; out++) {
            minus[out] = 0, positive[out] = fabsf(positive[out]);
            for (int64_t k = 0; k < inputs; k++)
                minus[out] -= 128 * plain[out * inputs + k];
        }
        states = some_bf16(MOST_ROWS * inputs, 3.0), residual = some_bf16(MOST_ROWS * OUTPUTS, 2.0);
        weight = packed(plain, OUTPUTS, inputs, 4, 1), bias = some_floats(OUTPUTS, 1.0), scales = positive, offsets = minus;
        glossa_to_int8(states, whole, row_scales, 0, MOST_ROWS, inputs, 1);
        for (int64_t row = 0; row < MOST_ROWS; row++) {
            float top = 0.0f;
            for (int64_t k = 0; k < inputs; k++)
                top = fmaxf(top, (float)fabs(number_of(states[row * inputs + k])));
            check_near("int8, scale", row, row_scales[row], top / 127.0f, 0.0);
            for (int64_t k = 0; k < inputs; k++) {
                float one = fmaf((float)number_of(states[row * inputs + k]), 1.0f / row_scales[row], 128.0f);
                check_near("int8, value", k, whole[row * inputs + k], fmin(255.0, rintf(one)), 0.0);
            }
        }
        for (int64_t i = 0; i < MOST_ROWS * OUTPUTS; i++) {
            int64_t count = minus[i % OUTPUTS];
            for (int64_t k = 0; k < inputs; k++)
                count += (int64_t)whole[i / OUTPUTS * inputs + k] * plain[i % OUTPUTS * inputs + k];
            double product = (double)count * row_scales[i / OUTPUTS] * positive[i % OUTPUTS];
            exact[i] = product + bias[i % OUTPUTS], sizes[i] = 1e-6 * (fabs(product) + 4.0);
        }
        for (int epilogue = PLAIN; epilogue <= ADDED; epilogue++)
            check_products("int8", epilogue, exact, sizes, residual, multiply_int8);
    }
    bf16 *broken = some_bf16(32, 1.0), out[OUTPUTS];
    broken[5] = 0x7fc0, states = broken, inputs = 32;
    multiply_int8(RELU, 1, 0, out);
    for (int64_t i = 0; i < OUTPUTS; i++)
        check_near("int8, a NaN stays", i, isnan(number_of(out[i])) ? 1.0 : 0.0, 1.0, 0.0);
}
#endif

static void check_embeddings(void) {
    enum { WIDTH = 48, ROWS = 4, PAD = 1, WORDS = 30, TOKENS = 23 };
    const int32_t bounds[] = {0, 1, 4, 11, TOKENS};
    int32_t ids[TOKENS];
    int64_t positions[TOKENS], types[TOKENS];
    const bf16 *words = some_bf16(WORDS * WIDTH, 1.0);
    const float *places = some_floats(40 * WIDTH, 1.0), *kinds = some_floats(3 * WIDTH, 1.0);
    const float *scale = some_floats(WIDTH, 1.0), *shift = some_floats(WIDTH, 1.0);
    float *sums = room(sizeof(float) * TOKENS * WIDTH);
    bf16 *out = room(sizeof(bf16) * TOKENS * WIDTH), *alone = room(sizeof(bf16) * TOKENS * WIDTH);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = i * 7 % WORDS, positions[i] = i % 3 ? -1 : i, types[i] = i % 4 - 1;
    glossa_embed(ids, positions, types, bounds, words, places, kinds, scale, shift, sums, out, 0, ROWS, WIDTH, PAD, 1, 1e-5f);
    for (int row = 0; row < ROWS; row++) {
        int64_t counted = PAD;
        const int32_t own[] = {0, bounds[row + 1] - bounds[row]};
        for (int64_t token = bounds[row]; token < bounds[row + 1]; token++) {
            int64_t place = ids[token] == PAD ? PAD : ++counted, kind = types[token] > 0 ? types[token] : -1;
            place = positions[token] < 0 ? place : positions[token];
            double all[WIDTH], mean = 0.0, squares = 0.0;
            for (int k = 0; k < WIDTH; k++) {
                all[k] = number_of(words[ids[token] * WIDTH + k]) + places[place * WIDTH + k];
                all[k] += kind > 0 ? kinds[kind * WIDTH + k] : 0.0, mean += all[k] / WIDTH;
            }
            for (int k = 0; k < WIDTH; k++)
                squares += (all[k] - mean) * (all[k] - mean) / WIDTH;
            for (int k = 0; k < WIDTH; k++) {
                double wanted = (all[k] - mean) / sqrt(squares + 1e-5) * scale[k] + shift[k];
                check_near("embeddings and LayerNorm", token, number_of(out[token * WIDTH + k]), wanted,
                           ROUNDING * fabs(wanted) + 1e-5);
            }
        }
        int64_t first = bounds[row];
        glossa_embed(ids + first, positions + first, types + first, own, words, places, kinds, scale, shift, sums, alone, 0, 1,
                     WIDTH, PAD, 1, 1e-5f);
        check_same_bits("embeddings: a row alone and among batch mates", alone, out + first * WIDTH,
                        sizeof(bf16) * (size_t)(own[1] * WIDTH));
    }
}

static void check_decoder(void) {
    enum { WIDTH = 80, WORDS = 203, STATES = 37, PADDED = 64 };
    const bf16 *words = some_bf16(WORDS * WIDTH, 1.0), *own = some_bf16(PADDED * WIDTH, 1.0);
    const float *offset = some_floats(WORDS, 1.0);
    const pair *panels = packed(own, PADDED, WIDTH, 2, sizeof(bf16));
    float *logits = room(sizeof(float) * STATES * WORDS), *alone = room(sizeof(float) * WORDS), largest[STATES], sums[STATES];
    glossa_score(words, offset, panels, logits, 0, WORDS, WIDTH, STATES, 1);
    glossa_sum_up(logits, largest, sums, 0, WORDS, STATES, 1);
    for (int64_t state = 0; state < STATES; state++) {
        double most = -1e30, total = 0.0;
        for (int64_t word = 0; word < WORDS; word++) {
            double wanted = offset[word], size = fabs(wanted);
            for (int64_t k = 0; k < WIDTH; k++) {
                double one = number_of(own[state * WIDTH + k]) * number_of(words[word * WIDTH + k]);
                wanted += one, size += fabs(one);
            }
            check_near("scores", word, logits[state * WORDS + word], wanted, 1e-6 * (size + 1.0));
            most = fmax(most, logits[state * WORDS + word]);
        }
        for (int64_t word = 0; word < WORDS; word++)
            total += exp(logits[state * WORDS + word] - most);
        check_near("largest score", state, largest[state], most, 0.0);
        check_near("sum of exponentials", state, sums[state], total, 1e-5 * total);
        bf16 *moved = room(sizeof(bf16) * PANEL * WIDTH);
        memset(moved, 0, sizeof(bf16) * PANEL * WIDTH);
        memcpy(moved, own + state * WIDTH, sizeof(bf16) * WIDTH);
        glossa_score(words, offset, packed(moved, PANEL, WIDTH, 2, sizeof(bf16)), alone, 0, WORDS, WIDTH, 1, 1);
        check_same_bits("scores: a state alone and among batch mates", alone, logits + state * WORDS, sizeof(float) * WORDS);
    }
}

int main(void) {
    check_bf16();
#ifdef HAS_INT8
    check_int8();
#endif
    check_embeddings();
    check_decoder();
    check_layers();
#ifdef HAS_INT8
    const char *kinds = "bfloat16 and int8";
#else
    const char *kinds = "bfloat16";
#endif
    printf("%s: %d checks, %d failed\n", kinds, n_checks, n_failed);
    return n_failed ? 1 : 0;
}
