"""Tests of serve/kernels."""
