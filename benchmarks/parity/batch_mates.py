"""Checks mini on real texts: batch mates do not change an answer, and bfloat16 gives the same labels as float32.

Batch mates: every row of 500 random batches is compared with its answer alone. Precisions: the final answers of all
heads to all texts are compared. int8 need not be equal; its bound is what was measured.

Answers with batch mates are not equal bit by bit. The library of matrix products may choose its blocking, and so the
order of a sum, by the number of tokens. So float32 differs in the last bits.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from benchmarks import ROOT
from benchmarks.inputs.catalogs import INT8, weight_format
from benchmarks.parity.table import Line, attempt, skipped, within
from serve.engine.engine import PackedEngine
from serve.engine.load_engine import load_engine
from serve.kernels.cpu.onednn_int8 import int8_lacks
from serve.rows.row import Row, RowOutput, row_of
from shared.catalog import EMBEDS, Head, Model, load_catalog

WORKLOADS = ROOT / "benchmarks" / "workloads"
SAMPLE = ROOT / "tests" / "data" / "sib200" / "sample.tsv"
MODEL = "mini"
N_TEXTS = 2_000
N_POOL = 300  # rows that the random batches are drawn from
N_BATCHES = 500
MAX_BATCH_ROWS = 24
MAX_DELTA: Mapping[str, float] = {"float32": 1e-5, "bfloat16": 5e-3, INT8: 5e-3}
SAME: Mapping[str, float] = {
    "bfloat16": 0.005,
    INT8: 0.03,
}  # the share of final answers that may differ from those of float32
NEAR: Mapping[str, float] = {"bfloat16": 2e-2, INT8: 0.2}  # |delta| of a vector, which is no final answer
BATCH = 64
ENDS = ("start", "end")
FULL = "float32"
NO_ANSWER = (EMBEDS, "multiple-choice")  # of one row: a vector, and a number to compare with that of other rows


def lines(data: Path | None) -> Iterator[Line]:
    """Judge batch mates in every precision, then bfloat16 and int8 against float32."""
    for dtype, bound in MAX_DELTA.items():
        what = f"{MODEL}: {N_BATCHES} random batches, max |delta score|"
        if lacking := _lacks(dtype):
            yield skipped(what, dtype, lacking)
            continue
        yield attempt(what, dtype, partial(_batch_mates, what, dtype, bound))
    texts = tuple(islice(read_texts(data), N_TEXTS))
    answering = {name: head for name, head in model().heads.items() if head.task not in NO_ANSWER}
    for precision in SAME:
        against = f"{precision} to {FULL}"
        what = f"{MODEL}: {len(texts)} texts x {len(answering)} heads, other answers"
        if lacking := _lacks(precision):
            yield skipped(what, against, lacking)
            continue
        yield attempt(what, against, partial(_agreement, what, precision, answering, texts))
        for name in (name for name, head in model().heads.items() if head.task == EMBEDS):
            what = f"{MODEL}:{name}, {len(texts)} vectors, max |delta|/|vector|"
            yield attempt(what, against, partial(_vectors, what, precision, name, texts))


def _lacks(precision: str) -> str:
    return int8_lacks(torch.device("cpu")) if precision == INT8 else ""


def read_texts(data: Path | None) -> Iterator[str]:
    """Yield real texts: those of SIB-200 in 205 languages when `data` has them, else the committed ones."""
    if data is not None and (folder := data / "sib200" / "dev").is_dir():
        files = [list(_column(path, "text")) for path in sorted(folder.glob("*.tsv"))]
        yield from (texts[at] for at in range(max(map(len, files))) for texts in files if at < len(texts))
        return
    yield from _column(SAMPLE, "text")
    for mix in ("sib-mix", "short", "long"):
        with (WORKLOADS / f"{mix}.jsonl").open(encoding="utf-8") as opened:
            yield from (json.loads(line) for line in opened)


@cache
def model() -> Model:
    """Return mini's catalog entry."""
    return load_catalog(ROOT / "catalog.toml").model(MODEL)


def final(head: Head, output: RowOutput) -> Tensor:
    """Return the final answer: labels, the best id of each mask, or the ends of the best span."""
    if head.task == "fill-mask":
        return output["top_ids"][:, 0]
    if head.task == "question-answering":
        return torch.stack([output[end].argmax() for end in ENDS])
    return output["logits"].argmax(-1)


def scores(head: Head, output: RowOutput) -> Tensor:
    """Return the numbers that a caller gets: probabilities, or a vector of length 1."""
    if head.task == EMBEDS:
        return output["vectors"]
    if head.task == "fill-mask":
        return (output["top_logits"] - output["log_sum_exp"][:, None]).exp()
    if head.task == "question-answering":
        return torch.stack([output[end].softmax(-1) for end in ENDS])
    if head.task == "multiple-choice":
        return output["logits"].sigmoid()
    return output["logits"].softmax(-1)


def _batch_mates(what: str, dtype: str, bound: float) -> Line:
    engine = _engine(dtype)
    heads = model().heads
    chance = random.Random(0)
    names = list(heads)
    pool = [_row(names[i % len(names)], ids) for i, ids in enumerate(_ids(tuple(islice(read_texts(None), N_POOL))))]
    alone = [_answers(engine, [row])[0] for row in pool]
    furthest, n_other, n_met = 0.0, 0, 0
    for _ in range(N_BATCHES):
        members = chance.sample(range(len(pool)), chance.randint(2, MAX_BATCH_ROWS))
        for member, output in zip(members, _answers(engine, [pool[m] for m in members]), strict=True):
            head, own = heads[pool[member].head], alone[member]
            n_met += 1
            if head.task not in NO_ANSWER:
                n_other += not torch.equal(final(head, output), final(head, own))
            furthest = max(furthest, float((scores(head, output) - scores(head, own)).abs().max()))
    ok = n_other == 0 and furthest <= bound
    return Line(what, dtype, furthest, bound, ok, f"{n_other} of {n_met} answers have other labels")


def _agreement(what: str, precision: str, heads: Mapping[str, Head], texts: tuple[str, ...]) -> Line:
    """Judge the final answers of all heads to all texts together. The note has the share of each head."""
    others = {name: _differing_texts(precision, name, head, texts) for name, head in heads.items()}
    share = sum(n_texts for n_texts, _ in others.values()) / (len(texts) * len(heads))
    notes = (f"{name} {100 * n_texts / len(texts):.2f} %{said}" for name, (n_texts, said) in others.items())
    return within(what, f"{precision} to {FULL}", share, SAME[precision], ", ".join(notes))


def _differing_texts(precision: str, name: str, head: Head, texts: tuple[str, ...]) -> tuple[int, str]:
    """Return how many texts a head answers differently, and for a tagger a note with the tags that differ."""
    half, full = (_all_answers(each, name, texts) for each in (precision, FULL))
    other = [final(head, a) != final(head, b) for a, b in zip(half, full, strict=True)]
    n_texts = sum(bool(differs.any()) for differs in other)
    if head.task != "token-classification":
        return n_texts, ""
    n_tags = int(sum(differs.sum() for differs in other))
    return n_texts, f" ({n_tags} of {sum(differs.numel() for differs in other)} tags)"


def _vectors(what: str, precision: str, name: str, texts: tuple[str, ...]) -> Line:
    half, full = (_all_answers(each, name, texts) for each in (precision, FULL))
    apart = max(float((a["vectors"] - b["vectors"]).norm()) for a, b in zip(half, full, strict=True))
    return within(what, f"{precision} to {FULL}", apart, NEAR[precision])


@cache
def _all_answers(precision: str, name: str, texts: tuple[str, ...]) -> Sequence[RowOutput]:
    rows = [_row(name, ids) for ids in _ids(texts)]
    order = sorted(range(len(rows)), key=lambda i: rows[i].n_tokens)
    answers: dict[int, RowOutput] = {}
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        answers.update(zip(batch, _answers(_engine(precision), [rows[i] for i in batch]), strict=True))
    return [answers[i] for i in range(len(rows))]


@cache
def _engine(precision: str) -> PackedEngine:
    return load_engine(model().model_copy(update=weight_format(precision)), ROOT, device="cpu")


def _answers(engine: PackedEngine, rows: Sequence[Row]) -> list[RowOutput]:
    outputs: list[RowOutput] = []
    for result in engine.forward(rows):
        if not isinstance(result, Mapping):
            raise TypeError(f"got {result!r}, expected an answer")
        outputs.append(result)
    return outputs


@cache
def _ids(texts: tuple[str, ...]) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(ROOT / model().checkpoint / "tokenizer.json"))
    return [encoding.ids[: model().max_tokens] for encoding in tokenizer.encode_batch(list(texts))]


def _row(name: str, ids: Sequence[int]) -> Row:
    """Return a row of one head. Fill-mask hides the middle token, and vectors are normalized."""
    head, mask_id = model().heads[name], model().mask_id
    if head.task == "fill-mask" and mask_id is not None:
        middle = len(ids) // 2
        return row_of([*ids[:middle], mask_id, *ids[middle + 1 :]], name, positions=(middle,), top_k=5)
    return row_of(ids, name, normalize=True) if head.task == EMBEDS else row_of(ids, name)


def _column(path: Path, name: str) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as rows:
        yield from (row[name] for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))
