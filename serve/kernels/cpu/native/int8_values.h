/* How numbers are stored in 8 bits, for oneDNN's product and for ours. serve/kernels/cpu/onednn_int8.py does the same for
 * weights.
 */
#define ZERO_POINT 128.0f
#define LARGEST_INT8 127.0f
#define SMALLEST 1e-30f /* a row of smaller numbers counts as zeros, because 127 divided by its largest would overflow */
