"""Tests of the tokenizers against the reference tokenizers of transformers."""
