"""Text to windows of token ids with offsets."""

from functions.pipeline.tokenize.desk import tokenize, tokenize_each
from functions.pipeline.tokenize.load import load_tokenizer, load_tokenizers, read_tokenizer
from functions.pipeline.tokenize.tokenizer import Encoded, Tokenizer

__all__ = [
    "Encoded",
    "Tokenizer",
    "load_tokenizer",
    "load_tokenizers",
    "read_tokenizer",
    "tokenize",
    "tokenize_each",
]
