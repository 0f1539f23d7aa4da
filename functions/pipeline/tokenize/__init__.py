"""Text to windows of token ids with offsets."""

from functions.pipeline.tokenize.desk import tokenize, tokenize_each
from functions.pipeline.tokenize.tokenizer import Encoded, Tokenizer, load_tokenizer, load_tokenizers

__all__ = ["Encoded", "Tokenizer", "load_tokenizer", "load_tokenizers", "tokenize", "tokenize_each"]
