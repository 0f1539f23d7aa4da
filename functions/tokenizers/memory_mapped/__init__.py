"""Unigram tokenization over a prebuilt file, which is mapped into memory and not parsed.

The public entry is `tokenizer.MemoryMappedTokenizer`. `glossa artifacts` makes the prebuilt files. This folder must not
know windows, tasks or AWS.
"""
