"""Tests of serve.scheduling."""
