"""Unigram tokenizing over a prebuilt file that is mapped into memory, never parsed."""
