"""Tests of functions/pipeline."""
