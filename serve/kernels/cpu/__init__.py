"""Kernels for x86-64 with AVX-512 or AVX2 and for arm64, in C (native/) with their Python interfaces.

The public entries are `choice_for`, `linear_for`, `norm_for`, `embed_for`, `decoder_for`, `kernel_attention`,
`fuse_layers`, `int8_linear` and `int8_lacks`. Where its kernel cannot run, each of them falls back to torch or returns
None. But `int8_linear` needs a compiler, and raises CheckpointError without one; `int8_lacks` says what else it needs.
This folder must not know model families, engines, calls or schedulers.
"""
