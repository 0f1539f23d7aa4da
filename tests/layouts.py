"""Rewrites a checkpoint into the layouts that people have: prefixes, tied tensors, dtypes, shards and old folders.

Each layout holds the same model, so its answers are those of the reference that was written. Tests and the parity
table share them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from serve.checkpoints.files import INDEX, SINGLE

Tensors = dict[str, torch.Tensor]
TIED = {
    "roberta.embeddings.word_embeddings.weight": "lm_head.decoder.weight",
    "bert.embeddings.word_embeddings.weight": "cls.predictions.decoder.weight",
    "transformer.embeddings.weight": "pred_layer.proj.weight",
}


def _renamed(rename: Callable[[str], str]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        save_file({rename(name): tensor for name, tensor in load_file(folder / SINGLE).items()}, folder / SINGLE)

    return change


def _in_dtype(dtype: torch.dtype) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = {name: tensor.to(dtype) for name, tensor in load_file(folder / SINGLE).items()}
        save_file(tensors, folder / SINGLE)

    return change


def _tied(tensors: Tensors) -> Mapping[str, str]:
    """Return the decoder's name of a word embedding. XLM's decoder has no weight without its bias."""
    is_other_head = "transformer.embeddings.weight" in tensors and "pred_layer.proj.bias" not in tensors
    return {} if is_other_head else {name: decoder for name, decoder in TIED.items() if name in tensors}


def _tied_under_the_decoder(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    tied = _tied(tensors)
    save_file({tied.get(name, name): tensor for name, tensor in tensors.items()}, folder / SINGLE)


def _tied_under_both(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    again = {decoder: tensors[name].clone() for name, decoder in _tied(tensors).items()}
    save_file(tensors | again, folder / SINGLE)


def _old_norm_names(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def _shards(folder: Path) -> None:
    """Divide the tensors over two files whose names are unusual."""
    tensors = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    files = {name: f"part_{'ab'[number % 2]}.safetensors" for number, name in enumerate(sorted(tensors))}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in tensors if files[name] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))


def _old_sentence_transformers(folder: Path) -> None:
    (folder / "0_Transformer").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(folder / "0_Transformer" / path.name)
    modules = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))


def declare_vectors(folder: Path, pooling: str, *, normalize: bool) -> None:
    """Write the files of sentence-transformers that declare a pooling and length 1, beside what the folder has."""
    path, kind = folder / "modules.json", "sentence_transformers.models."
    entries = json.loads(path.read_text()) if path.is_file() else [{"path": "", "type": f"{kind}Transformer"}]
    entries.append({"path": "1_Pooling", "type": f"{kind}Pooling"})
    entries += [{"path": "2_Normalize", "type": f"{kind}Normalize"}] if normalize else []
    path.write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    modes = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    said = {f"pooling_mode_{name}": mode == pooling for mode, name in modes.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 48, **said}))


def _further_tensors(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    further = {"loss_fct.weight": torch.ones(3), "n_steps": torch.tensor(7), "old.scale": torch.full((2,), torch.nan)}
    save_file(tensors | further, folder / SINGLE)


LAYOUTS: Mapping[str, Callable[[Path], None]] = {
    "torch.compile": _renamed(lambda name: f"_orig_mod.{name}"),
    "layers compiled": _renamed(lambda name: name.replace(".layer.0.", ".layer.0._orig_mod.")),
    "DataParallel": _renamed(lambda name: f"module.{name}"),
    "both": _renamed(lambda name: f"module._orig_mod.{name}"),
    "Lightning": _renamed(lambda name: f"model.{name}"),
    "gamma and beta": _renamed(_old_norm_names),
    "no prefix": _renamed(lambda name: re.sub(r"^(?:roberta|bert|transformer)\.", "", name)),
    "decoder alone": _tied_under_the_decoder,
    "decoder too": _tied_under_both,
    "float64": _in_dtype(torch.float64),
    "float16": _in_dtype(torch.float16),
    "bfloat16": _in_dtype(torch.bfloat16),
    "shards": _shards,
    "0_Transformer": _old_sentence_transformers,
    "further tensors": _further_tensors,
}
ROUNDED: Mapping[str, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}
