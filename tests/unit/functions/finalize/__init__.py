"""Tests of finalize."""
