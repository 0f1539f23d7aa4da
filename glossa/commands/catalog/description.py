"""Turns the facts of a checkpoint folder into those of a catalog entry.

`serve.models.checkpoint_facts` reads them from the configuration and the headers of the tensors, and no weights. Must
not know the catalog file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from functions.tokenizers.tokenizer import Tokenizer
from glossa.commands.catalog.options import STORED, EntryOptions
from glossa.commands.catalog_file import Value
from shared.catalog import Head, Model

if TYPE_CHECKING:
    from serve.models.checkpoint_facts import CheckpointFacts


def choose_heads(found: Mapping[str, Head], options: EntryOptions) -> dict[str, Head]:
    """Return the heads to serve, with one default for each task: the head that `options` names, else the first.

    `options` names heads by their name or by their task. Raises ValueError for a name that is neither.
    """
    known = set(found) | {task for head in found.values() for task in head.tasks}
    if strange := [name for name in (*options.heads, *options.defaults) if name not in known]:
        raise ValueError(f"got head {strange[0]!r}, expected one of {sorted(found)} or their tasks")
    kept = {name: head for name, head in found.items() if not options.heads or {name, *head.tasks} & set(options.heads)}
    first = {head.task: name for name, head in reversed(kept.items())}
    first |= {kept[name].task: name for name in options.defaults if name in kept}
    return {name: head.model_copy(update={"default": first[head.task] == name}) for name, head in kept.items()}


def entry_facts(
    facts: CheckpointFacts, checkpoint: str, tokenizer: Tokenizer, options: EntryOptions
) -> dict[str, Value]:
    """Return what the entry of a checkpoint says, without its heads and its speed."""
    mask = facts.mask_token or tokenizer.mask_token
    found: dict[str, Value | None] = {
        "family": facts.family,
        "checkpoint": checkpoint,
        "weights_sha256": facts.weights_sha256,
        "config_sha256": facts.config_sha256,
        "tokenizer_sha256": tokenizer.fingerprint,
        "size_class": options.size_class,
        **{name: value for name in STORED if (value := getattr(options, name)) != Model.model_fields[name].default},
        "max_tokens": facts.max_tokens,
        "vocab_size": facts.vocab_size,
        "pad_id": facts.pad_id,
        "mask_id": tokenizer.id_of(mask) if mask is not None else None,
        "mask_token": mask,
        "bos_id": facts.bos_id,
        "eos_id": facts.eos_id,
        "causal": facts.causal or None,
        "lang2id": facts.lang2id or None,
        "languages": options.languages,
    }
    return {key: value for key, value in found.items() if value is not None}
