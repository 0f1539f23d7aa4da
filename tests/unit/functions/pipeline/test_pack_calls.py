"""Windows are packed into calls that the replica accepts and that can be answered in time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.http.text_json import parse_request
from functions.messages import Route, TextInput, Tokenized
from functions.pipeline.pack_calls import pack_calls
from functions.pipeline.request_limits import DIVIDED
from functions.pipeline.route import route
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Head, Model
from shared.errors import DeadlineExceeded, TooLarge
from shared.limits import MAX_CALL_TOKENS, MAX_RECORD_BYTES
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.pipeline.packing import MODEL, pack, text_request, window
from tests.unit.functions.task_requests import with_languages


@given(lengths=st.lists(st.integers(1, 512), max_size=120))
def test_calls_hold_all_windows_in_order(lengths: list[int]) -> None:
    """Every id is in one call, in order. A call has at most 16k tokens, and names its rows."""
    made = [window(n, positions=(n - 1,), first_id=i) for i, n in enumerate(lengths)]
    found = pack(Tokenized(tuple(made), "f" * 64, (False,)))
    ids = [token for call in found for token in call.input_ids.int_values()]
    assert ids == [token for one in made for token in one.input_ids]
    assert [n for call in found for n in call.row_lengths.int_values()] == lengths
    assert all(0 < call.n_tokens <= MAX_CALL_TOKENS for call in found)
    for call in found:
        assert call.positions is not None
        assert call.positions_per_row is not None
        ends = [sum(call.row_lengths.int_values()[: i + 1]) - 1 for i in range(call.n_rows)]
        assert call.positions.int_values().tolist() == ends
        assert call.positions_per_row.int_values().tolist() == [1] * call.n_rows


@pytest.mark.parametrize(("n_sequences", "n_rows"), [(1, 1024), (16, 64)])
def test_calls_hold_no_more_rows_than_a_replica_takes(n_sequences: int, n_rows: int) -> None:
    """Rows over the replica's limit go into a further call. A row counts once for each of its generated sequences."""
    parameters = {"do_sample": True, "num_return_sequences": n_sequences, "max_new_tokens": 1}
    task, head = ("text-classification", "topic") if n_sequences == 1 else ("text-generation", "mlm")
    request = TextRequest(task, (TextInput("a"),), parse_parameters(task, {} if n_sequences == 1 else parameters))
    tokenized = Tokenized(tuple(window(3) for _ in range(n_rows + 1)), "", (False,))
    found = pack_calls(request, Route("tiny", head, "base"), tokenized, MODEL, now_s=0.0)
    assert [call.n_rows for call in found] == [n_rows, 1]


def test_calls_whose_tokens_have_many_labels_are_shorter() -> None:
    """The numbers of one answer stay below a limit. A window over that limit is a call of its own."""
    head = Head(task="token-classification", labels=tuple(map(str, range(2000))))
    model = MODEL.model_copy(update={"heads": {"entities": head}})
    tokenized = Tokenized((window(300), window(200), window(200), window(512)), "", (False,))
    request = text_request("token-classification")
    found = pack_calls(request, Route("tiny", "entities", "base"), tokenized, model, now_s=0.0)
    assert [call.n_tokens for call in found] == [500, 200, 512]


def test_a_call_carries_what_the_replica_needs() -> None:
    """A call has fingerprint, parameters and time left. It has a hash in place of the tenant."""
    parameters = {"top_k": 3}
    request = TextRequest(
        "fill-mask",
        (TextInput("a"),),
        parse_parameters("fill-mask", parameters),
        tenant="acme",
        priority="batch",
        deadline_s=30.0,
    )
    tokenized = Tokenized((window(4, (1,)),), "f" * 64, (False,), target_ids=(7, 8))
    [call] = pack_calls(request, Route("tiny", "mlm", "base"), tokenized, MODEL, now_s=10.0)
    assert (call.model, call.head, call.top_k, call.target_ids) == ("tiny", "mlm", 3, (7, 8))
    assert (call.priority, call.timeout_s, call.fingerprint) == ("batch", 20.0, "f" * 64)
    assert len(call.tenant_hash) == 16
    assert "acme" not in call.tenant_hash


def test_work_that_cannot_be_done_in_time_becomes_a_job() -> None:
    """A request too large for the model's speed is a 413 with the estimate and a valid JSON body for a batch job."""
    tokenized = Tokenized(tuple(window(500) for _ in range(60)), "", (False,))
    with pytest.raises(
        TooLarge, match=r"got 30000 tokens, about 30 s at 1000 tokens/s, expected at most 24\.0 s"
    ) as caught:
        pack(tokenized, text_request(deadline_s=140.0), now_s=100.0)
    hint = str(caught.value.hint)
    assert json.loads(hint[hint.index("{") :])["model"] == "tiny:topic"
    assert len(pack(tokenized, text_request(deadline_s=151.0), now_s=100.0)) == 2
    shard = replace(text_request(deadline_s=131.0), priority="batch")
    assert len(pack(tokenized, shard, now_s=100.0)) == 2


@pytest.mark.parametrize(
    ("text", "n_windows", "priority", "offers_a_job"),
    [
        ("a" * (MAX_RECORD_BYTES - 1_000), 60, "interactive", True),
        ("a" * MAX_RECORD_BYTES, 60, "interactive", False),
        ("語" * (MAX_RECORD_BYTES // 3), 60, "interactive", False),
        ('"' * (MAX_RECORD_BYTES // 2), 60, "interactive", False),  # two bytes each in JSON
        ("a", 401, "interactive", False),  # more than 200 s at 1,000 tokens/s
        ("a", 100, "batch", False),
    ],
)
def test_the_hint_offers_a_batch_job_only_for_texts_that_it_takes(
    *, text: str, n_windows: int, priority: Literal["interactive", "batch"], offers_a_job: bool
) -> None:
    """A text over the size of a record, one that takes too long, and a record of a job itself must be divided."""
    tokenized = Tokenized(tuple(window(500) for _ in range(n_windows)), "", (False,))
    request = replace(text_request(deadline_s=120.0), inputs=(TextInput(text),), priority=priority)
    with pytest.raises(TooLarge) as caught:
        pack(tokenized, request, now_s=100.0)
    hint = str(caught.value.hint)
    assert ("{" in hint, hint == DIVIDED) == (offers_a_job, not offers_a_job)
    assert not offers_a_job or len(json.dumps({"text": text}, ensure_ascii=False).encode()) <= MAX_RECORD_BYTES


def test_the_measured_speed_decides_where_it_matters() -> None:
    """A large interactive request uses the server's measured speed. A small one, and a batch one, use the catalog's."""
    measurements: list[float] = []

    def slow() -> float:
        measurements.append(1.0)
        return 100.0

    large, small = (Tokenized(tuple(window(500) for _ in range(n)), "", (False,)) for n in (20, 1))
    chosen, interactive = Route("tiny", "topic", "base"), text_request(deadline_s=120.0)
    with pytest.raises(TooLarge, match="about 100 s at 100 tokens/s"):
        pack_calls(interactive, chosen, large, MODEL, now_s=0.0, speed=slow)
    assert len(pack_calls(interactive, chosen, large, MODEL, now_s=0.0, speed=lambda: None)) == 1
    assert len(measurements) == 1
    assert len(pack_calls(interactive, chosen, small, MODEL, now_s=0.0, speed=slow)) == 1
    assert len(pack_calls(replace(interactive, priority="batch"), chosen, large, MODEL, now_s=0.0, speed=slow)) == 1
    assert len(measurements) == 1


def test_a_deadline_that_has_passed_is_an_error() -> None:
    """A request whose deadline has passed is refused without a call."""
    with pytest.raises(DeadlineExceeded, match=r"passed 1\.00 s ago"):
        pack(Tokenized((window(3),), "", (False,)), text_request(deadline_s=9.0), now_s=10.0)


def test_texts_with_and_without_languages_are_in_different_calls(model: Model, tokenizer: Tokenizer) -> None:
    """All tokens of a call have languages, or none has."""
    xlm = with_languages(model)
    inputs = ["a", {"text": "b", "lang": "en"}, {"text": "c", "lang": "fr"}, "d"]
    request = parse_request("text-classification", valid_body("text-classification", inputs))
    catalog = Catalog(default_model="tiny", models={"tiny": xlm})
    chosen = route(request, catalog)
    made = pack_calls(request, chosen, tokenize(request, xlm, tokenizer), xlm)
    assert [call.n_rows for call in made] == [1, 2, 1]
    assert [call.lang_ids is not None for call in made] == [False, True, False]
