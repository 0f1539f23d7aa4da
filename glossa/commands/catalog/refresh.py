"""`glossa catalog refresh`: takes over the new files of a model, or says how they differ from its entry.

Must not know how the model is served.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option, examples, open_catalog
from glossa.commands.catalog.description import describe
from glossa.commands.catalog.differences import DIGESTS, FACTS, OPTIONAL, Difference, applied, differences
from glossa.commands.catalog.options import speed_options
from glossa.commands.catalog.progress import SILENT, Progress
from glossa.commands.catalog.speed import measure_speed
from glossa.tokenizer_build.checkpoints import folder_of
from shared.catalog import Model

Taken = Literal["folder", "catalog"]


@click.command(
    "refresh",
    help="Take over a model's new files: their digests, and the speed as measured here. Other facts that differ are "
    "shown, and nothing is written until --accept or --keep says whose are right.",
    epilog=examples("glossa catalog refresh mini", "glossa catalog refresh mini --accept"),
)
@catalog_option
@click.argument("name")
@speed_options
@click.option("--accept", "taken", flag_value="folder", help="Write what the folder says now.")
@click.option("--keep", "taken", flag_value="catalog", help="Keep what the catalog says, beside the new digests.")
def refresh_command(
    *, catalog_path: Path, name: str, tokens_per_s: float | None, measure: bool, taken: Taken | None
) -> int:
    """Run the command; return its exit code."""
    progress = Progress(sys.stderr)
    try:
        changed = refresh(catalog_path, name, tokens_per_s, measure=measure, taken=taken, progress=progress)
    finally:
        progress.done()
    print(f"{name}: {', '.join(changed) or 'nothing'} changed")
    if "tokenizer_sha256" in changed:
        print("its tokenizer changed: `make build` packs the new one with the functions", file=sys.stderr)
    return 0


def refresh(
    path: Path,
    name: str,
    tokens_per_s: float | None = None,
    *,
    measure: bool = True,
    taken: Taken | None = None,
    progress: Progress = SILENT,
) -> list[str]:
    """Describe the folder of a model anew, and rewrite its entry; return the names of the facts that changed.

    The speed is `tokens_per_s`, else it is measured on this machine unless `measure` is false. Facts that people choose
    stay: budgets, replicas, languages, default heads. When other facts than digests differ, `taken` says whose are
    right. Raises CheckpointError that names them when nobody has said it, and when the folder cannot be served.
    """
    model = load_model(path, name)
    catalog_file.check_writable(path)
    progress.stage(f"reading {model.checkpoint}")
    folder = folder_of(model.checkpoint, path.parent, asks_hub=True)
    description = describe(folder)
    said = {**description.entry, "checkpoint": model.checkpoint}
    found = catalog_file.parse_entry(name, catalog_file.entry_text(name, said, description.facts.heads))
    check_own_heads_fit(model, found)
    differing = differences(model, found)
    if differing and taken is None:
        raise refusal(name, differing)
    wanted = (applied(model, differing) if taken == "folder" else model).model_copy(
        update={fact: getattr(found, fact) for fact in (*DIGESTS, *_added(model, found))}
    )
    _check_heads(folder, wanted)
    changed = [fact for fact in (*DIGESTS, *FACTS) if getattr(wanted, fact) != getattr(model, fact)]
    facts = {fact: getattr(wanted, fact) for fact in ("weights_sha256", *changed)}
    speed = tokens_per_s or (measure_speed(wanted, path.parent, progress) if measure else None)
    return catalog_file.rewrite(
        path,
        name,
        facts | ({"tokens_per_s": speed} if speed else {}),
        wanted.heads if wanted.heads != model.heads else None,
    )


def load_model(path: Path, name: str) -> Model:
    """Return a model of the catalog. Raises ValueError, or NotFound with the models that there are."""
    return open_catalog(path).model(name)


def refusal(name: str, differing: Sequence[Difference]) -> Exception:
    """Return the error that shows each difference, one a line, and says what to do."""
    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch

    lines = "\n".join(f"  {each}" for each in differing)
    return CheckpointError(
        f"{name}: its folder says otherwise than the catalog, and nothing was written\n{lines}",
        hint=f"to serve what the folder says: glossa catalog refresh {name} --accept; to keep the catalog's: --keep",
    )


def check_own_heads_fit(model: Model, found: Model) -> None:
    """Raise CheckpointError when the weights changed that heads with checkpoints of their own were trained over."""
    own = [name for name, head in model.heads.items() if head.checkpoint]
    if own and model.weights_sha256 != found.weights_sha256:
        from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch

        raise CheckpointError(
            f"the weights of {model.name} have changed, and its heads {own} were trained over the former ones",
            hint=f"glossa head remove {model.name}:{own[0]}, refresh, then train it again: glossa head train",
        )


def _added(model: Model, found: Model) -> list[str]:
    """Return the facts of the folder that an entry of before lacks."""
    lacking = [fact for fact in FACTS if fact in OPTIONAL and getattr(model, fact) is None]
    return [fact for fact in lacking if getattr(found, fact) is not None]


def _check_heads(folder: Path, model: Model) -> None:
    """Raise CheckpointError when the folder lacks the tensors of a head, or has others."""
    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch
    from serve.models.checkpoint_facts import check_tensors, read_config  # noqa: PLC0415 - imports torch
    from serve.models.tensor_names import stored_tensors  # noqa: PLC0415 - imports torch

    try:
        family, config = read_config(folder)
        own = [head for head in model.heads.values() if not head.checkpoint]
        check_tensors(stored_tensors(folder, family, config).shapes, family, config, own)
    except CheckpointError as error:
        raise CheckpointError(f"{model.name} cannot keep its heads: {error.message}", hint=error.hint) from error
