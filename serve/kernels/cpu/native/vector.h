/* Vectors of sixteen numbers for the bfloat16 kernels. A header of its own for each processor family says how they lie in
 * registers, and what a product of pairs is. The kernels are written once, over these names.
 *
 * All of them order the sums of a product by its inputs alone. So a row is summed alike, whatever other rows are in its block.
 */
#ifndef GLOSSA_VECTOR_H
#define GLOSSA_VECTOR_H

#include <stdint.h>

#define VECTOR_WIDTH 16 /* float32 numbers, or pairs of bfloat16, in a vector */
#define PANEL 32 /* columns of a product that are computed at a time */
#define FETCH_STEP 8 /* groups (pairs, or four int8 values) of a row between two prefetches */
#define LINE_BYTES 64
#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bf16;
/* 32 bits that the processor multiplies at once: two neighbouring bfloat16 numbers. In int8 products it is four int8 values,
 * and decoder.c also moves single float32 numbers as such.
 */
typedef uint32_t pair __attribute__((may_alias));

#if defined(__AVX512BF16__)
#include "vector_avx512.h"
#elif defined(__AVX2__)
#include "vector_avx2.h"
#else
#include "vector_neon.h"
#endif

/* Some processors multiply tiles of two rows. Between the two calls, `sums` [n, BLOCK_REGISTERS] are such tiles, and only
 * add_products reads them. It makes no difference where products add to rows.
 */
#ifndef HAS_TILES
INLINE void to_tiles(int n, floats sums[][BLOCK_REGISTERS]) { (void)n, (void)sums; }
INLINE void from_tiles(int n, floats sums[][BLOCK_REGISTERS]) { (void)n, (void)sums; }
#ifdef HAS_INT8
INLINE void counts_to_tiles(int n, ints counts[][BLOCK_REGISTERS]) { (void)n, (void)counts; }
INLINE void counts_from_tiles(int n, ints counts[][BLOCK_REGISTERS]) { (void)n, (void)counts; }
#endif
#endif

INLINE void fetch_near(const char *from) { __builtin_prefetch(from, 0, 3); } /* into the nearest cache */
INLINE void fetch_far(const char *from) { __builtin_prefetch(from, 0, 2); } /* into the cache of the core */

INLINE float one_over_root(float x) { return 1.0f / root_of(x); }

/* 2^x for x <= 0, with a relative error below 3e-6, and exactly 1 at 0. It is 2^whole times a minimax polynomial of the rest,
 * from -1/2 to 1/2. It is 0 for -infinity.
 */
INLINE floats power_of_2(floats x) {
    floats whole = round_to_int(x), rest = subtract(x, whole), series = broadcast(0.00958285f);
    series = times_add(series, rest, broadcast(0.05590643f));
    series = times_add(series, rest, broadcast(0.24024099f));
    series = times_add(series, rest, broadcast(0.69312419f));
    return times_power_of_2(times_add(series, rest, broadcast(1.0f)), whole);
}

#endif
