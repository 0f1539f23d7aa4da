"""Tests of serve/engine."""
