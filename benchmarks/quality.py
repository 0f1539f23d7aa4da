"""Measures what a precision costs in answers: mini's topics and languages in float32, bfloat16 and int8.

    python -m benchmarks.quality --data FOLDER [--quick]

FOLDER has the dev sentences of SIB-200 (sib200/dev/LANGUAGE.tsv: index_id, category, text). They are not part of this
repository. Texts go through the engine in order of length. All precisions answer the same rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from benchmarks import ROOT
from benchmarks.inputs.catalogs import INT8, weight_format
from benchmarks.reporting.report import Report, Row, finish, options, progress, row_of
from serve.engine.load_engine import load_engine
from serve.rows.row import row_of as engine_row_of
from shared.catalog import Model, load_catalog

MODEL = "mini"
FULL = "float32"
PRECISIONS = (FULL, "bfloat16", INT8)
BATCH, QUICK_TEXTS = 64, 10  # texts of a pass; texts of each language with --quick


class Labelled(NamedTuple):
    """A sentence and its right labels, by the name of the head."""

    text: str
    truth: dict[str, str]


def main() -> int:
    """Answer all sentences in each precision, and report how many answers are right."""
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    chosen = parser.parse_args()
    model = load_catalog(ROOT / "catalog.toml").model(MODEL)
    sentences = list(read_sentences(chosen.data / "sib200" / "dev", QUICK_TEXTS if chosen.quick else None))
    encode = Tokenizer.from_file(str(ROOT / model.checkpoint / "tokenizer.json")).encode_batch
    ids = [encoding.ids[: model.max_tokens] for encoding in encode([sentence.text for sentence in sentences])]
    rows: list[Row] = []
    for name in ("topic", "language"):
        known = [i for i, sentence in enumerate(sentences) if sentence.truth[name] in model.heads[name].labels]
        found = {precision: answers(model, precision, name, [ids[i] for i in known]) for precision in PRECISIONS}
        truths = [sentences[i].truth[name] for i in known]
        for precision, given in found.items():
            progress(f"  {name}: {precision}")
            rows.append(row_of(f"mini {precision}", f"{name}: % right", [_share(given, truths)]))
            rows.append(row_of(f"mini {precision}", f"{name}: % as in {FULL}", [_share(given, found[FULL])]))
    report = Report("quality", f"{len(sentences)} sentences of SIB-200 dev", tuple(rows), ())
    return finish([report], as_json=chosen.json)


def read_sentences(folder: Path, most: int | None) -> Iterator[Labelled]:
    """Yield the sentences of every language, at most `most` of each. Raises FileNotFoundError when there are none."""
    paths = sorted(folder.glob("*.tsv"))
    if not paths:
        raise FileNotFoundError(f"got no LANGUAGE.tsv in {folder}, expected SIB-200's")
    for path in paths:
        with path.open(encoding="utf-8", newline="") as opened:
            lines = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))[:most]
        yield from (Labelled(line["text"], {"topic": line["category"], "language": path.stem}) for line in lines)


def answers(model: Model, precision: str, head: str, ids: Sequence[Sequence[int]]) -> list[str]:
    """Return the label that a head gives to each text in a precision."""
    engine = load_engine(model.model_copy(update=weight_format(precision)), ROOT, device="cpu")
    labels = model.heads[head].labels
    found = [""] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        for i, output in zip(batch, engine.forward([engine_row_of(ids[i], head) for i in batch]), strict=True):
            found[i] = labels[_best(output)]
    return found


def _best(output: object) -> int:
    if not isinstance(output, Mapping):
        raise TypeError(f"got {output!r}, expected an answer")
    return int(output["logits"].argmax())


def _share(given: Sequence[str], others: Sequence[str]) -> float:
    return 100 * sum(a == b for a, b in zip(given, others, strict=True)) / len(given)


if __name__ == "__main__":
    raise SystemExit(main())
