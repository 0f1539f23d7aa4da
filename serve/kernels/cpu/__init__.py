"""Kernels for x86-64 processors with AVX-512 or AVX2, in C (native/) with their Python interfaces.

The public entries are `linear_for`, `norm_for`, `embed_for`, `decoder_for`, `kernel_attention`, `fuse_layers` and
`int8_linear`. Each of them falls back to torch, or returns None, where the kernel cannot run. This folder must not know
model families, engines, calls or schedulers.
"""
