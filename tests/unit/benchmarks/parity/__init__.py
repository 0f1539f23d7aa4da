"""Tests of the parity table."""
