"""Small random XLM checkpoints for every option of the configuration, drawn so that faults change the answers.

As in tests/checkpoints.py, std is 0.2 and LayerNorm weights are around 1. A sinusoidal table stays as the reference
makes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, XLMConfig

from serve.rows.row import Row, row_of
from tests.checkpoints import LABELS, STD

NORM = re.compile(r"layer_norm|LayerNorm")
CHOICE_STD = 4.0  # a choice is read from few numbers, which may be between -1 and 1
PAD = 2
N_LANGS = 3
VOCAB_SIZE = 500
SMALL: Mapping[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "emb_dim": 48,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-2,  # unusual, so that a constant in its place changes the answers
    "start_n_top": 3,
    "end_n_top": 2,
}
LANGS: Mapping[str, Mapping[str, Any]] = {
    "one language": {"n_langs": 1},
    "languages": {"n_langs": N_LANGS, "lang2id": {"de": 0, "en": 1, "fr": 2}},
    "languages unread": {"n_langs": N_LANGS, "use_lang_emb": False},
}
LENGTHS = (7, 1, 512, 33, 2, 7, 130, 64, 3, 7, 33, 255, 16)


def small_config(**settings: Any) -> XLMConfig:
    """Make a configuration of a few thousand parameters, with 5 labels unless `settings` say otherwise."""
    labels = {} if "num_labels" in settings else {"id2label": dict(enumerate(LABELS))}
    return XLMConfig(**{**SMALL, **labels, **settings})


def draw(kind: str, *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """Draw a reference model of a public class of transformers, such as XLMWithLMHeadModel."""
    if kind == "XLMForQuestionAnsweringSimple":
        settings = {"num_labels": 2, **settings}
    model: PreTrainedModel = getattr(transformers, kind)(small_config(**settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if model.config.sinusoidal_embeddings and "position_embeddings" in name:
                continue
            mean = 1.0 if name.endswith("weight") and NORM.search(name) else 0.0
            parameter.normal_(mean, CHOICE_STD if name.startswith("logits_proj") else STD, generator=generator)
    return model


def draw_rows(lengths: Sequence[int], head: str, *, langs: bool, seed: int = 0, **asked: Any) -> list[Row]:
    """Draw rows from the whole vocabulary, with pad ids inside. In turn they have languages, token types and positions.

    Positions start again in the middle of a text, as they do for a pair of translations.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i, length in enumerate(lengths):
        ids = torch.randint(0, VOCAB_SIZE, (length,), generator=generator)
        ids[length // 3 :: 17] = PAD
        beside: dict[str, torch.Tensor] = {}
        if langs and i % 2 == 0:
            beside["lang_ids"] = torch.randint(0, N_LANGS, (length,), generator=generator).int()
        if i % 3 == 1:
            beside["token_type_ids"] = (torch.arange(length) >= length // 2).int()
        if i % 4 > 1:
            beside["position_ids"] = torch.cat([torch.arange(length // 2), torch.arange(length - length // 2)]).int()
        rows.append(row_of(ids.tolist(), head, **beside, **asked))
    return rows


def pairwise_choices(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return few combinations in which any two values of two factors occur together.

    They are found greedily, always in the same way (pairwise testing).
    """
    whole = [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]
    met = {choice_id: _pairs(choice) for choice_id, choice in enumerate(whole)}
    left = set[object]().union(*met.values())
    chosen = []
    while left:
        best = max(met, key=lambda choice_id: len(met[choice_id] & left))
        left -= met[best]
        chosen.append(whole[best])
    return chosen


def _pairs(choice: Mapping[str, str]) -> set[object]:
    return set(combinations(sorted(choice.items()), 2))
