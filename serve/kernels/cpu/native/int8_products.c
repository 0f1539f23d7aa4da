/* bfloat16 states in 8 bits, each row by its own largest magnitude; serve/kernels/cpu/int8_products.py says what for.
 *
 * A row sees only itself. Needs no library, not even libc.
 */
#include "kernels.h"
#include "int8_values.h"

#ifdef HAS_BYTES

#define PART_ROWS 16 /* that a thread takes at a time */

typedef struct {
    const bf16 *states; /* [rows, width] */
    uint8_t *levels; /* [rows, width] */
    float *scales; /* [rows] */
    int64_t rows, width, n_begun;
} job;

static void level_row(const job *all, int64_t row) {
    const bf16 *states = all->states + row * all->width;
    uint8_t *levels = all->levels + row * all->width;
    wholes most = (wholes)all_of(0.0f);
    for (int64_t k = 0; k < all->width; k += VECTOR_WIDTH)
        most = greatest_bits(most, states + k);
    float top = greatest_of(most), scale = top < SMALLEST ? 1.0f : top / LEVELS;
    floats inverse = all_of(1.0f / scale);
    all->scales[row] = scale + (top - top); /* no number where a state is none or infinite: nor is what the row becomes */
    for (int64_t k = 0; k < all->width; k += VECTOR_WIDTH)
        put_levels(levels + k, times_add(widened(states + k), inverse, all_of(ZERO_POINT)));
}

static void level_some(void *given) {
    job *all = given;
    int64_t row, last;
    while (next_rows(&all->n_begun, all->rows, PART_ROWS, &row, &last))
        for (; row < last; row++)
            level_row(all, row);
}

/* `levels` [rows, width] = 128 + states / scale, to the nearest; `scales` [rows] = largest magnitude / 127. `width`: a multiple
 * of 16. `team` runs the work on `n_threads`, or is null. */
void glossa_levels(const bf16 *states, uint8_t *levels, float *scales, parallel team, int64_t rows, int64_t width,
                   int64_t n_threads) {
    job all = {states, levels, scales, rows, width, 0};
    together(team, n_threads, level_some, &all);
}

#endif
