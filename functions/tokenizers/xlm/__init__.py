"""The tokenizer of XLM: added tokens, then Moses or the segmenter of a language, then byte pair encoding.

The public entry is `tokenizer.XlmTokenizer`. This folder must not know models, windows or tasks.
"""
