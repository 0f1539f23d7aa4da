"""Makes checkpoints of real size with random weights: `python -m benchmarks.inputs.checkpoints base FOLDER`.

Speed and memory depend on sizes, not on what a model has learnt. Weights are written in bfloat16. A folder that already
has a checkpoint is left as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaXLConfig

from benchmarks import ROOT
from tests.data import TOKENIZER_FILES, XLMR_TOKENIZER

BASE: Mapping[str, Any] = {
    "vocab_size": 250_002, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
}  # fmt: skip
LARGE = {
    **BASE,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
XL: Mapping[str, Any] = {
    "vocab_size": 250_880, "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
    "intermediate_size": 10_240, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
}  # fmt: skip
_SHIPPED: Mapping[str, Any] = json.loads((ROOT / "checkpoints" / "mini" / "config.json").read_text(encoding="utf-8"))
MINI: Mapping[str, Any] = {name: _SHIPPED[name] for name in BASE}  # with one head
LABELS, SPAN_LABELS = 7, 2
SIZES: Mapping[str, tuple[type[Any], Mapping[str, Any]]] = {
    "mini": (XLMRobertaConfig, MINI),
    "base": (XLMRobertaConfig, BASE),
    "large": (XLMRobertaConfig, LARGE),
    "xlm-v": (XLMRobertaConfig, {**BASE, "vocab_size": 901_629}),
    "xl": (XLMRobertaXLConfig, XL),
}
KINDS: Mapping[str, str] = {
    "classification": "ForSequenceClassification",
    "entities": "ForTokenClassification",
    "qa": "ForQuestionAnswering",
    "fill-mask": "ForMaskedLM",
}


def config_of(size: str) -> Any:
    """Return the `transformers` configuration of a size, with 7 labels."""
    kind, settings = SIZES[size]
    return kind(**settings, num_labels=LABELS, pad_token_id=1, bos_token_id=0, eos_token_id=2)


def make(size: str, task: str, folder: Path) -> Path:
    """Return `folder`/size-task with a checkpoint of a size and the head of a task. Write it unless it is there."""
    target = folder / f"{size}-{task}"
    if (target / "config.json").exists():
        return target
    config = config_of(size)
    if task == "qa":
        config.num_labels = SPAN_LABELS
    name = type(config).__name__.removesuffix("Config") + KINDS[task]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        model: PreTrainedModel = getattr(transformers, name)(config)
    finally:
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(target)
    return target


def add_tokenizer(checkpoint: Path) -> Path:
    """Copy the tokenizer of the workloads beside the weights, for systems that are sent texts. Return the folder."""
    for name in TOKENIZER_FILES:
        if not (checkpoint / name).exists():
            shutil.copyfile(XLMR_TOKENIZER / name, checkpoint / name)
    return checkpoint


def main() -> int:
    """Make the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", choices=KINDS, default="classification")
    chosen = parser.parse_args()
    print(make(chosen.size, chosen.task, chosen.folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
