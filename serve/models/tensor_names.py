"""Finds the tensors of a checkpoint by the names that `transformers` gives them, however the checkpoint names them.

Tools that train a model wrap it and so add prefixes to the names. A tensor that two layers share may be stored under
either name. All families share this module. It must not know layers or heads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.checkpoints.read import CheckpointError, Header, tensor_headers
from serve.models.checkpoint_heads import Shapes
from serve.models.family import Family
from shared.error_text import count, visible

MAX_NAMED_TENSORS = 5  # tensors that one message names
FLOATS = ("BF16", "F16", "F32", "F64")  # as safetensors names them
# torch.compile, FSDP and activation checkpointing wrap any module of a model
INNER_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# DataParallel, Lightning and plain classes around a model, sentence-transformers
OUTER_WRAPPERS = re.compile(r"^(?:module\.|model\.|(?:0\.)?auto_model\.)+")
# A LayerNorm's weight and bias in checkpoints that came from TensorFlow, at any place in a name as in transformers
OLD_NORMS = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
# Where XLM-RoBERTa, XLM and BERT keep the weight of a decoder that the word embedding is tied to
TIED_DECODERS = ("lm_head.decoder.weight", "pred_layer.proj.weight", "cls.predictions.decoder.weight")
ADAPTED = re.compile(r"(?:^|\.)(?:lora_\w+|ia3_\w+|adapters?|base_layer|modules_to_save|prompt_encoder)(?:\.|$)")
UNMERGED = "merge the adapter before the model is saved: model.merge_and_unload() of peft"


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """The tensors of a checkpoint by their names in `transformers`: what each is, and how the checkpoint names it."""

    headers: Mapping[str, Header]
    stored_names: Mapping[str, str]

    @property
    def shapes(self) -> Shapes:
        """The shape of each tensor."""
        return {name: header.shape for name, header in self.headers.items()}

    @property
    def by_stored_name(self) -> Mapping[str, Header]:
        """What each tensor of the checkpoint is, by its name there."""
        return {self.stored_names[name]: header for name, header in self.headers.items()}

    def stored(self, names: Iterable[str]) -> set[str]:
        """Return the names in the checkpoint. Raises CheckpointError for a tensor that holds no plain numbers."""
        wanted = list(names)
        for name in wanted:
            if (dtype := self.headers[name].dtype) not in FLOATS:
                raise CheckpointError(
                    f"tensor {name} is {dtype}, expected one of {list(FLOATS)}",
                    hint="save the model again in float32 or bfloat16; `--quantization` stores it in fewer bits",
                )
        return {self.stored_names[name] for name in wanted}


def stored_tensors(folder: Path, family: Family, config: Any) -> StoredTensors:
    """Return the tensors of a folder by their names in `transformers`.

    Prefixes of wrappers are passed over, and old names of LayerNorm are those of today. If the word embedding is tied
    to a decoder and only the decoder is stored, it has both names. Raises CheckpointError when two tensors have one
    name, or all have a prefix that nobody knows.
    """
    headers = tensor_headers(folder)
    names: dict[str, str] = {}
    for stored in headers:
        plain = _with_new_norms(OUTER_WRAPPERS.sub("", INNER_WRAPPERS.sub("", stored)))
        if plain in names:
            raise CheckpointError(f"checkpoint holds both {names[plain]} and {stored}, expected one tensor {plain}")
        names[plain] = stored
    _check_prefix(names, family, config)
    words = prefix_in(names, family) + family.WORDS
    decoder = next((name for name in TIED_DECODERS if name in names), None)
    if words not in names and decoder and config.tie_word_embeddings:
        names[words] = names[decoder]
    return StoredTensors({name: headers[stored] for name, stored in names.items()}, names)


def prefix_in(names: Iterable[str], family: Family) -> str:
    """Return the prefix of the backbone's tensors: that of the family, or none."""
    return family.PREFIX if any(name.startswith(family.PREFIX) for name in names) else ""


def check_merged(names: Iterable[str]) -> None:
    """Raise CheckpointError when a checkpoint holds tensors of an adapter beside those of the model."""
    if found := sorted(name for name in names if ADAPTED.search(name)):
        raise CheckpointError(f"checkpoint holds {named(found)}, of an adapter that is not merged", hint=UNMERGED)


def unread_lines(found: Collection[str], read: Collection[str], family: Family) -> tuple[str, ...]:
    """Return one line for each tensor that the model does not read, or for all further ones together.

    Poolers and index buffers are left out, because many checkpoints store them and transformers uses them rarely.
    """
    known = {prefix_in(found, family) + name for name in family.UNUSED} | set(family.UNUSED)
    strange = sorted(name for name in found if name not in read and name not in known)
    lines = [f"tensor {visible(name)}: the model does not read it" for name in strange[:MAX_NAMED_TENSORS]]
    more = len(strange) - len(lines)
    return (
        *lines,
        *([f"{count(more, 'more tensor')}: the model does not read {'it' if more == 1 else 'them'}"] if more else []),
    )


def named(names: Collection[str]) -> str:
    """Return how many tensors there are, with the first of their names."""
    shown = list(names)[:MAX_NAMED_TENSORS]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{count(len(names), 'tensor')}: {', '.join(map(visible, shown))}{more}"


def _with_new_norms(name: str) -> str:
    for old, new in OLD_NORMS:
        name = name.replace(old, new)
    return name


def _check_prefix(names: Collection[str], family: Family, config: Any) -> None:
    """Raise CheckpointError when the backbone is there, but behind a prefix that we do not know."""
    expected = family.expected_shapes(config)
    if any(name in names or family.PREFIX + name in names for name in expected):
        return
    for tensor in expected:
        for name in names:
            if name.endswith(f".{tensor}"):
                prefix = name.removesuffix(tensor)
                raise CheckpointError(
                    f"the backbone's tensors lie behind {prefix!r} ({name}), expected {family.PREFIX!r} or nothing",
                    hint=f"save the file again without {prefix.removesuffix(family.PREFIX)!r} in the names",
                )
