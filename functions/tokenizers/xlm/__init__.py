"""The tokenizer of XLM: added tokens, Moses or a segmenter of the language, byte pair encoding."""
