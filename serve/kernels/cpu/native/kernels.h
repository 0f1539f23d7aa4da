/* The functions of the bfloat16 kernels, so that fused_layers.c can call those of the other files. */
#ifndef GLOSSA_KERNELS_H
#define GLOSSA_KERNELS_H

#include "core_team.h"
#include "vector.h"

enum { PLAIN, GELU, RELU, ADDED }; /* epilogues, the step after a product; ADDED leaves float32 for the LayerNorm after it */

/* products.c */
void glossa_multiply(const bf16 *states, const pair *weight, const float *bias, const bf16 *residual, void *out,
                     parallel team, int64_t rows, int64_t n_out, int64_t n_in, int64_t epilogue, int64_t n_threads);
#ifdef HAS_INT8
void glossa_multiply_int8(const bf16 *states, const pair *weight, const float *scales, const int32_t *offsets,
                          const float *bias, const bf16 *residual, void *out, char *scratch, parallel team, int64_t rows,
                          int64_t n_out, int64_t n_in, int64_t epilogue, int64_t n_threads);
/* int8_products.c */
void glossa_to_int8(const bf16 *states, uint8_t *int8_values, float *scales, parallel team, int64_t rows, int64_t width,
                    int64_t n_threads);
#endif
/* attention.c */
int64_t glossa_attend_scratch(int64_t longest, int64_t width);
void glossa_attend(const bf16 *qkv, bf16 *contexts, const int32_t *bounds, char *scratch, parallel team, int64_t rows,
                   int64_t heads, int64_t width, int64_t scratch_bytes, int64_t causal, int64_t n_threads, float scale);
/* layer_norm.c */
void glossa_norm(const float *sums, const float *scale, const float *shift, bf16 *out, parallel team, int64_t rows,
                 int64_t width, int64_t n_threads, float eps);

#endif
