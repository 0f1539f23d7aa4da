"""Reads a config.json without `transformers`, whose import takes longer than loading a small model.

It is for files that `transformers` has read before: those whose digest `glossa catalog add` has written. A test
compares what stands here with the classes of `transformers`. Must not know what a setting means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

N_LABELS = 2  # of a config.json that names none
OF_EVERY_KIND: Mapping[str, object] = {"architectures": None, "problem_type": None, "tie_word_embeddings": True}
_ROBERTA: Mapping[str, object] = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "is_decoder": False,
}  # fmt: skip
# The class of a configuration in transformers: what its settings are where a config.json does not name them.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "XLMRobertaConfig": {"model_type": "xlm-roberta", **_ROBERTA},
    "BertConfig": {
        "model_type": "bert", **_ROBERTA, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
    },
    "XLMRobertaXLConfig": {
        "model_type": "xlm-roberta-xl", **_ROBERTA, "vocab_size": 250880, "hidden_size": 2560, "num_hidden_layers": 36,
        "num_attention_heads": 32, "intermediate_size": 10240, "max_position_embeddings": 514, "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
    },
    "XLMConfig": {
        "model_type": "xlm", "vocab_size": 30145, "emb_dim": 2048, "n_layers": 12, "n_heads": 16,
        "gelu_activation": True, "sinusoidal_embeddings": False, "causal": False, "asm": False, "n_langs": 1,
        "use_lang_emb": True, "max_position_embeddings": 512, "layer_norm_eps": 1e-12, "summary_type": "first",
        "summary_use_proj": True, "summary_activation": None, "summary_proj_to_labels": True, "start_n_top": 5,
        "end_n_top": 5, "mask_token_id": 0, "lang_id": 0, "pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1,
    },
}  # fmt: skip
# Other names of settings, in a config.json and in code.
ALIASES: Mapping[str, Mapping[str, str]] = {
    "XLMConfig": {
        "hidden_size": "emb_dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers",
        "n_words": "vocab_size", "bos_index": "bos_token_id", "eos_index": "eos_token_id", "pad_index": "pad_token_id",
    },
}  # fmt: skip


class PlainConfig:
    """The settings of a config.json as attributes, with the names and defaults of a class of transformers."""

    def __init__(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Read `raw`, the content of a config.json, as the class `kind` would."""
        self._aliases = ALIASES.get(kind, {})
        own = {name: value for name, value in raw.items() if name not in self._aliases}
        renamed = {self._aliases[name]: value for name, value in raw.items() if name in self._aliases}
        self._values: dict[str, Any] = {**OF_EVERY_KIND, **DEFAULTS[kind], **own, **renamed}
        labels = raw.get("id2label")
        if labels is None:
            labels = {i: f"LABEL_{i}" for i in range(raw.get("num_labels") or N_LABELS)}
        self._values["id2label"] = {int(i): label for i, label in labels.items()}
        self._values["num_labels"] = len(labels)

    def __getattr__(self, name: str) -> Any:
        """Return a setting. Raises AttributeError when neither the file nor the class has it."""
        values = self.__dict__["_values"]
        name = self.__dict__["_aliases"].get(name, name)
        if name not in values:
            raise AttributeError(f"got {name!r}, expected a setting of config.json")
        return values[name]
