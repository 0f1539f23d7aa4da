/* The steps before and after oneDNN's int8 matrix product of linear layers. serve/kernels/cpu/onednn_int8.py says why.
 *
 * Input and output are bfloat16, sums are float32. Each function gets `rows` rows of contiguous arrays and the threads that
 * share them. A row depends on itself only, never on its batch mates. It needs no library, not even libc, and must not know the
 * product.
 */
#include "int8_values.h"
#include "core_team.h"

typedef uint16_t bf16;
typedef union {
    uint32_t bits;
    float value;
} word;

static inline float float_of_bf16(bf16 number) {
    word made = {.bits = (uint32_t)number << 16};
    return made.value;
}

/* Round to nearest, ties to even. Infinity stays infinity, and a NaN that the processor made stays NaN. */
static inline bf16 rounded(float number) {
    word made = {.value = number};
    return (bf16)((made.bits + 0x7fff + ((made.bits >> 16) & 1)) >> 16);
}

#define EDGE 4.4f /* beyond it, Phi counts as 0 or 1 */

/* x * Phi(x). The error is below 4e-5, or below a millionth of x where that is more. Phi - 1/2 is x times a minimax polynomial
 * of x * x; it is 1/2 at EDGE and beyond.
 */
static inline float gelu(float x) {
    float z = x > EDGE ? EDGE : x < -EDGE ? -EDGE : x, u = z * z;
    float series = 0.3987616f + u * (-0.0660764053f + u * (0.00964301359f
                 + u * (-0.00105498859f + u * (8.42924128e-05f + u * (-4.72481406e-06f
                 + u * (1.74081933e-07f + u * (-3.75397136e-09f + u * 3.56933962e-11f)))))));
    return x * (0.5f + z * series);
}

#define ROWS_EACH 8 /* rows in a part of the work */

typedef struct job job;
struct job {
    void (*run_row)(const job *, int64_t row);
    bf16 *states; /* [rows, width]: input, or the product, which is finished in place unless there is a residual */
    uint8_t *int8_values; /* [rows, width] */
    float *scales; /* [rows] */
    const float *bias; /* [width] */
    const bf16 *residual; /* [rows, width] */
    float *sums; /* [rows, width] */
    int64_t rows, width, n_begun;
};

static void quantize_row(const job *args, int64_t row) {
    const bf16 *restrict states = args->states + row * args->width;
    uint8_t *restrict int8_values = args->int8_values + row * args->width;
    uint16_t largest = 0; /* without the sign, bfloat16 numbers have the order of their bits */
    for (int64_t i = 0; i < args->width; i++) {
        uint16_t size = states[i] & 0x7fff;
        largest = size > largest ? size : largest;
    }
    float top = float_of_bf16(largest), scale = top < SMALLEST ? 1.0f : top / LARGEST_INT8, inverse = 1.0f / scale;
    args->scales[row] = scale;
    for (int64_t i = 0; i < args->width; i++)
        int8_values[i] = (uint8_t)(int32_t)(float_of_bf16(states[i]) * inverse + (ZERO_POINT + 0.5f));
}

static void finish_row(const job *args, int64_t row) {
    bf16 *restrict product = args->states + row * args->width;
    const float *restrict bias = args->bias;
    float scale = args->scales[row];
    for (int64_t i = 0; i < args->width; i++)
        product[i] = rounded(float_of_bf16(product[i]) * scale + bias[i]);
}

static void finish_row_gelu(const job *args, int64_t row) {
    bf16 *restrict product = args->states + row * args->width;
    const float *restrict bias = args->bias;
    float scale = args->scales[row];
    for (int64_t i = 0; i < args->width; i++)
        product[i] = rounded(gelu(float_of_bf16(product[i]) * scale + bias[i]));
}

static void finish_row_added(const job *args, int64_t row) {
    const bf16 *restrict product = args->states + row * args->width;
    float *restrict sums = args->sums + row * args->width;
    const bf16 *restrict residual = args->residual + row * args->width;
    const float *restrict bias = args->bias;
    float scale = args->scales[row];
    for (int64_t i = 0; i < args->width; i++)
        sums[i] = float_of_bf16(product[i]) * scale + bias[i] + float_of_bf16(residual[i]);
}

static void step_some(void *given) {
    job *args = given;
    int64_t row, last;
    while (next_rows(&args->n_begun, args->rows, ROWS_EACH, &row, &last))
        for (; row < last; row++)
            args->run_row(args, row);
}

static void run(job args, parallel team, int64_t n_threads) {
    int64_t n_parts = (args.rows + ROWS_EACH - 1) / ROWS_EACH;
    together(team, n_threads < n_parts ? n_threads : n_parts, step_some, &args);
}

/* `int8_values` [rows, width] = 128 + states / scale, rounded to nearest. `scales` [rows] = largest magnitude / 127. */
void glossa_quantize(bf16 *states, uint8_t *int8_values, float *scales, parallel team, int64_t rows, int64_t width,
                     int64_t n_threads) {
    run((job){.run_row = quantize_row, .states = states, .int8_values = int8_values, .scales = scales, .rows = rows,
              .width = width},
        team, n_threads);
}

/* product = product * scale of its row + bias */
void glossa_finish(bf16 *product, float *scales, const float *bias, parallel team, int64_t rows, int64_t width,
                   int64_t n_threads) {
    run((job){.run_row = finish_row, .states = product, .scales = scales, .bias = bias, .rows = rows, .width = width}, team,
        n_threads);
}

/* product = gelu(product * scale of its row + bias) */
void glossa_finish_gelu(bf16 *product, float *scales, const float *bias, parallel team, int64_t rows, int64_t width,
                        int64_t n_threads) {
    run((job){.run_row = finish_row_gelu, .states = product, .scales = scales, .bias = bias, .rows = rows, .width = width},
        team, n_threads);
}

/* sums = product * scale of its row + bias + residual */
void glossa_finish_added(bf16 *product, float *scales, const float *bias, const bf16 *residual, float *sums,
                         parallel team, int64_t rows, int64_t width, int64_t n_threads) {
    run((job){.run_row = finish_row_added, .states = product, .scales = scales, .bias = bias, .residual = residual,
              .sums = sums, .rows = rows, .width = width}, team, n_threads);
}
