"""The benchmarks folder."""
