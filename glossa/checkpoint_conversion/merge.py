"""Merges a LoRA adapter into the weights of its base model, as `merge_and_unload` of peft does.

It follows LoRA (Hu et al. 2021): a weight becomes W + scale * B A, where scale is alpha / r, or alpha / sqrt(r) with
rank stabilization. The arithmetic is on files, so peft is not needed. Must not know families or heads.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from glossa.checkpoint_conversion.convert import copy_descriptions, new_folder, unpickle
from serve.checkpoints.broken_files import AGAIN, what_is_safetensors
from serve.checkpoints.files import ADAPTER, CONFIG, SINGLE, CheckpointError, read_json
from serve.checkpoints.folders import module_folders, transformer_folder
from serve.checkpoints.read import check_finite, read_tensors, tensor_headers
from shared.error_text import shown

ADAPTER_WEIGHTS, ADAPTER_PICKLE = "adapter_model.safetensors", "adapter_model.bin"
BASE_PREFIX = "base_model.model."
LORA = re.compile(r"(?P<module>.+)\.lora_(?P<kind>A|B|embedding_A|embedding_B)(?:\.\w+)?(?:\.weight)?")
WRAPPED = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")  # how peft names what it trains whole
MOST_ALPHA = 2.0**20  # far above any scale of training
OWN_BASE = "give the base model that the adapter was trained on"
CLASSES = {
    "SEQ_CLS": "ForSequenceClassification", "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}  # fmt: skip
OTHER_HEADS = ("lm_head.", "pred_layer.", "cls.")  # of a base that was trained on masks
SCORES = ("classifier.out_proj.weight", "classifier.weight")
WITHOUT = {
    "use_dora": False, "fan_in_fan_out": False, "alora_invocation_tokens": None, "lora_bias": False,
    "trainable_token_indices": None, "layer_replication": None, "use_qalora": False,
}  # fmt: skip
KEEPING = (True, False, None, "gaussian", "eva", "orthogonal")  # ways to start an adapter that keep the base as it is
_PYTHON = shlex.quote(sys.executable)
BY_PEFT = (
    f'{_PYTHON} -m pip install peft, then: {_PYTHON} -c "from peft import AutoPeftModelForSequenceClassification as M; '
    "M.from_pretrained('ADAPTER').merge_and_unload().save_pretrained('OUT')\", with the class of your task"
)


def merge(adapter: Path, base: Path, out: Path | None = None) -> Path:
    """Write the model that the LoRA folder `adapter` makes of the checkpoint `base` into the new folder `out`.

    `out` defaults to the name of the adapter's folder and `-merged`. Heads that were trained whole (`modules_to_save`)
    replace those of the base. Labels, tokenizer and the modules of sentence-transformers are those of the adapter's
    folder, if it has them. Raises CheckpointError for another kind of adapter, or one that does not fit the base.
    """
    target = out or adapter.with_name(f"{adapter.resolve().name}-merged")
    facts = _lora_facts(adapter)
    inner = transformer_folder(base)
    merged = dict(read_tensors(base, tensor_headers(base).keys()))
    tensors = _adapter_tensors(adapter)
    if str(facts.get("task_type")) in CLASSES:
        merged = {name: tensor for name, tensor in merged.items() if not name.startswith(OTHER_HEADS)}
    merged = _with_prefix(merged, tensors)
    _apply(merged, tensors, facts, adapter)
    with new_folder(target) as partial:
        for source in (base, inner, adapter):
            copy_descriptions(source, partial)
            _copy_modules(source, partial)
        for name in (ADAPTER, "README.md"):
            (partial / name).unlink(missing_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in merged.items()}, partial / SINGLE, {"format": "pt"})
        _describe(partial / CONFIG, facts, merged)
        check_finite(partial, merged.keys())
    return target


def _copy_modules(source: Path, target: Path) -> None:
    """Copy what describes the modules of sentence-transformers, such as `1_Pooling`, beside the transformer."""
    for name in module_folders(source)[1:]:
        if (source / name).is_dir():
            copy_descriptions(source / name, target / name)


def _lora_facts(adapter: Path) -> Mapping[str, Any]:
    if not (adapter / ADAPTER).is_file():
        raise CheckpointError(f"got {adapter} to merge, expected a folder with {ADAPTER}")
    facts = read_json(adapter / ADAPTER)
    if facts.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{adapter} is an adapter of kind {facts.get('peft_type')!r}, expected LORA", hint=BY_PEFT
        )
    _check_types(facts)
    for name, value in WITHOUT.items():
        if facts.get(name, value) not in (value, None):
            raise CheckpointError(f"{ADAPTER} has {name} = {facts[name]!r}, expected {value!r}", hint=BY_PEFT)
    if (start := facts.get("init_lora_weights")) not in KEEPING:
        raise CheckpointError(
            f"{ADAPTER} has init_lora_weights = {start!r}, which changes the base's weights too; expected true",
            hint=BY_PEFT,
        )
    return facts


def _check_types(facts: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a scale that is no finite number, or a pattern that is no regular expression."""
    patterns = facts.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise CheckpointError(f"{ADAPTER} has alpha_pattern {shown(patterns)}, expected numbers by patterns")
    for name, value in {"lora_alpha": facts.get("lora_alpha"), **patterns}.items():
        if value is not None and (not isinstance(value, int | float) or not 0 < value < MOST_ALPHA):
            raise CheckpointError(f"{ADAPTER} has {shown(value)} for {shown(name)}, expected a number above 0")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise CheckpointError(
                f"{ADAPTER} has {shown(pattern)} in alpha_pattern, expected a pattern: {error}"
            ) from None


def _adapter_tensors(adapter: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of an adapter by their names in the model, without the prefix of peft."""
    path = adapter / ADAPTER_WEIGHTS
    if path.is_file():
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            reason, advice = what_is_safetensors(path) or (f"cannot be read: {error}", AGAIN)
            raise CheckpointError(f"{path} {reason}, expected a safetensors file", hint=advice) from None
    elif (adapter / ADAPTER_PICKLE).is_file():
        with TemporaryDirectory() as folder:
            unpickle(adapter / ADAPTER_PICKLE, Path(folder) / SINGLE)
            found = load_file(Path(folder) / SINGLE)
    else:
        raise CheckpointError(f"{adapter} holds no {ADAPTER_WEIGHTS}, expected one beside {ADAPTER}")
    plain = {
        name.removeprefix(BASE_PREFIX): tensor for name, tensor in found.items() if ".original_module." not in name
    }
    if not any(map(LORA.fullmatch, plain)):
        raise CheckpointError(f"{adapter} adapts nothing, expected tensors such as …query.lora_A.weight", hint=AGAIN)
    return {WRAPPED.sub("", name): tensor for name, tensor in plain.items()}


def _with_prefix(merged: dict[str, torch.Tensor], tensors: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """Return the base's tensors, with the prefix of the backbone if the adapter's names have it and theirs lack it."""
    for name in tensors:
        prefix, _, bare = f"{_module_of(name)}.weight".partition(".")
        if bare in merged:
            return {f"{prefix}.{stored}": tensor for stored, tensor in merged.items()}
    return merged


def _apply(
    merged: dict[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], place: Path
) -> None:
    """Change the weights of the base in place. Raises CheckpointError for a tensor that does not fit."""
    for name, tensor in tensors.items():
        match = LORA.fullmatch(name)
        if match is None:
            merged[_stored_name(name, merged) or name] = tensor
            continue
        if not match["kind"].endswith("A"):
            if _swapped(name, "B", "A") not in tensors:
                raise CheckpointError(f"{place} holds {name} without its other factor, expected both", hint=AGAIN)
            continue
        other = tensors.get(_swapped(name, "A", "B"))
        stored = _stored_name(f"{match['module']}.weight", merged)
        if stored is None or other is None:
            raise CheckpointError(f"{place} adapts {match['module']}, which the base does not hold", hint=OWN_BASE)
        if other.ndim != 2 or tensor.ndim != 2 or not 0 < tensor.shape[0] == other.shape[1]:  # noqa: PLR2004 - matrices
            sizes = f"{tuple(other.shape)} and {tuple(tensor.shape)}"
            raise CheckpointError(
                f"{place} adapts {stored} by factors of shape {sizes}, expected a product", hint=AGAIN
            )
        delta = other.float() @ tensor.float() * _scale(match["module"], tensor.shape[0], facts)
        delta = delta.T if match["kind"].startswith("embedding") else delta
        weight = merged[stored]
        if delta.shape != weight.shape:
            sizes = f"{tuple(delta.shape)}, the base has {tuple(weight.shape)}"
            raise CheckpointError(f"{place} adapts {stored} of shape {sizes}", hint=OWN_BASE)
        merged[stored] = (weight.float() + delta).to(weight.dtype)


def _swapped(name: str, kind: str, other: str) -> str:
    """Return the name of the other factor of an adapted weight."""
    return name.replace(f"lora_{kind}", f"lora_{other}").replace(f"lora_embedding_{kind}", f"lora_embedding_{other}")


def _module_of(name: str) -> str:
    match = LORA.fullmatch(name)
    return match["module"] if match else ""


def _scale(module: str, rank: int, facts: Mapping[str, Any]) -> float:
    """Return the factor of a module: a pattern of its name may give it an alpha of its own."""
    alpha = float(facts.get("lora_alpha") or rank)
    for pattern, value in (facts.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module):
            alpha = float(value)
            break
    return alpha / (rank**0.5 if facts.get("use_rslora") else rank)


def _stored_name(name: str, merged: Mapping[str, object]) -> str | None:
    """Return a tensor's name in the base, which may have a prefix that the adapter's names lack."""
    if name in merged:
        return name
    found = [stored for stored in merged if stored.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None


def _describe(path: Path, facts: Mapping[str, Any], merged: Mapping[str, torch.Tensor]) -> None:
    """Write the class of the merged model into its config.json, and as many labels as its head has.

    The base may have had another head, or none. Labels that nobody saved are LABEL_0, LABEL_1 and so on.
    """
    suffix = CLASSES.get(str(facts.get("task_type")))
    if suffix is None:
        return
    config = read_json(path)
    listed = config.get("architectures")
    body = re.sub(
        r"(?:For\w+|WithLMHeadModel|Model)$", "", str(listed[0]) if isinstance(listed, list) and listed else ""
    )
    config["architectures"] = [f"{body or 'XLMRoberta'}{suffix}"]
    scores = next((merged[name] for name in SCORES if name in merged), None)
    names = config.get("id2label")
    if scores is not None and (not isinstance(names, Mapping) or len(names) != len(scores)):
        config["id2label"] = {str(index): f"LABEL_{index}" for index in range(len(scores))}
        config["label2id"] = {f"LABEL_{index}": index for index in range(len(scores))}
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
