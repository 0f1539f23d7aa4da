/* The steps around an 8-bit matrix product of Linears, row by row; serve/int8.py says what they are for.
 *
 * bfloat16 in and out, sums in float32. Each function is told of `rows` rows of contiguous arrays. Rows share nothing, so
 * that a token's numbers never depend on its company. Needs no library, not even libc. Must not know the product.
 */
#include <stdint.h>

typedef uint16_t bf16;
typedef union {
    uint32_t bits;
    float value;
} word;

#define ZERO_POINT 128.0f
#define LEVELS 127.0f
#define SMALLEST 1e-30f /* a row of smaller numbers is a row of zeros: 127 over it would overflow */

static inline float widened(bf16 number) {
    word made = {.bits = (uint32_t)number << 16};
    return made.value;
}

/* To the nearest, ties to even; an infinity stays one and NaN of the processor's own making stays NaN. */
static inline bf16 rounded(float number) {
    word made = {.value = number};
    return (bf16)((made.bits + 0x7fff + ((made.bits >> 16) & 1)) >> 16);
}

#define EDGE 4.4f

/* x * Phi(x), off by less than 4e-5, or a millionth of x where that is more. Phi - 1/2 is x times a polynomial of x * x,
 * fitted to an even error, that is 1/2 at EDGE and stays so beyond. */
static inline float gelu(float x) {
    float z = x > EDGE ? EDGE : x < -EDGE ? -EDGE : x, u = z * z;
    float series = 0.3987616f + u * (-0.0660764053f + u * (0.00964301359f
                 + u * (-0.00105498859f + u * (8.42924128e-05f + u * (-4.72481406e-06f
                 + u * (1.74081933e-07f + u * (-3.75397136e-09f + u * 3.56933962e-11f)))))));
    return x * (0.5f + z * series);
}

/* `levels` [rows, width] = 128 + states / scale, to the nearest; `scales` [rows] = largest magnitude / 127. */
void glossa_quantize(const bf16 *restrict states, uint8_t *restrict levels, float *restrict scales,
                     int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, states += width, levels += width) {
        uint16_t largest = 0; /* without their signs, bfloat16 numbers stand in the order of their bits */
        for (int64_t i = 0; i < width; i++) {
            uint16_t size = states[i] & 0x7fff;
            largest = size > largest ? size : largest;
        }
        float top = widened(largest), scale = top < SMALLEST ? 1.0f : top / LEVELS, inverse = 1.0f / scale;
        scales[row] = scale;
        for (int64_t i = 0; i < width; i++)
            levels[i] = (uint8_t)(int32_t)(widened(states[i]) * inverse + (ZERO_POINT + 0.5f));
    }
}

/* product = product * scale of its row + bias. */
void glossa_finish(bf16 *restrict product, const float *restrict scales, const float *restrict bias,
                   int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, product += width) {
        float scale = scales[row];
        for (int64_t i = 0; i < width; i++)
            product[i] = rounded(widened(product[i]) * scale + bias[i]);
    }
}

/* product = gelu(product * scale of its row + bias). */
void glossa_finish_gelu(bf16 *restrict product, const float *restrict scales, const float *restrict bias,
                        int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, product += width) {
        float scale = scales[row];
        for (int64_t i = 0; i < width; i++)
            product[i] = rounded(gelu(widened(product[i]) * scale + bias[i]));
    }
}

/* product = product * scale of its row + bias + residual. */
void glossa_finish_added(bf16 *restrict product, const float *restrict scales, const float *restrict bias,
                         const bf16 *restrict residual, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, product += width, residual += width) {
        float scale = scales[row];
        for (int64_t i = 0; i < width; i++)
            product[i] = rounded(widened(product[i]) * scale + bias[i] + widened(residual[i]));
    }
}
