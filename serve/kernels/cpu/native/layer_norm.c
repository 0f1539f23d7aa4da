/* LayerNorm of float32 sums, rounded to bfloat16. serve/kernels/cpu/layer_norm.py calls it.
 *
 * Means and deviations are float32, summed in an order that depends on the width only. A row depends on itself only. It needs
 * no library, not even libc.
 */
#include "kernels.h"

#define PART_ROWS 16 /* rows that a thread takes at a time */

typedef struct {
    const float *sums; /* [rows, width] */
    const float *scale, *shift; /* [width] */
    bf16 *out; /* [rows, width] */
    int64_t rows, width;
    float eps;
    int64_t n_begun;
} job;

static void norm_row(const job *args, int64_t row) {
    const float *sums = args->sums + row * args->width;
    bf16 *out = args->out + row * args->width;
    floats sum = broadcast(0.0f), squares = broadcast(0.0f);
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH)
        sum = add(sum, floats_at(sums + k));
    floats mean = broadcast(sum_of(sum) / (float)args->width);
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH) {
        floats rest = subtract(floats_at(sums + k), mean);
        squares = times_add(rest, rest, squares);
    }
    floats factor = broadcast(one_over_root(sum_of(squares) / (float)args->width + args->eps));
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH) {
        floats rest = times(subtract(floats_at(sums + k), mean), factor);
        put_rounded(out + k, times_add(rest, floats_at(args->scale + k), floats_at(args->shift + k)));
    }
}

static void norm_some(void *given) {
    job *args = given;
    int64_t row, last;
    while (next_rows(&args->n_begun, args->rows, PART_ROWS, &row, &last))
        for (; row < last; row++)
            norm_row(args, row);
}

/* `out` = LayerNorm(sums). `width` is a multiple of 16. `team` runs the work on `n_threads` threads, or is null. */
void glossa_norm(const float *sums, const float *scale, const float *shift, bf16 *out, parallel team, int64_t rows,
                 int64_t width, int64_t n_threads, float eps) {
    job args = {sums, scale, shift, out, rows, width, eps, 0};
    together(team, n_threads, norm_some, &args);
}
