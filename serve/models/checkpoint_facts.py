"""Collects the facts of a checkpoint folder for the catalog, and checks that its answers would be exact.

It reads the configuration and the headers of tensors. Weights are read only for their digest. It must not know engines
or devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serve.checkpoints.files import CONFIG, CheckpointError, read_json
from serve.checkpoints.folders import module_folders, transformer_folder, unread_files
from serve.checkpoints.read import check_finite
from serve.checkpoints.verify import config_sha256, weights_sha256
from serve.models.architectures import check_classes
from serve.models.checkpoint_heads import Shapes
from serve.models.config_checks import first_id, listed_ids, refuse_remote_code
from serve.models.family import Family
from serve.models.registry import family_of
from serve.models.sentence_transformers import read_declared
from serve.models.tensor_names import check_merged, named, prefix_in, stored_tensors, unread_lines
from shared.catalog import Family as FamilyName
from shared.catalog import Head
from shared.limits import MAX_ROW_TOKENS

EMBED_HEAD = "embed"  # the head that every backbone has


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What `glossa catalog add` writes about a checkpoint.

    `max_tokens` includes special tokens. `mask_id` and `mask_token` are None when tokenizer.json names no mask. `heads`
    are by name: `classifier`, `qa`, `choice`, `mlm`, `lm` and `embed` for plain checkpoints, otherwise the names in
    `heads.json`. `embed` is always there. `causal` means that a token sees only the tokens before it. `ignored` has one
    plain line for each thing in the folder that is not used, as transformers does not use it.
    """

    family: FamilyName
    weights_sha256: str
    config_sha256: str
    n_parameters: int
    max_tokens: int
    vocab_size: int
    pad_id: int
    mask_id: int | None
    mask_token: str | None
    heads: Mapping[str, Head]
    causal: bool = False
    bos_id: int | None = None
    eos_id: int | tuple[int, ...] | None = None
    lang2id: Mapping[str, int] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def checkpoint_facts(folder: Path) -> CheckpointFacts:
    """Return the facts of a checkpoint folder. Raises CheckpointError when we could not serve it."""
    family, config = read_config(folder)
    tensors = stored_tensors(folder, family, config)
    shapes = tensors.shapes
    declared = read_declared(folder)
    found = heads_of(folder, family, config, shapes)
    check_classes(config, found, shapes, is_embedder=bool(module_folders(folder)))
    backbone, of_heads = check_tensors(shapes, family, config, found.values())
    check_finite(folder, tensors.stored(backbone.keys() | of_heads))
    mask_id, mask_token = _mask(folder)
    return CheckpointFacts(
        family=family.FAMILY,
        weights_sha256=weights_sha256(folder),
        config_sha256=config_sha256(folder),
        n_parameters=sum(math.prod(header.shape) for header in tensors.by_stored_name.values()),
        max_tokens=min(filter(None, (family.max_tokens(config), declared.max_tokens, MAX_ROW_TOKENS))),
        vocab_size=family.vocab_size(config),
        pad_id=family.pad_id(config),
        mask_id=mask_id,
        mask_token=mask_token,
        heads=found,
        causal=family.is_causal(config),
        bos_id=first_id(config.bos_token_id),
        eos_id=_one_or_several(listed_ids(config.eos_token_id)),
        lang2id=family.lang2id(config),
        ignored=(*unread_files(folder), *declared.ignored, *unread_lines(shapes, backbone.keys() | of_heads, family)),
    )


def heads_of(folder: Path, family: Family, config: Any, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of a checkpoint by name. `embed` makes its vectors as the folder declares.

    Raises CheckpointError when the folder declares what we do not apply.
    """
    found = family.find_heads(folder, config, shapes)
    if EMBED_HEAD in found:
        found = {**found, EMBED_HEAD: read_declared(folder).of(found[EMBED_HEAD], family.width(config))}
    return dict(found)


def read_config(folder: Path, *, is_known: bool = False) -> tuple[Family, Any]:
    """Return the family and the configuration of a folder. Raises CheckpointError that names what we do not serve.

    `is_known`: its config.json is the one that was read when the model came into the catalog. It is then read without
    transformers, which checks the types of all settings.
    """
    inner = transformer_folder(folder)
    raw = read_json(inner / CONFIG)
    refuse_remote_code(inner)
    family = family_of(raw.get("model_type"))
    return family, family.check_config(raw, is_known=is_known)


def check_tensors(
    shapes: Shapes, family: Family, config: Any, wanted: Iterable[Head]
) -> tuple[dict[str, str], frozenset[str]]:
    """Return the tensors to read: those of the backbone, with and then without prefix, and those of the wanted heads.

    Raises CheckpointError that names tensors which are missing, have the wrong shape, or belong to an adapter. Other
    tensors are not read.
    """
    prefix = prefix_in(shapes, family)
    made = {prefix + name for name in family.computed(config)} - shapes.keys()
    backbone = {prefix + name: shape for name, shape in family.expected_shapes(config).items()}
    backbone = {name: shape for name, shape in backbone.items() if name not in made}
    own: dict[str, tuple[int, ...]] = {}
    for head in wanted:
        own |= family.head_shapes(head, shapes, config)
    expected = backbone | own
    check_merged(shapes)
    if missing := sorted(expected.keys() - shapes.keys()):
        raise CheckpointError(f"checkpoint lacks {named(missing)}")
    if wrong := [name for name in sorted(expected) if shapes[name] != expected[name]]:
        raise CheckpointError(f"tensor {wrong[0]} has shape {shapes[wrong[0]]}, expected {expected[wrong[0]]}")
    return {name: name.removeprefix(prefix) for name in backbone}, frozenset(own)


def _one_or_several(ids: tuple[int, ...]) -> int | tuple[int, ...] | None:
    return (ids[0] if len(ids) == 1 else ids) if ids else None


def _mask(folder: Path) -> tuple[int | None, str | None]:
    """Return id and text of the mask token: that of tokenizer_config.json, among the added tokens of tokenizer.json."""
    inner = transformer_folder(folder)
    path, said = inner / "tokenizer.json", inner / "tokenizer_config.json"
    if not path.is_file():
        return None, None
    named = read_json(said).get("mask_token") if said.is_file() else None
    mask = named.get("content") if isinstance(named, Mapping) else named
    added = read_json(path).get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if token.get("content") == (mask or "<mask>"):
            return int(token["id"]), str(token["content"])
    return None, None
