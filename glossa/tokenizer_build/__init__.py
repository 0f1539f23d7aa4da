"""Builds the tokenizers of checkpoints for the functions, before they are deployed.

`checkpoints.artifact_of` makes the artifact of a checkpoint. `prebuilt.prebuild` makes from it the file that functions
map into memory, and `kernel.compile_kernels` compiles the C code that reads that file. Must not know the command line.
"""
