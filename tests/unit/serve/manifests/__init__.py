"""Tests of the manifest of the Ray cluster."""
