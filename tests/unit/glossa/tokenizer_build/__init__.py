"""Tests of the build of tokenizers."""
