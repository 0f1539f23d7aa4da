"""What the caller of `glossa catalog` chooses, and the options that several of its commands share.

Must not know checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import click

from glossa.commands.arguments import F, TokensPerSecond
from glossa.commands.catalog_file import Value
from shared.catalog import AttnImplementation, Dtype, Model, Quantization, SizeClass

STORED = ("dtype", "quantization", "int8_embeddings", "attn_implementation")  # how weights are stored and computed


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """What the caller chooses for the entry, beside the checkpoint.

    An empty value means: as the checkpoint has it, as measured, or the default. Of `dtype`, `quantization`,
    `int8_embeddings` and `attn_implementation` only values other than the default are written. Without `tokens_per_s`
    the speed is measured, unless `measure` says not to.
    """

    name: str
    heads: Sequence[str] = ()
    defaults: Sequence[str] = ()
    tokens_per_s: float | None = None
    measure: bool = True
    size_class: SizeClass | None = None
    languages: str | None = None
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    int8_embeddings: bool = False
    attn_implementation: AttnImplementation = "auto"

    @property
    def facts(self) -> dict[str, Value]:
        """The facts of an entry that are chosen here."""
        stored = {name: value for name in STORED if (value := getattr(self, name)) != Model.model_fields[name].default}
        said = {"size_class": self.size_class, **stored, "languages": self.languages, "tokens_per_s": self.tokens_per_s}
        return {name: value for name, value in said.items() if value is not None}


def speed_options(command: F) -> F:
    """Add --tokens-per-s and --no-measure."""
    text = "Tokens that one replica answers in a second. Default: measured on this machine."
    command = click.option("--tokens-per-s", type=TokensPerSecond(), metavar="N", help=text)(command)
    text = "Measure no speed."
    return click.option("--no-measure", "measure", flag_value=False, default=True, help=text)(command)


def storage_options(command: F) -> F:
    """Add how weights are stored and computed: --dtype, --quantization and --attn-implementation."""
    for flag, kinds, text in (
        ("--attn-implementation", AttnImplementation, "The attention, by the names of transformers."),
        ("--quantization", Quantization, "What the layers' weights are stored in."),
        ("--dtype", Dtype, "What weights are computed in."),
    ):
        choices = get_args(kinds)
        kind = click.Choice(choices)
        command = click.option(flag, type=kind, default=choices[0], show_default=True, help=text)(command)
    return command
