/* How numbers stand in 8 bits, by oneDNN's product and by ours; serve/kernels/cpu/onednn_int8.py has the same for weights. */
#define ZERO_POINT 128.0f
#define LARGEST_INT8 127.0f
#define SMALLEST 1e-30f /* a row of smaller numbers is a row of zeros: 127 over it would overflow */
