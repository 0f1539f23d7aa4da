/* Quantizes bfloat16 states to 8 bits, each row by its own largest magnitude. serve/kernels/cpu/int8_products.py says why.
 *
 * A row depends on itself only. It needs no library, not even libc.
 */
#include "kernels.h"
#include "int8_values.h"

#ifdef HAS_INT8

#define PART_ROWS 16 /* rows that a thread takes at a time */

typedef struct {
    const bf16 *states; /* [rows, width] */
    uint8_t *int8_values; /* [rows, width] */
    float *scales; /* [rows] */
    int64_t rows, width, n_begun;
} job;

static void row_to_int8(const job *args, int64_t row) {
    const bf16 *states = args->states + row * args->width;
    uint8_t *int8_values = args->int8_values + row * args->width;
    ints most = no_magnitude();
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH)
        most = max_magnitude_bits(most, states + k);
    float top = max_magnitude(most), scale = top < SMALLEST ? 1.0f : top / LARGEST_INT8;
    floats inverse = broadcast(1.0f / scale);
    args->scales[row] = scale + (top - top); /* NaN if a state is NaN or infinite, so that the result of the row is NaN too */
    for (int64_t k = 0; k < args->width; k += VECTOR_WIDTH)
        put_uint8(int8_values + k, times_add(floats_of_bf16(states + k), inverse, broadcast(ZERO_POINT)));
}

static void rows_to_int8(void *given) {
    job *args = given;
    int64_t row, last;
    while (next_rows(&args->n_begun, args->rows, PART_ROWS, &row, &last))
        for (; row < last; row++)
            row_to_int8(args, row);
}

/* `int8_values` [rows, width] = 128 + states / scale, rounded to nearest. `scales` [rows] = largest magnitude / 127. `width` is
 * a multiple of 16. `team` runs the work on `n_threads` threads, or is null.
 */
void glossa_to_int8(const bf16 *states, uint8_t *int8_values, float *scales, parallel team, int64_t rows, int64_t width,
                    int64_t n_threads) {
    job args = {states, int8_values, scales, rows, width, 0};
    together(team, n_threads, rows_to_int8, &args);
}

#endif
