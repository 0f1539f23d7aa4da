"""Kernels of our own in C, one folder per processor family, with the compiler and the thread team that they need.

The public entries are those that serve/kernels/cpu/__init__.py lists, and `on_cores`, `take_cores`, `use_one_core` and
`one_core_each` in core_team.py. This folder must not know model families, engines, calls or schedulers.
"""
