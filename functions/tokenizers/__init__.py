"""Turns text into token ids with offsets, as the reference tokenizers do, and token ids back into text.

The public entry is `load`. It returns tokenizers that follow `tokenizer.Tokenizer`. This folder must not know windows,
tasks or AWS.
"""
