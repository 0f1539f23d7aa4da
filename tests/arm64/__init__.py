"""Checks of the arm64 kernels that need no arm64 processor: a program in C under an emulator."""
