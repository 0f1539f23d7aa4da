"""Tests of benchmarks/chaos."""
