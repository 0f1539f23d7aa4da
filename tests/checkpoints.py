"""Small random checkpoints in the format of `transformers`, drawn so that faults change the answers.

Every parameter is random with std 0.2 at width 48. Wider ones have a smaller std, so that a product grows as much.
LayerNorm weights are around 1. Biases, pad rows and position rows are random too. At the default std of 0.02, even a
doubled attention scale hardly changes a logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, XLMRobertaConfig

from serve.models.checkpoint_facts import checkpoint_facts
from shared.catalog import Model

STD = 0.2
HEAD_STD = 0.3  # of the last products, so that 13 rows with one logit each still differ enough
HEADS = ("classifier.", "qa_outputs.")
SMALL: Mapping[str, Any] = {
    "vocab_size": 500,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 514,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-2,  # unusual, so that a constant in its place changes the answers
    "pad_token_id": 1,
}
LABELS = ("red", "green", "blue", "grey", "gold")


def small_config(config_class: type[PreTrainedConfig] = XLMRobertaConfig, **settings: Any) -> Any:
    """Make a configuration of a few thousand parameters with 5 labels. `settings` override it."""
    return config_class(**{**SMALL, "id2label": dict(enumerate(LABELS)), **settings})


def draw(kind: str, *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """Draw a reference model of a public class of transformers, such as XLMRobertaForMaskedLM.

    A model for question answering has two outputs and a causal LM is a decoder, unless `settings` say otherwise.
    """
    model_class = getattr(transformers, kind)
    usual = {"ForQuestionAnswering": {"id2label": {0: "start", 1: "end"}}, "ForCausalLM": {"is_decoder": True}}
    usual["LMHeadModel"] = usual["ForCausalLM"]
    for suffix, said in usual.items():
        settings = {**said, **settings} if kind.endswith(suffix) else settings
    model: PreTrainedModel = model_class(small_config(model_class.config_class, **settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    std = STD * (SMALL["hidden_size"] / model.config.hidden_size) ** 0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1.0 if name.endswith(("LayerNorm.weight", "layer_norm.weight")) else 0.0
            parameter.normal_(mean, HEAD_STD if name.startswith(HEADS) else std, generator=generator)
    return model


def rounded(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Round the weights of a reference model to `dtype`. The model still computes in float32."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype).float())
    return model


def write(model: PreTrainedModel, folder: Path) -> Path:
    """Write a checkpoint as users do: config.json and model.safetensors."""
    model.save_pretrained(folder)
    return folder


def draw_ids(lengths: Sequence[int], *, seed: int = 0, vocab_size: int = 500) -> list[list[int]]:
    """Draw rows of ids from the whole vocabulary, so that some texts have pad ids inside."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(0, vocab_size, (length,), generator=generator).tolist() for length in lengths]
    for row in rows:
        row[len(row) // 3 :: 17] = [1] * len(row[len(row) // 3 :: 17])
        row[0] = 0
    return rows


def catalog_model(folder: Path, **fields: object) -> Model:
    """Make the catalog entry of a checkpoint folder from its own facts. `fields` override it."""
    facts = checkpoint_facts(folder)
    return Model.model_validate(
        {
            "name": "toy",
            "family": facts.family,
            "checkpoint": str(folder),
            "weights_sha256": facts.weights_sha256,
            "config_sha256": facts.config_sha256,
            "tokenizer_sha256": "0" * 64,
            "max_tokens": facts.max_tokens,
            "vocab_size": facts.vocab_size,
            "pad_id": facts.pad_id,
            "causal": facts.causal,
            "bos_id": facts.bos_id,
            "eos_id": facts.eos_id,
            "lang2id": facts.lang2id,
            "heads": facts.heads,
            **fields,
        }
    )
