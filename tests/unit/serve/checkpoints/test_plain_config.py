"""A config.json is read without transformers as its classes read it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import transformers

from serve.checkpoints.plain_config import ALIASES, DEFAULTS, OF_EVERY_KIND, PlainConfig
from tests.house.tree import ROOT

SMALL = {"vocab_size": 40, "architectures": ["A"], "pad_token_id": 3, "eos_token_id": [2, 4], "layer_norm_eps": 1e-5}
RAWS: tuple[dict[str, Any], ...] = (
    {},
    SMALL,
    {"id2label": {"0": "no", "1": "yes", "2": "maybe"}, "problem_type": "multi_label_classification"},
    {"num_labels": 5, "tie_word_embeddings": False, "pad_token_id": None, "bos_token_id": None},
    {"id2label": None, "dtype": "float16", "torch_dtype": "float32", "an_own_setting": {"a": 1}},
    {"n_words": 50, "pad_index": 4, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2},
    {"vocab_size": 60, "n_words": 50, "emb_dim": 64, "hidden_size": 32, "lang2id": {"en": 0}, "n_langs": 3},
)
READ = re.compile(r"\bconfig\.([a-z]\w*)")
NOT_SETTINGS = {"json", "get", "to_dict"}  # config.json in messages, and methods of what is no configuration of ours


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("raw", RAWS, ids=range(len(RAWS)))
def test_every_setting_is_the_one_of_transformers(kind: str, raw: dict[str, Any]) -> None:
    """Defaults, other names, labels and settings that the class does not know are alike."""
    theirs = getattr(transformers, kind).from_dict(dict(raw))
    ours = PlainConfig(kind, raw)
    own = {"an_own_setting", "lang2id"} & raw.keys()
    for name in {*DEFAULTS[kind], *OF_EVERY_KIND, *ALIASES.get(kind, {}), "id2label", "num_labels", *own}:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert not hasattr(ours, "asm_cutoffs")


def test_every_setting_that_is_read_is_known() -> None:
    """The code of models reads no setting that would be missing here."""
    known = {*OF_EVERY_KIND, "id2label", "num_labels"}.union(*DEFAULTS.values(), *ALIASES.values())
    files = (ROOT / "serve" / "models").rglob("*.py")
    read = {name for path in files for name in READ.findall(path.read_text(encoding="utf-8"))}
    assert sorted(read - known - NOT_SETTINGS) == []
