"""Writes the trained model as one bf16 safetensors file under reference names, with its config and head list."""

import json
from pathlib import Path

import torch
from finetuning.data import corpus
from safetensors.torch import save_file

from recipe.model import Mini

LIMIT = 24 * 1024 * 1024
UNTIED = ("lm_head.decoder.",)


def tensors(model: Mini) -> dict[str, torch.Tensor]:
    """Return the weights to ship: `roberta.*`, `lm_head.*`, `heads.<name>.*`. The tied decoder is left out."""
    found = {k: v for k, v in model.reference.state_dict().items() if not k.startswith(UNTIED)}
    found |= {f"heads.{k}": v for k, v in model.heads.state_dict().items()}
    return {k: v.detach().to(torch.bfloat16).contiguous() for k, v in found.items()}


def head_list(languages: list[str]) -> dict[str, dict[str, object]]:
    """Return the task and the labels of every head, in the order of its logits."""
    text, token = "text-classification", "token-classification"
    return {
        "topic": {"task": text, "labels": corpus.TOPICS},
        "language": {"task": text, "labels": languages},
        "sentiment": {"task": text, "labels": corpus.SENTIMENTS},
        "entities": {"task": token, "labels": corpus.TAGS},
    }


def write_config(folder: Path, model: Mini, languages: list[str]) -> None:
    """Write `config.json` and `heads.json`."""
    settings = model.config.to_dict() | {"architectures": ["XLMRobertaForMaskedLM"], "dtype": "bfloat16"}
    for name in ("_name_or_path", "id2label", "label2id"):
        settings.pop(name, None)
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    heads = json.dumps(head_list(languages), indent=2, ensure_ascii=False)
    (folder / "heads.json").write_text(heads + "\n", encoding="utf-8")


def write(folder: Path, model: Mini, languages: list[str]) -> int:
    """Write weights and configuration. Return the bytes of the weights. Raises ValueError over 24 MiB."""
    write_config(folder, model, languages)
    partial = folder / "model.safetensors.partial"
    save_file(tensors(model), str(partial), metadata={"format": "pt"})
    size = partial.stat().st_size
    if size > LIMIT:
        raise ValueError(f"got {size} bytes of weights, at most {LIMIT}")
    partial.replace(folder / "model.safetensors")
    return size
