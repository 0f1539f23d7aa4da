"""A request goes to a model that can answer it, in calls it can answer in time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.messages import Route, TextInput, Tokenized, Window
from functions.pipeline.pack_calls import pack_calls
from functions.pipeline.route import route
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from shared.catalog import Catalog, Head
from shared.errors import DeadlineExceeded, NotFound, TooLarge, Unprocessable
from shared.limits import MAX_CALL_TOKENS
from shared.messages import InferCall
from tests.unit.functions.tokenizers.tiny import catalog_model

MODEL = catalog_model(1000)
EMBEDDER = catalog_model(1000, name="embedder", size_class="large", heads={"vectors": {"task": "feature-extraction"}})
CATALOG = Catalog(default_model="embedder", models={"embedder": EMBEDDER, "tiny": MODEL})


def request(task: str = "text-classification", model: str | None = None, **more: float) -> TextRequest:
    """Make a request of one text."""
    parameters = parse_parameters(task, None)
    return TextRequest(task, (TextInput("a"),), parameters, model, **more)  # type: ignore[arg-type]  # deadline_s only


def packed(tokenized: Tokenized, asked: TextRequest | None = None, now_s: float = 0.0) -> tuple[InferCall, ...]:
    """Pack windows for the tiny model."""
    return pack_calls(asked or request(), Route("tiny", "topic", "base"), tokenized, MODEL, now_s=now_s)


def window(n_tokens: int, positions: tuple[int, ...] = (), first_id: int = 0) -> Window:
    """Make a window of consecutive ids."""
    ids = tuple(range(first_id, first_id + n_tokens))
    return Window(0, ids, ((0, 0),) * n_tokens, (False,) * n_tokens, positions)


@pytest.mark.parametrize(
    ("task", "model", "expected"),
    [
        ("feature-extraction", None, Route("embedder", "vectors", "large")),
        ("text-classification", None, Route("tiny", "topic", "base")),
        ("feature-extraction", "tiny", Route("tiny", "embed", "base")),
        ("token-classification", "tiny:entities", Route("tiny", "entities", "base")),
    ],
)
def test_a_request_finds_model_and_head(task: str, model: str | None, expected: Route) -> None:
    """Without a name the default model answers, or the first that can; with one, that model's head for the task."""
    assert route(request(task, model), CATALOG) == expected


@pytest.mark.parametrize(
    ("task", "model", "error", "message"),
    [
        ("fill-mask", "nope", NotFound, r"no model 'nope'; models: \['embedder', 'tiny'\]"),
        ("fill-mask", "tiny:nope", NotFound, "no head 'nope'; heads:"),
        ("fill-mask", "tiny:topic", Unprocessable, "does text-classification, not fill-mask"),
        ("fill-mask", "embedder", Unprocessable, "has no head for fill-mask"),
    ],
)
def test_what_cannot_be_chosen_is_named(task: str, model: str, error: type[Exception], message: str) -> None:
    """Unknown names list the known ones; a head that does something else says what."""
    with pytest.raises(error, match=message):
        route(request(task, model), CATALOG)


def test_a_task_that_no_model_does_is_named() -> None:
    """A catalog without a head for a task refuses the task, not the server."""
    with pytest.raises(Unprocessable, match="no model does fill-mask"):
        route(request("fill-mask"), Catalog(default_model="embedder", models={"embedder": EMBEDDER}))


@given(lengths=st.lists(st.integers(1, 512), max_size=120))
def test_calls_hold_all_windows_in_order(lengths: list[int]) -> None:
    """Every id travels once, in order, at most 16k tokens a call, and each call says its rows."""
    made = [window(n, positions=(n - 1,), first_id=i) for i, n in enumerate(lengths)]
    found = packed(Tokenized(tuple(made), "f" * 64, (False,)))
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
    """However short, rows beyond the replica's bound travel in a further call; a row counts once a continuation."""
    parameters = {"do_sample": True, "num_return_sequences": n_sequences, "max_new_tokens": 1}
    task, head = ("text-classification", "topic") if n_sequences == 1 else ("text-generation", "mlm")
    asked = TextRequest(task, (TextInput("a"),), parse_parameters(task, {} if n_sequences == 1 else parameters))
    tokenized = Tokenized(tuple(window(3) for _ in range(n_rows + 1)), "", (False,))
    found = pack_calls(asked, Route("tiny", head, "base"), tokenized, MODEL, now_s=0.0)
    assert [call.n_rows for call in found] == [n_rows, 1]


def test_calls_whose_tokens_have_many_labels_are_shorter() -> None:
    """Numbers of all tokens of a call stay below what a caller takes back; a window that passes that goes alone."""
    head = Head(task="token-classification", labels=tuple(map(str, range(2000))))
    model = MODEL.model_copy(update={"heads": {"entities": head}})
    tokenized = Tokenized((window(300), window(200), window(200), window(512)), "", (False,))
    asked = request("token-classification")
    found = pack_calls(asked, Route("tiny", "entities", "base"), tokenized, model, now_s=0.0)
    assert [call.n_tokens for call in found] == [500, 200, 512]


def test_a_call_carries_what_the_replica_needs() -> None:
    """Fingerprint, parameters, time left and a hash in the tenant's place travel with the windows."""
    parameters = {"top_k": 3}
    asked = TextRequest(
        "fill-mask",
        (TextInput("a"),),
        parse_parameters("fill-mask", parameters),
        tenant="acme",
        priority="batch",
        deadline_s=30.0,
    )
    tokenized = Tokenized((window(4, (1,)),), "f" * 64, (False,), target_ids=(7, 8))
    [call] = pack_calls(asked, Route("tiny", "mlm", "base"), tokenized, MODEL, now_s=10.0)
    assert (call.model, call.head, call.top_k, call.target_ids) == ("tiny", "mlm", 3, (7, 8))
    assert (call.priority, call.timeout_s, call.fingerprint) == ("batch", 20.0, "f" * 64)
    assert len(call.tenant_hash) == 16
    assert "acme" not in call.tenant_hash


def test_work_that_cannot_be_done_in_time_becomes_a_job() -> None:
    """Past the model's speed the answer is a 413 with the estimate and a job request that is valid JSON."""
    tokenized = Tokenized(tuple(window(500) for _ in range(60)), "", (False,))
    with pytest.raises(
        TooLarge, match=r"got 30000 tokens, about 30 s at 1000 tokens/s, expected at most 24\.0 s"
    ) as caught:
        packed(tokenized, request(deadline_s=140.0), now_s=100.0)
    hint = str(caught.value.hint)
    assert json.loads(hint[hint.index("{") :])["model"] == "tiny:topic"
    assert len(packed(tokenized, request(deadline_s=151.0), now_s=100.0)) == 2
    shard = replace(request(deadline_s=131.0), priority="batch")
    assert len(packed(tokenized, shard, now_s=100.0)) == 2


def test_the_measured_speed_decides_where_it_matters() -> None:
    """A large request asks the server how fast it is; a small one, and a job's, go by the catalog unasked."""
    asked: list[float] = []

    def slow() -> float:
        asked.append(1.0)
        return 100.0

    large, small = (Tokenized(tuple(window(500) for _ in range(n)), "", (False,)) for n in (20, 1))
    chosen, interactive = Route("tiny", "topic", "base"), request(deadline_s=120.0)
    with pytest.raises(TooLarge, match="about 100 s at 100 tokens/s"):
        pack_calls(interactive, chosen, large, MODEL, now_s=0.0, speed=slow)
    assert len(pack_calls(interactive, chosen, large, MODEL, now_s=0.0, speed=lambda: None)) == 1
    assert len(asked) == 1
    assert len(pack_calls(interactive, chosen, small, MODEL, now_s=0.0, speed=slow)) == 1
    assert len(pack_calls(replace(interactive, priority="batch"), chosen, large, MODEL, now_s=0.0, speed=slow)) == 1
    assert len(asked) == 1


def test_a_deadline_that_has_passed_is_said() -> None:
    """No call is made for a request whose time is over."""
    with pytest.raises(DeadlineExceeded, match=r"passed 1\.00 s ago"):
        packed(Tokenized((window(3),), "", (False,)), request(deadline_s=9.0), now_s=10.0)


def test_guesses_are_bounded() -> None:
    """Masks times guesses past the bound are a 413."""
    asked = TextRequest("fill-mask", (TextInput("a"),), parse_parameters("fill-mask", {"top_k": 1000}))
    with pytest.raises(TooLarge, match="got 101 masks that ask for 101000 guesses, at most 100000"):
        packed(Tokenized((window(101, tuple(range(101))),), "", (False,)), asked)


def test_texts_with_guesses_in_them_are_bounded() -> None:
    """Each guess comes with its whole text: many of long texts, which no answer could hold, are a 413."""
    asked = TextRequest("fill-mask", (TextInput("a"),), parse_parameters("fill-mask", {"top_k": 1000}))
    with pytest.raises(TooLarge, match="texts of 5120000 tokens together, at most 5000000"):
        packed(Tokenized((window(512, tuple(range(10))),), "", (False,)), asked)
    few = Tokenized((window(512, tuple(range(10))),), "", (False,), target_ids=(1, 2))
    assert packed(few, asked)


def test_vectors_of_tokens_are_bounded() -> None:
    """A request that asks for a vector for each of too many tokens is a 413; one for each text is not."""
    tokenized = Tokenized(tuple(window(512) for _ in range(17)), "", (False,))
    asked = TextRequest(
        "feature-extraction", (TextInput("a"),), parse_parameters("feature-extraction", {"per_token": True})
    )
    with pytest.raises(TooLarge, match="got 8704 tokens that ask for a vector each, at most 8192"):
        packed(tokenized, asked)
    assert packed(tokenized, replace(asked, parameters=parse_parameters("feature-extraction", None)))


def test_attentions_are_bounded() -> None:
    """A request that asks for the attention of too many pairs of tokens is a 413; one of 128 tokens is not."""
    asked = TextRequest(
        "feature-extraction", (TextInput("a"),), parse_parameters("feature-extraction", {"attentions": True})
    )
    with pytest.raises(TooLarge, match="got 16641 pairs of tokens that ask for attention, at most 16384"):
        packed(Tokenized((window(129),), "", (False,)), asked)
    assert packed(Tokenized((window(128),), "", (False,)), asked)
