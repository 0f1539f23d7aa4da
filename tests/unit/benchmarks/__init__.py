"""Benchmarks: what they count."""
