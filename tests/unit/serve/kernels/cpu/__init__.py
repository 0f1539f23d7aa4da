"""Tests of serve/kernels/cpu."""
