"""Writes a trained network as an ordinary folder: sharded bf16 safetensors, config, heads.json. Must not know data.

The names are those of transformers: `roberta.*`, `lm_head.*` (the decoder is tied and not stored), and
`heads.<name>.*` for the heads that heads.json lists. A head that is not worth a user's time is left out by name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from checkpoints.mini.finetuning.data import corpus
from checkpoints.mini.finetuning.data.data_sets import RELATIONS
from checkpoints.mini.finetuning.network import Network

SHARD, TOTAL = 24 * 2**20, 80 * 2**20  # bytes: of a file, and of all weights
HEADER = 32 * 2**10  # bytes that a file may hold besides its tensors
INDEX = "model.safetensors.index.json"
WORDS = "roberta.embeddings.word_embeddings.weight"
POOLER = "roberta.pooler.dense"


def head_list(languages: Sequence[str], without: Collection[str] = ()) -> dict[str, dict[str, object]]:
    """Return the task and the labels of every head, in the order of its logits."""
    text = "text-classification"
    found: dict[str, dict[str, object]] = {
        "topic": {"task": text, "labels": corpus.TOPICS},
        "language": {"task": text, "labels": list(languages)},
        "sentiment": {"task": text, "labels": corpus.SENTIMENTS},
        "nli": {"task": text, "labels": list(RELATIONS)},
        "entities": {"task": "token-classification", "labels": corpus.TAGS},
        "answers": {"task": "question-answering"},
        "choice": {"task": "multiple-choice"},
    }
    return {name: facts for name, facts in found.items() if name not in without}


def tensors(network: Network, without: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the weights to ship, in bf16. The word embedding is one tensor: a reader wants it whole."""
    body = network.reference.state_dict()
    found = {name: value for name, value in body.items() if not name.startswith("lm_head.decoder.")}
    found |= {f"heads.{k}": v for k, v in network.heads.state_dict().items() if k.split(".")[0] not in without}
    if "choice" not in without:
        found |= {f"{POOLER}.{name}": value for name, value in network.pooler.state_dict().items()}
    return {name: value.detach().to(torch.bfloat16).contiguous() for name, value in found.items()}


def shards(found: dict[str, Tensor], most: int = SHARD) -> list[list[str]]:
    """Return the names of the tensors of each file of at most `most` bytes, in order.

    Raises ValueError when a tensor is too large for a file.
    """
    made: list[list[str]] = [[]]
    used = 0
    for name, value in found.items():
        size = value.numel() * value.element_size()
        if size > most - HEADER:
            raise ValueError(
                f"got {name} of {size} bytes, expected at most {most - HEADER}: a file holds whole tensors"
            )
        if used + size > most - HEADER:
            made.append([])
            used = 0
        made[-1].append(name)
        used += size
    return made


def write(
    folder: Path, network: Network, languages: Sequence[str], without: Collection[str] = (), *, most: int = SHARD
) -> int:
    """Write weights, config.json and heads.json. Return the bytes of the weights. Raises ValueError over 80 MiB."""
    found = tensors(network, without)
    parts = shards(found, most)
    total = sum(value.numel() * value.element_size() for value in found.values())
    if total + HEADER > TOTAL:
        raise ValueError(f"got {total} bytes of weights, expected at most {TOTAL}")
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    place: dict[str, str] = {}
    for n, names in enumerate(parts, 1):
        file = f"model-{n:05}-of-{len(parts):05}.safetensors"
        save_file({name: found[name] for name in names}, str(folder / file), metadata={"format": "pt"})
        (folder / file).chmod(0o644)
        place |= dict.fromkeys(names, file)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))})
    settings = network.config.to_dict() | {"architectures": ["XLMRobertaForMaskedLM"], "dtype": "bfloat16"}
    for name in ("_name_or_path", "id2label", "label2id"):
        settings.pop(name, None)
    write_json(folder / "config.json", dict(sorted(settings.items())))
    write_json(folder / "heads.json", head_list(languages, without))
    return sum((folder / file).stat().st_size for file in set(place.values()))


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[Network, list[str]]:
    """Return the network of an exported folder in fp32, and its language codes. A head that is not stored is random."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    listed = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
    languages = [str(code) for code in listed["language"]["labels"]]
    network = Network(settings["vocab_size"], settings["num_hidden_layers"], len(languages))
    files = sorted(folder.glob("model-*.safetensors"))
    found = {name: value.float() for file in files for name, value in load_file(file).items()}
    body = {name: value for name, value in found.items() if name.startswith(("roberta.", "lm_head."))}
    network.reference.load_state_dict({k: v for k, v in body.items() if not k.startswith(POOLER)}, strict=False)
    network.reference.tie_weights()
    heads = {name.removeprefix("heads."): value for name, value in found.items() if name.startswith("heads.")}
    network.heads.load_state_dict(heads, strict=False)
    if f"{POOLER}.weight" in found:
        network.pooler.load_state_dict({end: found[f"{POOLER}.{end}"] for end in ("weight", "bias")})
    return network.eval(), languages
