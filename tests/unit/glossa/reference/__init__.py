"""Tests of the answers of transformers that ours are compared with."""
