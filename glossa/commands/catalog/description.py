"""Describes a checkpoint folder as an entry of the catalog: the one source of `add` and of `refresh`.

`serve.models.checkpoint_facts` reads the facts from the configuration and the headers of the tensors, and no weights.
The tokenizer is compared with that of transformers. Must not know the catalog file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from functions.tokenizers.tokenizer import Tokenizer
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.catalog_file import Value
from glossa.tokenizer_build.checkpoints import check_rows, checked_tokenizer
from shared.catalog import Head

if TYPE_CHECKING:
    from serve.models.checkpoint_facts import CheckpointFacts


@dataclass(frozen=True, slots=True)
class Description:
    """What a folder says: `entry` are the facts of an entry that its files decide, without its heads."""

    facts: CheckpointFacts
    entry: Mapping[str, Value]


def heads_of(folder: Path) -> Mapping[str, Head]:
    """Return the heads of a folder from its configuration and the headers of its tensors, in no time.

    Raises CheckpointError when the folder cannot be served.
    """
    from serve.models import checkpoint_facts  # noqa: PLC0415 - imports torch
    from serve.models.tensor_names import stored_tensors  # noqa: PLC0415 - imports torch

    family, config = checkpoint_facts.read_config(folder)
    return checkpoint_facts.heads_of(folder, family, config, stored_tensors(folder, family, config).shapes)


def describe(folder: Path) -> Description:
    """Describe a folder. Raises ValueError or CheckpointError when it cannot be served exactly."""
    from serve.models.checkpoint_facts import checkpoint_facts  # noqa: PLC0415 - imports torch

    tokenizer = checked_tokenizer(folder)
    facts = checkpoint_facts(folder)
    check_rows(tokenizer, facts.vocab_size)
    return Description(facts, _entry(facts, tokenizer))


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


def _entry(facts: CheckpointFacts, tokenizer: Tokenizer) -> dict[str, Value]:
    mask = facts.mask_token or tokenizer.mask_token
    found: dict[str, Value | None] = {
        "family": facts.family,
        "weights_sha256": facts.weights_sha256,
        "config_sha256": facts.config_sha256,
        "tokenizer_sha256": tokenizer.fingerprint,
        "max_tokens": facts.max_tokens,
        "vocab_size": facts.vocab_size,
        "pad_id": facts.pad_id,
        "mask_id": tokenizer.id_of(mask) if mask is not None else None,
        "mask_token": mask,
        "bos_id": facts.bos_id,
        "eos_id": facts.eos_id,
        "causal": facts.causal or None,
        "lang2id": facts.lang2id or None,
    }
    return {key: value for key, value in found.items() if value is not None}
