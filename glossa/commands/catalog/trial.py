"""`glossa catalog test`: answers a few texts with the reference and with the engine, and prints how far they are apart.

Must not know how a model is served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from functions.tokenizers.tokenizer import Tokenizer
from glossa.commands.arguments import catalog_option, examples, open_catalog
from glossa.commands.catalog.progress import SILENT, Progress
from glossa.commands.catalog.report import speed_of
from glossa.commands.catalog.texts import TEXTS
from glossa.tokenizer_build.checkpoints import folder_of, head_folder_of, tokenizer_of
from glossa.tokenizer_build.reference import reference_of
from serve.checkpoints.folders import transformer_folder
from shared.catalog import Head, Model
from shared.errors import GlossaError

if TYPE_CHECKING:
    from serve.engine.engine import Engine
    from serve.rows.row import Row

TOP_K = 5
MAX_TEXT_TOKENS = 512  # of the longest row, so that the reference is done in a minute
SMALL_WIDTH, SMALL_DEPTH = 512, 8  # below them float32 rounds less


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison. `ok` is None when nothing could be compared."""

    what: str
    said: str
    ok: bool | None

    def __str__(self) -> str:
        """Return the line that people read."""
        return f"{self.what}: {self.said}{'' if self.ok is None else '  PASS' if self.ok else '  FAIL'}"


@click.command(
    "test",
    help="Compare a model's answers with those of transformers, and measure its speed.",
    epilog=examples("glossa catalog test my-model", "glossa catalog test my-model --no-measure"),
)
@catalog_option
@click.argument("name")
@click.option("--no-measure", "measure", flag_value=False, default=True, help="Measure no speed.")
def test_command(*, catalog_path: Path, name: str, measure: bool) -> int:
    """Run the command; return its exit code: 1 when a comparison fails."""
    model = open_catalog(catalog_path).model(name)
    progress = Progress(sys.stderr)
    all_ok = True
    for line in compare(model, catalog_path.parent, measure=measure, progress=progress):
        progress.done()
        print(line, flush=True)
        all_ok &= line.ok is not False
    return 0 if all_ok else 1


def compare(model: Model, root: Path, *, measure: bool = True, progress: Progress = SILENT) -> Iterator[Line]:
    """Yield a line for the tokenizer, one for each head, and the speed.

    `root` is the catalog's folder. Raises ValueError or CheckpointError when the checkpoint is not the catalog's.
    """
    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch

    progress.stage(f"reading {model.checkpoint}")
    folder = folder_of(model.checkpoint, root)
    tokenizer = tokenizer_of(model, root)
    yield _tokens(tokenizer, folder)
    # a head that continues texts is read as one that fills masks: its scores at given places
    heads = {name: _scoring(head) for name, head in model.heads.items()}
    engine = load_engine(model.model_copy(update={"heads": heads}), root)
    for name, head in model.heads.items():
        progress.stage(f"comparing head {name} with transformers")
        own = head_folder_of(head.checkpoint, root) if head.checkpoint else folder
        yield compare_head(engine, own, name, head, tokenizer)
    if measure:
        yield _speed(model, root, progress)


def _tokens(tokenizer: Tokenizer, folder: Path) -> Line:
    reference = reference_of(transformer_folder(folder))
    wrong = [text for text in TEXTS if _ids(tokenizer, text) != list(reference(text, verbose=False)["input_ids"])]
    said = f"{len(TEXTS) - len(wrong)} of {len(TEXTS)} texts have the ids of transformers"
    return Line("tokenizer", said + (f"; not {wrong[0]!a}" if wrong else ""), not wrong)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return [*tokenizer.layout.first, *tokenizer.encode(text).ids, *tokenizer.layout.last]


def _scoring(head: Head) -> Head:
    return head.model_copy(update={"task": "fill-mask"}) if head.task == "text-generation" else head


def compare_head(engine: Engine, folder: Path, name: str, head: Head, tokenizer: Tokenizer) -> Line:
    """Return the line of one head of the checkpoint in `folder`: all numbers of all texts together."""
    import torch  # noqa: PLC0415 - slow

    from glossa.reference.classes import Reference  # noqa: PLC0415 - imports transformers

    what = f"{name} ({head.task})"
    try:
        reference = Reference(engine.model, folder, head)
        pairs = []
        for row in _rows(engine.model, name, head, tokenizer):
            output = engine.forward([row])[0]
            if isinstance(output, GlossaError):
                return Line(what, f"got no answer: {output.message}", ok=False)
            pairs += reference.pairs(row, output)  # type: ignore[arg-type] # a head that scores takes no further step
    except NotImplementedError as error:
        return Line(what, f"not compared: {error}", None)
    ours = torch.cat([mine.float().cpu().flatten() for mine, _ in pairs])
    theirs = torch.cat([their.float().flatten() for _, their in pairs])
    distance, bound = _distance(engine.model, ours, theirs, reference.network.config)
    return Line(what, f"largest difference {distance:.1e}, at most {bound:.1e} expected", distance <= bound)


def _rows(model: Model, name: str, head: Head, tokenizer: Tokenizer) -> Sequence[Row]:
    """Return a row for each text, and a long one."""
    from serve.rows.row import row_of  # noqa: PLC0415 - imports torch

    longest = min(model.max_tokens, model.token_budget, MAX_TEXT_TOKENS)
    texts = [_ids(tokenizer, text) for text in (*TEXTS, " ".join(TEXTS * 4))]
    last = list(tokenizer.layout.last)
    rows = []
    for ids in texts:
        cut = ids if len(ids) <= longest else [*ids[: longest - len(last)], *last]
        asked: dict[str, Any] = {}
        if head.task in {"fill-mask", "text-generation"}:
            place = len(cut) // 2
            if model.mask_id is not None and head.task == "fill-mask":
                cut[place] = model.mask_id
            asked = {"positions": (place,), "top_k": TOP_K}
        if head.task == "feature-extraction":
            asked = {"pooling": head.pooling, "normalize": head.normalize}
        rows.append(row_of(cut, name, **asked))
    return rows


def _distance(model: Model, ours: Any, theirs: Any, config: Any) -> tuple[float, float]:
    """Return the distance and its bound: of the largest difference in float32, else relative to the reference."""
    from serve.engine import bounds  # noqa: PLC0415 - keeps the start of the command line fast

    if not bounds.is_exact(model):
        return float((ours - theirs).norm() / theirs.norm()), bounds.relative_bound(model)
    is_small = config.hidden_size < SMALL_WIDTH and config.num_hidden_layers < SMALL_DEPTH
    exact = bounds.EXACT if is_small else bounds.EXACT_AT_REAL_SIZE
    return float((ours - theirs).abs().max()), exact * max(1.0, float(theirs.abs().max()))


def _speed(model: Model, root: Path, progress: Progress) -> Line:
    from glossa.commands.catalog.speed import measure_speed  # noqa: PLC0415 - imports torch

    found = measure_speed(model, root, progress)
    return Line("speed", f"{found:,.0f} tokens/s here; in the catalog: {speed_of(model)}", None)
