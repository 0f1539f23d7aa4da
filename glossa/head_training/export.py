"""Writes a trained head as a folder that `transformers` loads: the head, its configuration, tokenizer and backbone.

The files of the backbone are the same files as in its own folder where the file system can (hard links), so that a head
takes kilobytes. Glossa reads nothing but the head's own file. Must not know how a head was trained.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from glossa.head_training.folder import whole_folder
from serve.checkpoints.files import BESIDE, CONFIG, DECLARING, HEAD, HEADS, INDEX, read_json
from serve.checkpoints.folders import transformer_folder
from serve.checkpoints.head_files import BACKBONE, LENGTH_BYTES
from serve.checkpoints.read import weight_files
from serve.models.checkpoint_facts import check_tensors, read_config
from serve.models.tensor_names import stored_tensors
from shared.catalog import Head, Model

LOADER = "linear_head.py"
NOT_COPIED = (CONFIG, *DECLARING)
CLASSES = {"text-classification": "ForSequenceClassification", "token-classification": "ForTokenClassification"}
NAMES = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL", "xlm": "XLM", "bert": "Bert"}


@dataclass(frozen=True, slots=True)
class Trained:
    """A head that is ready to be written. `head` is its entry in the catalog, without its place and digest."""

    name: str
    head: Head
    tensors: Mapping[str, Tensor]
    files: Mapping[str, str]


def write_head(out: Path, backbone: Path, model: Model, trained: Trained) -> str:
    """Write the folder `out`, and return the sha256 of the head's file. A folder that is there is replaced.

    `backbone` is the folder of the model. Nobody sees half a folder. Raises OSError.
    """
    data = head_file(trained.tensors, model.weights_sha256)
    with whole_folder(out) as made:
        (made / HEAD).write_bytes(data)
        _write_json(made / CONFIG, _config(backbone, model, trained.head))
        _write_json(made / INDEX, _index(made, backbone, trained.tensors))
        for name in BESIDE:
            path = transformer_folder(backbone) / name
            if name not in NOT_COPIED and path.is_file():
                shutil.copyfile(path, made / name)
        if trained.head.variant == "linear":
            _write_json(made / HEADS, {trained.name: _listed(trained.head)})
            shutil.copyfile(Path(__file__).with_name(LOADER), made / LOADER)
        for name, text in trained.files.items():
            (made / name).write_text(text, encoding="utf-8")
    return hashlib.sha256(data).hexdigest()


def head_file(tensors: Mapping[str, Tensor], backbone_sha256: str) -> bytes:
    """Return the bytes of a head's file, equal for equal tensors. The library orders metadata at random."""
    metadata = {"format": "pt", BACKBONE: backbone_sha256}
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + n_bytes])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)  # the numbers after it are aligned
    return len(text).to_bytes(LENGTH_BYTES, "little") + text + data[LENGTH_BYTES + n_bytes :]


def _config(backbone: Path, model: Model, head: Head) -> dict[str, object]:
    """Return the configuration of the backbone with the class, labels and dtype of this head."""
    name = NAMES[model.family] + ("Model" if head.variant == "linear" else CLASSES[head.task])
    return {
        **read_json(transformer_folder(backbone) / CONFIG),
        "architectures": [name],
        "id2label": {str(at): label for at, label in enumerate(head.labels)},
        "label2id": {label: at for at, label in enumerate(head.labels)},
        "problem_type": head.problem_type if head.task == "text-classification" else None,
        "dtype": model.dtype,
    }


def _index(partial: Path, backbone: Path, own: Mapping[str, Tensor]) -> dict[str, object]:
    """Put the backbone's files beside the head, and return the index of all tensors. Other heads are not in it."""
    family, config = read_config(backbone)
    found = stored_tensors(backbone, family, config)
    wanted, _ = check_tensors(found.shapes, family, config, ())
    stored = found.stored(wanted)
    files = weight_files(backbone)
    places: dict[str, str] = {}
    for number, path in enumerate(files, 1):
        name = "backbone.safetensors" if len(files) == 1 else f"backbone-{number:05}-of-{len(files):05}.safetensors"
        kept = _names_in(path) & stored
        _put(path, partial / name, kept, own)
        places |= dict.fromkeys(kept, name)
    n_bytes = sum(path.stat().st_size for path in partial.glob("*.safetensors"))
    return {"metadata": {"total_size": n_bytes}, "weight_map": places | dict.fromkeys(own, HEAD)}


def _names_in(path: Path) -> set[str]:
    with safe_open(path, framework="pt") as opened:
        return set(opened.keys())


def _put(source: Path, target: Path, kept: Collection[str], own: Collection[str]) -> None:
    """Give a file of the backbone a second name, or copy it where the file system cannot.

    transformers reads all tensors of a file. One that holds a tensor named like one of the new head is written anew,
    with the tensors of the backbone alone.
    """
    if _names_in(source) & set(own):
        with safe_open(source, framework="pt") as opened:
            save_file({name: opened.get_tensor(name) for name in sorted(kept)}, target, {"format": "pt"})
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _listed(head: Head) -> dict[str, Any]:
    """Return the entry of heads.json."""
    facts = {"task": head.task, "prefix": head.prefix, "labels": list(head.labels), "problem_type": head.problem_type}
    return facts | ({"pooling": head.pooling} if head.pooling != "mean" else {})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
