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

static void row_to_int8(const job *all, int64_t row) {
    const bf16 *states = all->states + row * all->width;
    uint8_t *int8_values = all->int8_values + row * all->width;
    ints most = (ints)all_of(0.0f);
    for (int64_t k = 0; k < all->width; k += VECTOR_WIDTH)
        most = greatest_bits(most, states + k);
    float top = greatest_of(most), scale = top < SMALLEST ? 1.0f : top / LARGEST_INT8;
    floats inverse = all_of(1.0f / scale);
    all->scales[row] = scale + (top - top); /* NaN if a state is NaN or infinite, so that the result of the row is NaN too */
    for (int64_t k = 0; k < all->width; k += VECTOR_WIDTH)
        put_uint8(int8_values + k, times_add(floats_of_bf16(states + k), inverse, all_of(ZERO_POINT)));
}

static void rows_to_int8(void *given) {
    job *all = given;
    int64_t row, last;
    while (next_rows(&all->n_begun, all->rows, PART_ROWS, &row, &last))
        for (; row < last; row++)
            row_to_int8(all, row);
}

/* `int8_values` [rows, width] = 128 + states / scale, rounded to nearest. `scales` [rows] = largest magnitude / 127. `width` is
 * a multiple of 16. `team` runs the work on `n_threads` threads, or is null.
 */
void glossa_to_int8(const bf16 *states, uint8_t *int8_values, float *scales, parallel team, int64_t rows, int64_t width,
                    int64_t n_threads) {
    job all = {states, int8_values, scales, rows, width, 0};
    together(team, n_threads, rows_to_int8, &all);
}

#endif
