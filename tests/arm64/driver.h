/* What the checks of the kernels share: random numbers, and comparisons that count failures.
 *
 * Exact values are computed in double. Nothing here knows a processor.
 */
#ifndef GLOSSA_DRIVER_H
#define GLOSSA_DRIVER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define ROUNDING 0.00390625 /* 2^-8: relative rounding of bfloat16, with one bit to spare */

extern int n_checks, n_failed; /* driver.c */
extern uint64_t random_state;

/* A number between -1 and 1. */
static double drawn(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 4503599627370496.0 - 1.0;
}

static double number_of(bf16 given) {
    union {
        uint32_t bits;
        float number;
    } made = {.bits = (uint32_t)given << 16};
    return made.number;
}

static bf16 bf16_of(double given) { /* to nearest, ties to even */
    union {
        float number;
        uint32_t bits;
    } made = {.number = (float)given};
    return (bf16)((made.bits + 0x7fff + ((made.bits >> 16) & 1)) >> 16);
}

/* Memory of `n_bytes`, aligned to 64 and never freed. */
static void *room(size_t n_bytes) {
    void *made = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    if (!made)
        exit(2);
    return memset(made, 0xa5, (n_bytes + 63) / 64 * 64);
}

static bf16 *some_bf16(int64_t n, double size) {
    bf16 *made = room((size_t)n * sizeof(bf16));
    for (int64_t i = 0; i < n; i++)
        made[i] = bf16_of(size * drawn());
    return made;
}

static float *some_floats(int64_t n, double size) {
    float *made = room((size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        made[i] = (float)(size * drawn());
    return made;
}

static void fail(const char *name, int64_t at, double found, double expected) {
    if (n_failed++ < 20)
        printf("FAILED %s: got %.9g at %lld, expected %.9g\n", name, found, (long long)at, expected);
}

static void check_near(const char *name, int64_t at, double found, double exact, double allowed) {
    n_checks++;
    if (!(fabs(found - exact) <= allowed))
        fail(name, at, found, exact);
}

static void check_same_bits(const char *name, const void *found, const void *expected, size_t n_bytes) {
    n_checks++;
    for (size_t i = 0; i < n_bytes; i++)
        if (((const unsigned char *)found)[i] != ((const unsigned char *)expected)[i]) {
            fail(name, (int64_t)i, ((const unsigned char *)found)[i], ((const unsigned char *)expected)[i]);
            return;
        }
}

/* A weight [n_out, n_in] in panels, as serve/kernels/cpu/products.py packs it: `each` numbers of an output side by side. */
static void *packed(const void *weight, int64_t n_out, int64_t n_in, int64_t each, size_t size) {
    char *made = room((size_t)(n_out * n_in) * size);
    for (int64_t out = 0; out < n_out; out++)
        for (int64_t in = 0; in < n_in; in++) {
            int64_t at = ((out / PANEL * (n_in / each) + in / each) * PANEL + out % PANEL) * each + in % each;
            memcpy(made + (size_t)at * size, (const char *)weight + (size_t)(out * n_in + in) * size, size);
        }
    return made;
}

#endif
