"""The tokenizer build folder."""
