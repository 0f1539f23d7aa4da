"""Tests of glossa/checkpoint_conversion."""
