"""Kernels of our own in C, one folder per processor family, with the compiler and the thread team that they need.

The public entries are the functions `…_for` of a processor's folder: each returns the maker of the fastest layer for a
device and dtype. This folder must not know model families, engines, calls or schedulers.
"""
