/* Products by tiles of two rows and two columns, for arm64 with BF16 and I8MM (Graviton3 and 4). Include vector.h instead.
 *
 * BFMMLA multiplies two rows of four bfloat16 numbers with two columns of four, USMMLA two rows of eight int8 values with two
 * columns of eight. A panel has two numbers (or four values) of each column side by side. Two such lines are zipped to what the
 * instruction reads. An element of a tile is summed from its own row and column, so the other row does not change its bits.
 */
#ifndef GLOSSA_VECTOR_NEON_TILES_H
#define GLOSSA_VECTOR_NEON_TILES_H

#define HAS_INT8

INLINE void put_rounded(bf16 *to, floats x) {
    vst1q_u16(to, vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(x.a), x.b)));
    vst1q_u16(to + 8, vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(x.c), x.d)));
}

/* Of rows i and i + 1, sums[i] becomes the four tiles of columns 0 to 7, and sums[i + 1] those of columns 8 to 15. A tile holds
 * two numbers of row i, then two of row i + 1. The last row of an odd number stands in both places.
 */
#define LOW_HALVES(X, Y) vreinterpretq_f32_u32(low_halves(vreinterpretq_u32_f32(X), vreinterpretq_u32_f32(Y)))
#define HIGH_HALVES(X, Y) vreinterpretq_f32_u32(high_halves(vreinterpretq_u32_f32(X), vreinterpretq_u32_f32(Y)))
INLINE void to_tiles(int n, floats sums[][BLOCK_REGISTERS]) {
#pragma GCC unroll 3
    for (int i = 0; i < n; i += 2) {
        floats x = sums[i][0], y = i + 1 < n ? sums[i + 1][0] : x;
        sums[i][0] = (floats){LOW_HALVES(x.a, y.a), HIGH_HALVES(x.a, y.a), LOW_HALVES(x.b, y.b), HIGH_HALVES(x.b, y.b)};
        sums[i + 1][0] = (floats){LOW_HALVES(x.c, y.c), HIGH_HALVES(x.c, y.c), LOW_HALVES(x.d, y.d), HIGH_HALVES(x.d, y.d)};
    }
}
INLINE void from_tiles(int n, floats sums[][BLOCK_REGISTERS]) {
#pragma GCC unroll 3
    for (int i = 0; i < n; i += 2) {
        floats x = sums[i][0], y = sums[i + 1][0];
        sums[i][0] = (floats){LOW_HALVES(x.a, x.b), LOW_HALVES(x.c, x.d), LOW_HALVES(y.a, y.b), LOW_HALVES(y.c, y.d)};
        sums[i + 1][0] = (floats){HIGH_HALVES(x.a, x.b), HIGH_HALVES(x.c, x.d), HIGH_HALVES(y.a, y.b), HIGH_HALVES(y.c, y.d)};
    }
}

/* Two lines of a panel, from column 4 `part` on: `first` becomes columns 0 and 1 of the four, `second` columns 2 and 3. After
 * the last line come zeros.
 */
INLINE void zip_lines(const pair *lines, int part, int has_second, uint32x4_t *first, uint32x4_t *second) {
    uint32x4_t here = vld1q_u32(lines + 4 * part), after = has_second ? vld1q_u32(lines + PANEL + 4 * part) : vdupq_n_u32(0);
    *first = vzip1q_u32(here, after);
    *second = vzip2q_u32(here, after);
}
/* Two groups of each of two rows, side by side. */
INLINE uint32x4_t two_rows(const pair *row, const pair *next) { return vcombine_u32(vld1_u32(row), vld1_u32(next)); }

/* `SUMS` are tiles of the pairs of rows that `both` [n / 2, rounded up] holds. Both macros stand in a loop over lines k. */
#define ADD_PART(SUMS, AT, P, Q, PART, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS) \
    do { \
        uint32x4_t first, second; \
        zip_lines(columns + k * PANEL, PART, HAS_SECOND, &first, &second); \
        _Pragma("GCC unroll 3") for (int i = 0; i < n; i += 2) { \
            SUMS[i + AT][0].P = MULTIPLY(SUMS[i + AT][0].P, OF_ROWS(both[i / 2]), OF_COLUMNS(first)); \
            SUMS[i + AT][0].Q = MULTIPLY(SUMS[i + AT][0].Q, OF_ROWS(both[i / 2]), OF_COLUMNS(second)); \
        } \
    } while (0)
#define ADD_LINES(SUMS, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS) \
    do { \
        uint32x4_t both[BLOCK_ROWS / 2]; \
        _Pragma("GCC unroll 3") for (int i = 0; i < n; i += 2) \
            both[i / 2] = two_rows(rows + i * stride + k, rows + (i + 1 < n ? i + 1 : i) * stride + k); \
        ADD_PART(SUMS, 0, a, b, 0, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS); \
        ADD_PART(SUMS, 0, c, d, 1, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS); \
        ADD_PART(SUMS, 1, a, b, 2, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS); \
        ADD_PART(SUMS, 1, c, d, 3, HAS_SECOND, MULTIPLY, OF_ROWS, OF_COLUMNS); \
    } while (0)

/* `sums` (tiles) += rows of pairs [n, n_pairs] times columns of pairs [n_pairs, PANEL]. Rows are `stride` apart. If an odd
 * number is asked for, a pair more of a row is read, which must be finite.
 */
INLINE void add_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_pairs,
                         floats sums[][BLOCK_REGISTERS]) {
    for (int64_t k = 0; k < n_pairs; k += 2)
        ADD_LINES(sums, k + 1 < n_pairs, vbfmmlaq_f32, vreinterpretq_bf16_u32, vreinterpretq_bf16_u32);
}

typedef struct {
    int32x4_t a, b, c, d;
} ints; /* integers */

INLINE ints ints_at(const int32_t *from) {
    return (ints){vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8), vld1q_s32(from + 12)};
}
INLINE floats floats_of(ints x) {
    return (floats){vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
INLINE floats as_floats(ints x) {
    return (floats){vreinterpretq_f32_s32(x.a), vreinterpretq_f32_s32(x.b), vreinterpretq_f32_s32(x.c),
                    vreinterpretq_f32_s32(x.d)};
}
INLINE ints as_ints(floats x) {
    return (ints){vreinterpretq_s32_f32(x.a), vreinterpretq_s32_f32(x.b), vreinterpretq_s32_f32(x.c),
                  vreinterpretq_s32_f32(x.d)};
}
/* The same bits move as in sums. */
INLINE void counts_to_tiles(int n, ints counts[][BLOCK_REGISTERS]) {
    floats moved[BLOCK_ROWS][BLOCK_REGISTERS];
#pragma GCC unroll 6
    for (int i = 0; i < n; i++)
        moved[i][0] = as_floats(counts[i][0]);
    to_tiles(n, moved);
#pragma GCC unroll 6
    for (int i = 0; i < n + n % 2; i++)
        counts[i][0] = as_ints(moved[i][0]);
}
INLINE void counts_from_tiles(int n, ints counts[][BLOCK_REGISTERS]) {
    floats moved[BLOCK_ROWS][BLOCK_REGISTERS];
#pragma GCC unroll 6
    for (int i = 0; i < n + n % 2; i++)
        moved[i][0] = as_floats(counts[i][0]);
    from_tiles(n, moved);
#pragma GCC unroll 6
    for (int i = 0; i < n; i++)
        counts[i][0] = as_ints(moved[i][0]);
}
/* `counts` (tiles) += rows of four unsigned int8 values [n, n_groups] times columns of four signed ones. Rows are `stride`
 * apart, and `n_groups` is even.
 */
INLINE void add_int8_products(int n, const pair *rows, int64_t stride, const pair *columns, int64_t n_groups,
                              ints counts[][BLOCK_REGISTERS]) {
    for (int64_t k = 0; k < n_groups; k += 2)
        ADD_LINES(counts, 1, vusmmlaq_s32, vreinterpretq_u8_u32, vreinterpretq_s8_u32);
}
INLINE ints no_magnitude(void) { return (ints){vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}; }
/* Element by element: the larger of `most` and the magnitude of the numbers at `from`, as bits without the sign. The bits of a
 * NaN are larger than those of any number.
 */
INLINE ints max_magnitude_bits(ints most, const bf16 *from) {
    ints bits = as_ints(floats_of_bf16(from));
    int32x4_t kept = vdupq_n_s32(0x7fffffff);
    return (ints){vmaxq_s32(most.a, vandq_s32(bits.a, kept)), vmaxq_s32(most.b, vandq_s32(bits.b, kept)),
                  vmaxq_s32(most.c, vandq_s32(bits.c, kept)), vmaxq_s32(most.d, vandq_s32(bits.d, kept))};
}
INLINE float max_magnitude(ints most) {
    union {
        int32_t bits;
        float number;
    } found = {.bits = vmaxvq_s32(vmaxq_s32(vmaxq_s32(most.a, most.b), vmaxq_s32(most.c, most.d)))};
    return found.number;
}
/* Round to the nearest integer from 0 to 255. */
INLINE void put_uint8(uint8_t *to, floats x) {
#define NEON_PART(P) vqmovn_u32(vcvtnq_u32_f32(x.P))
    uint16x8_t low = vcombine_u16(NEON_PART(a), NEON_PART(b)), high = vcombine_u16(NEON_PART(c), NEON_PART(d));
    vst1q_u8(to, vcombine_u8(vqmovn_u16(low), vqmovn_u16(high)));
#undef NEON_PART
}
#endif
