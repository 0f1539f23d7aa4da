"""`glossa catalog add` and `refresh`: writes what the catalog must know of a checkpoint.

`serve.models.checkpoint_facts` reads the facts from the configuration and the headers of the tensors, and no weights.
The speed is measured with the engine, by the forward pass with which a replica warms up. Must not know how the model is
served.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.commands import catalog_file
from glossa.commands.arguments import F, TokensPerSecond, catalog_option
from glossa.tokenizer_build.checkpoints import artifact_of, check_like_reference, folder_of
from shared.catalog import AttnImplementation, Dtype, Head, Model, Quantization, SizeClass, load_catalog

if TYPE_CHECKING:
    from serve.models.checkpoint_facts import CheckpointFacts

CHECKOUT = Path(__file__).resolve().parents[2]
STORED = ("dtype", "quantization", "int8_embeddings", "attn_implementation")  # how weights are stored and computed


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """What the caller chooses for the entry, beside the checkpoint.

    An empty value means: as the checkpoint has it, as measured, or the default. Of `dtype`, `quantization`,
    `int8_embeddings` and `attn_implementation` only values other than the default are written.
    """

    name: str
    heads: Sequence[str] = ()
    defaults: Sequence[str] = ()
    tokens_per_s: float | None = None
    size_class: SizeClass | None = None
    languages: str | None = None
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    int8_embeddings: bool = False
    attn_implementation: AttnImplementation = "auto"


@click.group("catalog", help="Add a model to the catalog, or take over its new files.")
def catalog_group() -> None:
    """Hold the commands that change the catalog."""


def _speed_option(command: F) -> F:
    text = "Tokens that one replica answers in a second. Default: measured on this machine."
    return click.option("--tokens-per-s", type=TokensPerSecond(), metavar="N", help=text)(command)


def _storage_options(command: F) -> F:
    for flag, kinds, text in (
        ("--attn-implementation", AttnImplementation, "The attention, by the names of transformers."),
        ("--quantization", Quantization, "What the layers' weights are stored in."),
        ("--dtype", Dtype, "What weights are computed in."),
    ):
        choices = get_args(kinds)
        kind = click.Choice(choices)
        command = click.option(flag, type=kind, default=choices[0], show_default=True, help=text)(command)
    return command


@catalog_group.command(
    "add", help="Append a checkpoint to the catalog: a folder, s3://bucket/prefix or hub:name@revision."
)
@catalog_option
@click.argument("checkpoint", metavar="FOLDER")
@click.option("--name", required=True, help="How requests will name it: a-z 0-9 . _ -")
@click.option("--head", "heads", multiple=True, help="Serve only this head or task; repeatable.")
@click.option("--default", "defaults", multiple=True, metavar="HEAD", help="The default head of its task; repeatable.")
@_speed_option
@click.option("--size-class", type=click.Choice(get_args(SizeClass)), help="Default: base.")
@click.option("--lane", type=click.Choice(get_args(SizeClass)), hidden=True)
@click.option("--languages", help="A line for people: what it was trained on.")
@_storage_options
@click.option("--int8-embeddings", is_flag=True, help="Store the rows of the word embeddings in 8 bits.")
def add_command(*, catalog_path: Path, checkpoint: str, lane: SizeClass | None, **given: Any) -> int:
    """Run the command; return its exit code. Its other options are the fields of EntryOptions."""
    options = EntryOptions(**_with_size_class(given, lane))
    print(add(catalog_path, checkpoint, options), end="")
    print(f"{catalog_path} has {options.name} now; {where_served(catalog_path)}", file=sys.stderr)
    return 0


def _with_size_class(given: dict[str, Any], lane: SizeClass | None) -> dict[str, Any]:
    """Take the value of --lane, the old name of --size-class, with a warning."""
    if lane is None:
        return given
    if given["size_class"] is not None:
        raise ValueError("got --lane and --size-class, expected --size-class alone: --lane is its old name")
    print("glossa: --lane is the old name of --size-class", file=sys.stderr)
    return given | {"size_class": lane}


@catalog_group.command(
    "refresh", help="Rewrite a model's sha256 digests from its files, and its tokens_per_s as measured on this machine."
)
@catalog_option
@click.argument("name")
@_speed_option
def refresh_command(*, catalog_path: Path, name: str, tokens_per_s: float | None) -> int:
    """Run the command; return its exit code."""
    changed = refresh(catalog_path, name, tokens_per_s)
    print(f"{name}: {', '.join(changed) or 'nothing'} changed")
    return 0


def where_served(catalog_path: Path) -> str:
    """Return where the models of a catalog can be used. Only the catalog of the checkout is served."""
    if catalog_path.resolve() == CHECKOUT / "catalog.toml":
        return "`make run` serves it on this machine, a deployment serves it on AWS"
    own = CHECKOUT / "catalog.toml"
    return f"`glossa run --catalog {catalog_path}` uses it; the models that are served are those of {own}"


def add(path: Path, reference: str, options: EntryOptions) -> str:
    """Append the entry of a checkpoint to the catalog at `path`, and return the entry.

    Its `tokens_per_s` is the caller's, else it is measured on this machine. Raises ValueError or CheckpointError when
    the checkpoint cannot be served exactly, or when the name is taken.
    """
    from serve.models.checkpoint_facts import checkpoint_facts  # noqa: PLC0415 - imports torch

    remote = reference.startswith(("s3:", "hub:"))
    folder = folder_of(reference, path.parent if remote else Path())
    facts = checkpoint_facts(folder)
    tokenizer = read_tokenizer(artifact_of(folder))
    if tokenizer.vocab_size > facts.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} ids, the model rows for {facts.vocab_size}")
    check_like_reference(tokenizer, folder)
    checkpoint = reference if remote else _relative(folder, path.parent)
    entry_facts, heads = _facts(facts, checkpoint, tokenizer, options), choose_heads(facts.heads, options)
    catalog_file.check_free(path, options.name)
    model = catalog_file.parse_entry(options.name, catalog_file.entry_text(options.name, entry_facts, heads))
    entry_facts["tokens_per_s"] = options.tokens_per_s or _measure_or_hint(model, path.parent)
    entry = catalog_file.entry_text(options.name, entry_facts, heads)
    catalog_file.append(path, options.name, entry)
    return entry


def refresh(path: Path, name: str, tokens_per_s: float | None = None) -> list[str]:
    """Rewrite the digests and the speed of a model; return the names of those that changed.

    The speed is `tokens_per_s`, else it is measured on this machine. Raises CheckpointError when the checkpoint no
    longer fits the entry.
    """
    from serve.checkpoints.verify import config_sha256, weights_sha256  # noqa: PLC0415 - imports torch

    model = load_catalog(path).model(name)
    folder = folder_of(model.checkpoint, path.parent)
    digests = {
        "weights_sha256": weights_sha256(folder),
        "config_sha256": config_sha256(folder),
        "tokenizer_sha256": sha256(artifact_of(folder)).hexdigest(),
    }
    speed = tokens_per_s or measure_speed(model.model_copy(update=digests), path.parent)
    return catalog_file.rewrite(path, name, {**digests, "tokens_per_s": speed})


def measure_speed(model: Model, root: Path) -> float:
    """Return the tokens per second of one replica on this machine, rounded to two digits.

    `root` is the catalog's folder. The engine gets as many threads as a replica would. Raises CheckpointError, or the
    error of a head that does not answer.
    """
    import torch  # noqa: PLC0415 - slow, and only this function needs it

    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch
    from serve.engine.warm_up import warm_up  # noqa: PLC0415 - imports torch

    before = torch.get_num_threads()
    torch.set_num_threads(model.n_threads)
    try:
        return float(f"{warm_up(load_engine(model, root)):.2g}")
    finally:
        torch.set_num_threads(before)


def _measure_or_hint(model: Model, root: Path) -> float:
    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch

    try:
        return measure_speed(model, root)
    except CheckpointError as error:
        hint = "give --tokens-per-s to add a model that this machine cannot run"
        raise CheckpointError(error.message, hint=error.hint or hint) from error


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


def _facts(
    facts: CheckpointFacts, checkpoint: str, tokenizer: Tokenizer, options: EntryOptions
) -> dict[str, catalog_file.Value]:
    mask = facts.mask_token or tokenizer.mask_token
    entry_facts: dict[str, catalog_file.Value | None] = {
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
    return {key: value for key, value in entry_facts.items() if value is not None}


def _relative(folder: Path, root: Path) -> str:
    """Return a folder as the catalog writes it: relative if it lies below the catalog, else absolute."""
    found = os.path.relpath(folder.resolve(), root.resolve())
    return str(folder.resolve()) if found.startswith("..") else Path(found).as_posix()
