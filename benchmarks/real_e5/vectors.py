"""Compares our vectors of the real multilingual-e5-small with those of transformers, and the speed of both.

The texts are the committed sentences: two in each of 205 languages, the first as a query and the second as a passage,
as the model wants them, and two of 512 tokens. The reference is BertModel, the mean of its states, and length 1. Both
read the same token ids. Must not know how the checkpoint was made.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
import transformers
from torch import Tensor

from benchmarks import ROOT
from benchmarks.parity.table import Line, within
from serve.engine.bounds import CLOSE_AT_REAL_SIZE, EXACT_AT_REAL_SIZE
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from serve.models.checkpoint_facts import EMBED_HEAD
from shared import messages
from shared.catalog import Model

SAMPLE = ROOT / "tests" / "data" / "sib200" / "sample.tsv"
PROMPTS = ("query: ", "passage: ")
N_LONG = 2
BATCH = 32  # rows of the reference, sorted by length: the default of sentence-transformers
N_PASSES = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a system read all texts, in tokens/s: one figure for each pass."""

    what: str
    tokens_per_s: Sequence[float]

    def __str__(self) -> str:
        """Return the line that people read: the median, and the range."""
        middle, low, high = statistics.median(self.tokens_per_s), min(self.tokens_per_s), max(self.tokens_per_s)
        return f"{self.what}: {middle:,.0f} tokens/s ({low:,.0f}-{high:,.0f}, {len(self.tokens_per_s)} passes)"


def texts() -> list[str]:
    """Return the texts: the sentences of each language, then the long ones. The order is always the same."""
    with SAMPLE.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    seen: dict[str, int] = {}
    found = []
    for row in rows:
        number = seen[row["lang"]] = seen.get(row["lang"], -1) + 1
        found.append(PROMPTS[number % len(PROMPTS)] + row["text"])
    return [*found, *(PROMPTS[1] + " ".join(row["text"] for row in rows[part::N_LONG]) for part in range(N_LONG))]


def compare(folder: Path, model: Model, root: Path) -> Iterator[Line | Speed]:
    """Yield the lines of each dtype, and the speeds. `root` is the catalog's folder, `folder` the checkpoint."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    rows: list[list[int]] = tokenizer(texts(), truncation=True, max_length=model.max_tokens)["input_ids"]
    full = _reference(folder, torch.float32)
    wanted = torch.stack([_vector(full, row) for row in rows])
    for dtype in ("float32", "bfloat16"):
        engine = load_engine(model.model_copy(update={"dtype": dtype}), root, device="cpu")
        call = _call(rows, model)
        ours = _vectors(engine, call)
        yield _judge(dtype, ours, wanted if dtype == "float32" else _of_rounded(full, rows), wanted, len(rows))
        yield _speed(f"Glossa, {dtype}", rows, partial(_vectors, engine, call))
        padded = _padded(folder, getattr(torch, dtype), rows)
        yield _speed(f"transformers, {dtype}, sorted batches of {BATCH}", rows, padded)


def _judge(dtype: str, ours: Tensor, wanted: Tensor, stored: Tensor, n_rows: int) -> Line:
    """Return the line of a dtype. `wanted` is the reference on rounded weights, `stored` that on the weights."""
    largest, least = float((ours - wanted).abs().max()), float(F.cosine_similarity(ours, wanted).min())
    note = f"{n_rows} texts; largest difference {largest:.1e}, least cosine {least:.7f}"
    if dtype == "float32":
        return within("vectors, max|delta|", dtype, largest, EXACT_AT_REAL_SIZE, note)
    distance = float(((ours - wanted).norm(dim=1) / wanted.norm(dim=1)).max())
    note += f"; to float32 on the weights as stored {float(F.cosine_similarity(ours, stored).min()):.7f}"
    return within("vectors, worst |delta|/|vector|", dtype, distance, CLOSE_AT_REAL_SIZE, note)


def _call(rows: Sequence[Sequence[int]], model: Model) -> messages.InferCall:
    """Pack the rows into one call, with the pooling and length that the checkpoint declares."""
    head = model.heads[EMBED_HEAD]
    return messages.InferCall(
        model.name,
        EMBED_HEAD,
        messages.Tensor.ints([token for row in rows for token in row]),
        messages.Tensor.ints(map(len, rows)),
        pooling=head.pooling,
        normalize=head.normalize,
    )


def _vectors(engine: Engine, call: messages.InferCall) -> Tensor:
    """Return our float32 [rows, width]."""
    found = infer(engine, call).outputs["vectors"]
    return torch.tensor(found.float_values()).reshape(found.shape)


def _reference(folder: Path, dtype: torch.dtype) -> Any:
    model: Any = transformers.BertModel.from_pretrained(str(folder), dtype=dtype, add_pooling_layer=False)
    return model.eval()


def _of_rounded(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Round the weights of the reference to bfloat16, and return its float32 vectors [rows, width]."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return torch.stack([_vector(model, row) for row in rows])


@torch.inference_mode()
def _vector(model: Any, row: Sequence[int]) -> Tensor:
    """Return the vector [width] of one row, read alone: the mean of all states, of length 1."""
    ids = torch.tensor([row])
    states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    return F.normalize(states.float().mean(0), dim=0)


def _padded(folder: Path, dtype: torch.dtype, rows: Sequence[Sequence[int]]) -> Callable[[], object]:
    """Return a pass of the reference over all rows as its users batch them: sorted by length, padded."""
    model, ordered = _reference(folder, dtype), sorted(rows, key=len)
    batches = []
    for first in range(0, len(ordered), BATCH):
        own = [torch.tensor(row) for row in ordered[first : first + BATCH]]
        ids = torch.nn.utils.rnn.pad_sequence(own, batch_first=True)
        lengths = torch.tensor([len(row) for row in own])
        batches.append((ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()))

    @torch.inference_mode()
    def one_pass() -> None:
        for ids, mask in batches:
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            F.normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    return one_pass


def _speed(what: str, rows: Sequence[Sequence[int]], one_pass: Callable[[], object]) -> Speed:
    """Time passes over all rows, after one that is not timed."""
    n_tokens, found = sum(map(len, rows)), []
    one_pass()
    for _ in range(N_PASSES):
        started_s = time.perf_counter()
        one_pass()
        found.append(n_tokens / (time.perf_counter() - started_s))
    return Speed(what, found)
