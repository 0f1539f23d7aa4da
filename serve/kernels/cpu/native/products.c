/* The products of linear layers with the epilogue (the step after them), in bfloat16 or int8. serve/kernels/cpu/products.py and
 * serve/kernels/cpu/int8_products.py call it and say why.
 *
 * Weights are packed in panels of 32 outputs, as the processor multiplies them. A block of rows of states is multiplied with a
 * panel while its sums stay in registers. Meanwhile the next panel is prefetched into the cache of the core: with few rows, a
 * product mostly waits for weights from memory. Sums are float32. They are rounded once, after bias and epilogue, and not at
 * all if a LayerNorm follows. Each row is summed in one order, whatever other rows there are. It needs no library, not even libc.
 */
#include "kernels.h"

/* Bytes of the states in a chunk. All weights are multiplied with one chunk before the next, so it stays in a core's cache. */
#define CHUNK_BYTES (1 << 20)
#define CHUNK_ROWS 48 /* fewest rows in a chunk, when chunks are made only to give every thread work */
#define PARTS 4 /* fewest parts of the work for each thread: at the end, others wait for at most a quarter of a thread's work */

typedef struct {
    const pair *states; /* [rows, n_groups], of two bfloat16 numbers or four int8 values */
    const pair *weight; /* [n_panels, n_groups, PANEL], the same groups */
    const float *row_scales, *scales; /* in int8: [rows] and [n_panels * PANEL]; null in bfloat16 */
    const int32_t *offsets; /* [n_panels * PANEL], in int8: minus what the zero point adds to the sums */
    const float *bias; /* [n_panels * PANEL] */
    const bf16 *residual; /* [rows, n_panels * PANEL] where the epilogue is ADDED */
    void *out; /* [rows, n_panels * PANEL], float if the epilogue is ADDED, else bf16 */
    int64_t rows, n_panels, n_groups, epilogue, n_chunks, n_threads, n_begun;
} job;

typedef struct {
    const char *next, *until;
    int64_t each; /* lines at a time */
} fetching;

INLINE void fetch(fetching *lines) {
    for (int64_t line = 0; line < lines->each && lines->next < lines->until; line++, lines->next += LINE_BYTES)
        fetch_far(lines->next);
}

/* x * Phi(x). The error is below 1e-6 + 2^-13 of the value. The result is near 0 for -infinity, where the formula gives NaN.
 * Between -5.25 and 5.25, Phi is 1/2 + x times a minimax polynomial of x^2 - 13.78125. Beyond, Phi has its value at the end of
 * the range.
 */
INLINE floats gelu(floats x) {
    static const float series[] = {
        1.3067688474910649e-17f, -6.670011765130823e-16f, 1.4786791379555776e-14f, -2.6234805885864965e-13f,
        5.932524436980113e-12f,  -1.3683930377705877e-10f, 2.7406190650225426e-09f, -5.03870332124734e-08f,
        8.871446084413037e-07f,  -1.51909716805676e-05f,  0.00026140696718357503f, -0.004870887845754623f,
        0.13465933501720428f,
    };
    /* if x is NaN, `max_of` returns it, so it stays in `left` */
    floats left = max_of(broadcast(-5.25f), x), inner = min_of(left, broadcast(5.25f));
    floats centred = times_add(inner, inner, broadcast(-13.78125f)), sum = broadcast(series[0]);
#pragma GCC unroll 12
    for (int i = 1; i < 13; i++)
        sum = times_add(sum, centred, broadcast(series[i]));
    return times(left, times_add(inner, sum, broadcast(0.5f)));
}

INLINE void finish(floats sums, const job *args, int64_t at) {
    if (args->epilogue == ADDED) {
        put_floats((float *)args->out + at, add(sums, floats_of_bf16(args->residual + at)));
        return;
    }
    if (args->epilogue == GELU)
        sums = gelu(sums);
    else if (args->epilogue == RELU)
        sums = max_of(broadcast(0.0f), sums); /* NaN stays, because `max_of` then returns its second operand */
    put_rounded((bf16 *)args->out + at, sums);
}

/* `sums` [n, BLOCK_REGISTERS] of `n` rows of states and some columns of a panel, from output `first` on, in bfloat16. */
INLINE void sum_bf16(int n, const job *args, const pair *states, const pair *weight, int64_t first, fetching *lines,
                     floats sums[][BLOCK_REGISTERS]) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c < BLOCK_REGISTERS; c++)
            sums[i][c] = floats_at(args->bias + first + c * VECTOR_WIDTH);
    to_tiles(n, sums);
    for (int64_t k = 0; k < args->n_groups; k += FETCH_STEP) {
        fetch(lines);
        add_products(n, states + k, args->n_groups, weight + k * PANEL, FETCH_STEP, sums);
    }
    from_tiles(n, sums);
}

#ifdef HAS_INT8
/* The same in int8: sums stay integers until they are multiplied with the scale of the row and the scale of the output. */
INLINE void sum_int8(int n, const job *args, const pair *states, const pair *weight, int64_t first, int64_t row,
                     fetching *lines, floats sums[][BLOCK_REGISTERS]) {
    ints counts[BLOCK_ROWS][BLOCK_REGISTERS];
    for (int i = 0; i < n; i++)
        for (int c = 0; c < BLOCK_REGISTERS; c++)
            counts[i][c] = ints_at(args->offsets + first + c * VECTOR_WIDTH);
    counts_to_tiles(n, counts);
    for (int64_t k = 0; k < args->n_groups; k += FETCH_STEP) {
        fetch(lines);
        add_int8_products(n, states + k, args->n_groups, weight + k * PANEL, FETCH_STEP, counts);
    }
    counts_from_tiles(n, counts);
#pragma GCC unroll 12
    for (int i = 0; i < n; i++)
        for (int c = 0; c < BLOCK_REGISTERS; c++) {
            floats scale = times(broadcast(args->row_scales[row + i]), floats_at(args->scales + first + c * VECTOR_WIDTH));
            sums[i][c] = times_add(floats_of(counts[i][c]), scale, floats_at(args->bias + first + c * VECTOR_WIDTH));
        }
}
#endif

/* Multiply `n` rows of states with a panel. Meanwhile the cache lines from `ahead` to `until` are prefetched. */
INLINE void block(int n, const job *args, int64_t row, int64_t panel, const char *ahead, const char *until) {
    int64_t width = args->n_panels * PANEL;
    fetching lines = {ahead, until, ((until - ahead) / LINE_BYTES * FETCH_STEP + args->n_groups - 1) / args->n_groups};
    const pair *states = args->states + row * args->n_groups;
    for (int64_t across = 0; across < PANEL; across += BLOCK_REGISTERS * VECTOR_WIDTH) {
        const pair *weight = args->weight + panel * args->n_groups * PANEL + across;
        int64_t first = panel * PANEL + across;
        floats sums[BLOCK_ROWS][BLOCK_REGISTERS];
#ifdef HAS_INT8
        if (args->scales)
            sum_int8(n, args, states, weight, first, row, &lines, sums);
        else
#endif
            sum_bf16(n, args, states, weight, first, &lines, sums);
#pragma GCC unroll 12
        for (int i = 0; i < n; i++)
            for (int c = 0; c < BLOCK_REGISTERS; c++)
                finish(sums[i][c], args, (row + i) * width + first + c * VECTOR_WIDTH);
    }
}

static void any_block(int64_t n, const job *args, int64_t row, int64_t panel, const char *ahead, const char *until) {
    switch (n) {
#define CASE(N) case N: block(N, args, row, panel, ahead, until); break;
        EACH_ROW_COUNT(CASE)
    }
}

/* Multiply the rows from `first` to `last` with a panel, in blocks of nearly equal size. */
static void chunk(const job *args, int64_t first, int64_t last, int64_t panel) {
    /* the panel that this thread will probably take next */
    int64_t n_blocks = (last - first + BLOCK_ROWS - 1) / BLOCK_ROWS, next = panel + args->n_threads;
    int64_t n_lines = next < args->n_panels ? args->n_groups * PANEL * (int64_t)sizeof(pair) / LINE_BYTES : 0;
    const char *ahead = (const char *)(args->weight + (n_lines ? next : 0) * args->n_groups * PANEL);
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t begin = first + (last - first) * i / n_blocks, end = first + (last - first) * (i + 1) / n_blocks;
        any_block(end - begin, args, begin, panel, ahead + n_lines * i / n_blocks * LINE_BYTES,
                  ahead + n_lines * (i + 1) / n_blocks * LINE_BYTES);
    }
}

static void multiply_some(void *given) {
    job *args = given;
    int64_t n_parts = args->n_chunks * args->n_panels, part;
    while ((part = next_of(&args->n_begun)) < n_parts) {
        int64_t at = part / args->n_panels;
        chunk(args, args->rows * at / args->n_chunks, args->rows * (at + 1) / args->n_chunks, part % args->n_panels);
    }
}

static void multiply(job args, parallel team) {
    int64_t n_chunks = (args.rows * args.n_groups * (int64_t)sizeof(pair) + CHUNK_BYTES - 1) / CHUNK_BYTES;
    int64_t n_wanted = (PARTS * args.n_threads + args.n_panels - 1) / args.n_panels, n_most = args.rows / CHUNK_ROWS;
    n_wanted = n_wanted < n_most ? n_wanted : n_most;
    args.n_chunks = n_chunks > args.rows ? args.rows : n_chunks > n_wanted ? n_chunks : n_wanted;
    together(team, args.n_threads, multiply_some, &args);
}

/* `out` = epilogue(states * weight + bias), in float32 if the epilogue is ADDED. Outputs are a multiple of 32, inputs of 16.
 * `weight` is aligned to 64 bytes. `team` runs the work on `n_threads` threads, or is null.
 */
void glossa_multiply(const bf16 *states, const pair *weight, const float *bias, const bf16 *residual, void *out,
                     parallel team, int64_t rows, int64_t n_out, int64_t n_in, int64_t epilogue, int64_t n_threads) {
    multiply((job){.states = (const pair *)states, .weight = weight, .bias = bias, .residual = residual, .out = out,
                   .rows = rows, .n_panels = n_out / PANEL, .n_groups = n_in / 2, .epilogue = epilogue, .n_threads = n_threads},
             team);
}

#ifdef HAS_INT8
/* The same in int8. States are quantized with one scale per row (int8_products.c), the weight with one scale per output. Inputs
 * are a multiple of 32. `scratch` [rows, n_in + 4] bytes, aligned to 4, holds the int8 values and their scales.
 */
void glossa_multiply_int8(const bf16 *states, const pair *weight, const float *scales, const int32_t *offsets,
                          const float *bias, const bf16 *residual, void *out, char *scratch, parallel team, int64_t rows,
                          int64_t n_out, int64_t n_in, int64_t epilogue, int64_t n_threads) {
    float *row_scales = (float *)(scratch + rows * n_in);
    glossa_to_int8(states, (uint8_t *)scratch, row_scales, team, rows, n_in, n_threads);
    multiply((job){.states = (const pair *)scratch, .weight = weight, .row_scales = row_scales, .scales = scales,
                   .offsets = offsets, .bias = bias, .residual = residual, .out = out, .rows = rows,
                   .n_panels = n_out / PANEL, .n_groups = n_in / 4, .epilogue = epilogue, .n_threads = n_threads},
             team);
}
#endif
