"""The tokenizers folder."""
