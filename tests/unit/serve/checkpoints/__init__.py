"""Tests of serve/checkpoints."""
