"""Reads config.json and refuses configurations that a family cannot serve exactly.

It holds the checks that every family needs. It must not know layers or tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from serve.checkpoints.files import CONFIG, CheckpointError, read_json
from serve.checkpoints.plain_config import DEFAULTS, PlainConfig
from shared.error_text import shown

CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
MOST_LAYERS = 1_000  # far above any model; each is named when tensors are compared
HINTS: Mapping[str, str] = {
    "quantization_config": "add the weights that it was made of; `--quantization` stores them in fewer bits"
}
LABELS = 'write them as {"0": "first", "1": "second"}, in the order of the outputs of the classifier'
REQUIRED_VALUES: Mapping[str, object] = {
    "add_cross_attention": False,
    "quantization_config": None,
}  # setting -> the only value that we serve


def parse_config(kind: str, raw: Mapping[str, Any], only: Mapping[str, object], *, is_known: bool) -> Any:
    """Return the configuration in `raw`, the content of a config.json, as the class `kind` of transformers has it.

    `is_known`: transformers has read this content before, and need not be imported to check it again.

    `only` names settings that would change the answers in ways that this family does not implement, with the one value
    that we serve. Raises CheckpointError that names the first setting with another value.
    """
    if raw.get("model_type") != (expected := DEFAULTS[kind]["model_type"]):
        raise CheckpointError(f"got model_type {raw.get('model_type')!r}, expected {expected!r}")
    if isinstance(raw.get("architectures"), str):
        raw = {**raw, "architectures": [raw["architectures"]]}
    if not isinstance(raw.get("architectures") or [], list):
        raise CheckpointError(f"config.json has architectures {shown(raw['architectures'])}, expected a list of names")
    _check_labels(raw)
    for name, value in {**REQUIRED_VALUES, **only}.items():
        if raw.get(name, value) != value:
            raise CheckpointError(f"config.json has {name} = {raw[name]!r}, expected {value!r}", hint=HINTS.get(name))
    if is_known:
        return PlainConfig(kind, raw)
    import transformers  # noqa: PLC0415 - takes longer than loading a small model

    try:
        return getattr(transformers, kind).from_dict(dict(raw))
    except Exception as error:  # noqa: BLE001 - any failure of the library to read it is a refusal
        raise CheckpointError(f"config.json cannot be read: {' '.join(str(error).split())}") from None


def _check_labels(raw: Mapping[str, Any]) -> None:
    """Raise CheckpointError for labels that transformers would replace, or not understand."""
    names, n_labels = raw.get("id2label"), raw.get("num_labels")
    if names is None:
        _check_reversed(raw)
        return
    if not isinstance(names, Mapping):
        raise CheckpointError(f"config.json has id2label {names!r:.80}, expected labels by index", hint=LABELS)
    if wrong := [
        (i, name) for i, name in names.items() if not str(i).isdecimal() or not isinstance(name, str | int | float)
    ]:
        raise CheckpointError(f"config.json has {wrong[0]} in id2label, expected a label by its index", hint=LABELS)
    classes = [str(kind) for kind in raw.get("architectures") or ()]
    has_labels = not classes or any(kind.endswith(CLASSIFIERS) for kind in classes)
    if has_labels and n_labels is not None and n_labels != len(names):
        raise CheckpointError(
            f"config.json has num_labels {n_labels!r} and {len(names)} labels in id2label, expected one number",
            hint="remove num_labels; transformers would rename the labels to LABEL_0 and so on",
        )


def _check_reversed(raw: Mapping[str, Any]) -> None:
    """Raise CheckpointError when a classifier has label2id alone: transformers would number its labels."""
    ids = raw.get("label2id")
    named = [str(kind) for kind in raw.get("architectures") or () if str(kind).endswith(CLASSIFIERS)]
    if not named or not isinstance(ids, Mapping) or not ids:
        return
    names = {str(i): str(label) for label, i in sorted(ids.items(), key=lambda item: str(item[1]).zfill(9))}
    raise CheckpointError(
        f"config.json has label2id and no id2label, expected both for {named[0]}: the labels would have no names",
        hint=f'add "id2label": {json.dumps(names, ensure_ascii=False)}',
    )


def refuse_remote_code(folder: Path) -> None:
    """Raise CheckpointError when config.json or tokenizer_config.json of a folder names code to run (`auto_map`)."""
    for name in (CONFIG, "tokenizer_config.json"):
        raw = read_json(folder / name) if (folder / name).is_file() else {}
        if auto_map := raw.get("auto_map"):
            classes = ", ".join(map(str, auto_map.values())) if isinstance(auto_map, Mapping) else str(auto_map)
            raise CheckpointError(
                f"{name} asks for remote code (auto_map: {classes}), which is never run",
                hint="if transformers reads the folder without it, remove auto_map from the file",
            )


def check_sizes(config: Any, positive: Iterable[str]) -> None:
    """Raise CheckpointError unless the named settings are at least 1 and the number of heads divides the width."""
    for name in positive:
        if getattr(config, name) < 1:
            raise CheckpointError(f"config.json has {name} = {getattr(config, name)}, expected at least 1")
    if config.num_hidden_layers > MOST_LAYERS:
        raise CheckpointError(f"config.json has {config.num_hidden_layers} layers, expected at most {MOST_LAYERS}")
    if config.hidden_size % config.num_attention_heads:
        raise CheckpointError(f"got {config.num_attention_heads} heads, expected a divisor of {config.hidden_size}")


def first_id(ids: object) -> int | None:
    """Return the id of a special token, or the first one when a configuration lists several."""
    return next(iter(listed_ids(ids)), None)


def listed_ids(ids: object) -> tuple[int, ...]:
    """Return the ids that a configuration has for a special token, in its order: none, one or several."""
    each = ids if isinstance(ids, list) else [ids]
    return tuple(one for one in each if isinstance(one, int))
