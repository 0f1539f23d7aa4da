"""A tiny question answering checkpoint that the same seed draws in every environment, with a committed tokenizer.

Imports nothing of Glossa, because the environment of the recording has another version of transformers.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import torch
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaForQuestionAnswering

from tests.data import N_PIECES, TOKENIZER_FILES, XLMR_TOKENIZER

STD = 0.2
HEAD_STD = 0.8  # so that some answers are likelier than others
SEED = 20


def draw() -> PreTrainedModel:
    """Draw all parameters in the order of their names: std 0.2, head std 0.8, LayerNorm weights around 1."""
    config = XLMRobertaConfig(
        vocab_size=N_PIECES, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    model: PreTrainedModel = XLMRobertaForQuestionAnswering(config)
    model.train(mode=False)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator) * (HEAD_STD if "qa_outputs" in name else STD)
            parameter.copy_(values + 1 if name.endswith("LayerNorm.weight") else values)
    return model


def digest(model: PreTrainedModel) -> str:
    """Return the sha256 of all parameters: names and float32 bytes, in the order of names."""
    found = sha256()
    for name, parameter in sorted(model.named_parameters()):
        found.update(name.encode() + parameter.detach().numpy().tobytes())
    return found.hexdigest()


def tokenizer_digest() -> str:
    """Return the sha256 of the tokenizer.json."""
    return sha256((XLMR_TOKENIZER / "tokenizer.json").read_bytes()).hexdigest()


def write(model: PreTrainedModel, folder: Path) -> None:
    """Write the checkpoint and its tokenizer as users have them."""
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(XLMR_TOKENIZER / name, folder)
