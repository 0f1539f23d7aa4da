"""Texts of 8,192 tokens on a model with 8,194 positions: one window, bounded memory, and others meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

from functions.http.text_json import parse_request
from functions.pipeline.pipeline import Pipeline
from functions.tokenizers.load import load_tokenizer
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from serve.layers.attention import MAX_BLOCK_SCORES
from serve.models.checkpoint_facts import checkpoint_facts
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult, row_of
from serve.scheduling.pending_calls import PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Catalog, Model
from shared.messages import InferCall, ModelOutput
from tests.checkpoints import catalog_model, draw, draw_ids, write
from tests.data import N_PIECES, XLMR_TOKENIZER
from tests.judge import EXACT
from tests.unit.serve.engine.engines import LIMIT_S

WINDOW_TOKENS = 8192
KIND = "XLMRobertaForSequenceClassification"
SIZES = {"max_position_embeddings": WINDOW_TOKENS + 2, "num_attention_heads": 2, "hidden_size": 24}
WORD = "de"  # one piece


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that an operator makes."""

    n_numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and measure what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.n_numbers = max(self.n_numbers, tensor.numel())
        return made


class GatedEngine:
    """A real engine that waits for `gate` before a pass that others may interrupt. It notes the rows of each pass."""

    n_parallel = 1

    def __init__(self, model: Model, folder: Path) -> None:
        self.inner = load_engine(model, folder, device="cpu")
        self.model, self.backbone_limits, self.begin = model, self.inner.backbone_limits, self.inner.begin
        self.began, self.gate = threading.Event(), threading.Event()
        self.passes: list[list[int]] = []

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the engine does."""
        self.passes.append([row.n_tokens for row in rows])
        if between is not None:
            self.began.set()
            assert self.gate.wait(LIMIT_S)
        return self.inner.forward(rows, between)


def test_8190_words_of_one_piece_are_one_window_and_one_pass(tmp_path: Path) -> None:
    """The answer is that of the reference to the whole text, from one call of one row."""
    torch.set_num_threads(1)
    reference = draw(KIND, vocab_size=N_PIECES, num_hidden_layers=1, bos_token_id=0, eos_token_id=2, **SIZES)
    write(reference, tmp_path)
    tokenizer = load_tokenizer(XLMR_TOKENIZER / "tokenizer.json")
    model = catalog_model(tmp_path, tokenizer_sha256=tokenizer.fingerprint, tokens_per_s=1e9)
    engine, calls = load_engine(model, tmp_path, device="cpu"), []

    def infer_calls(asked: Sequence[InferCall]) -> list[ModelOutput]:
        calls.extend(asked)
        return [infer(engine, call) for call in asked]

    pipeline = Pipeline(Catalog(default_model="toy", models={"toy": model}), {"toy": tokenizer})
    text = " ".join([WORD] * (WINDOW_TOKENS - 2))
    body = {"inputs": [text], "parameters": {"top_k": None}}
    [found] = pipeline.run(parse_request("text-classification", body), infer_calls).values
    assert [list(call.row_lengths.int_values()) for call in calls] == [[WINDOW_TOKENS]]
    ids = transformers.AutoTokenizer.from_pretrained(XLMR_TOKENIZER)(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = reference(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].softmax(-1)
    named: Any = {entry["label"]: entry["score"] for entry in found}  # type: ignore[union-attr, index] # a list of labels with scores
    assert named == pytest.approx(dict(zip(model.heads["classifier"].labels, scores.tolist(), strict=True)), abs=EXACT)


def test_short_rows_are_answered_while_a_window_longer_than_the_budget_runs(tmp_path: Path) -> None:
    """The long row is one pass of its own. Fifty short rows that came after it are answered before it."""
    torch.set_num_threads(1)
    write(draw(KIND, **SIZES), tmp_path)
    engine = GatedEngine(catalog_model(tmp_path), tmp_path)
    model = engine.model
    scheduler = Scheduler[PendingRow](
        token_budget=model.token_budget, max_backlog_tokens=model.max_backlog_tokens, max_batch_ms=None
    )
    runner = Runner(engine, scheduler, row_of([0], "classifier"))
    options: dict[str, Any] = {"deadline_s": 1e9, "priority": "interactive", "tenant": "t"}
    long_ids, *short_ids = draw_ids([WINDOW_TOKENS, *[9] * 50])
    answered: list[int] = []

    def submit(ids: list[int]) -> Any:
        future = runner.submit([row_of(ids, "classifier")], **options).future
        future.add_done_callback(lambda _: answered.append(len(ids)))
        return future

    futures = [submit(long_ids)]
    assert engine.began.wait(LIMIT_S)
    futures += [submit(ids) for ids in short_ids]
    engine.gate.set()
    found: list[Any] = [future.result(LIMIT_S).results[0] for future in futures]
    assert runner.drain(LIMIT_S)
    assert model.token_budget < WINDOW_TOKENS
    assert engine.passes == [[WINDOW_TOKENS], [9] * 50]
    assert answered == [9] * 50 + [WINDOW_TOKENS]
    alone: Any = engine.inner.forward([row_of(long_ids, "classifier")])[0]
    assert torch.equal(found[0]["logits"], alone["logits"])


@pytest.mark.parametrize(("dtype", "attention"), [("float32", "auto"), ("bfloat16", "auto"), ("float32", "eager")])
def test_memory_grows_with_the_length_and_not_with_its_square(dtype: str, attention: str, tmp_path: Path) -> None:
    """No tensor of a pass has more numbers than a block of scores, however a machine attends."""
    torch.set_num_threads(1)
    write(draw(KIND, num_hidden_layers=1, **SIZES), tmp_path)
    engine = load_engine(catalog_model(tmp_path, dtype=dtype, attn_implementation=attention), tmp_path, device="cpu")
    row = row_of(draw_ids([WINDOW_TOKENS])[0], "classifier")
    with LargestTensor() as largest:
        [answer] = engine.forward([row])
    assert isinstance(answer, dict)
    assert 0 < largest.n_numbers <= MAX_BLOCK_SCORES < WINDOW_TOKENS**2


def test_a_model_with_more_positions_is_read_in_windows_of_as_many_tokens(tmp_path: Path) -> None:
    """A BERT of 8,194 positions could take two tokens more than a row may have."""
    write(draw("BertModel", max_position_embeddings=WINDOW_TOKENS + 2), tmp_path)
    assert checkpoint_facts(tmp_path).max_tokens == WINDOW_TOKENS
    assert catalog_model(tmp_path).max_tokens == WINDOW_TOKENS
