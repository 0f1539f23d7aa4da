"""A generating row without a real engine: what its passes read, how it ends, and which prompts are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from serve.rows.generation import Rules, advance, begin
from serve.rows.row import Row, Step, row_of
from serve.rows.row_validation import validate_rows
from shared.catalog import Model
from shared.errors import GlossaError, Unprocessable
from shared.messages import InferCall, Sampling, Tensor

PROMPT = (0, 5, 6)


def _prompt(ids: Sequence[int] = PROMPT, **asked: Any) -> Row:
    sampling = Sampling(**{"max_new_tokens": 4, **asked.pop("sampling", {})})
    return row_of(ids, "lm", sampling=sampling, **asked)


def _passes(rules: Rules, tokens: Sequence[int], row: Row | None = None) -> tuple[list[Row], Any]:
    """Generate these tokens. Return the rows of all passes, and the result of the last one."""
    passes = [begin(row or _prompt(), rules)]
    for token in tokens:
        result = advance(passes[-1], token, None, rules)
        if not isinstance(result, Step):
            return passes, result
        assert result.n_tokens == result.row.n_tokens
        passes.append(result.row)
    return passes, None


def _ids(rows: Sequence[Row]) -> list[list[int]]:
    return [row.input_ids.tolist() for row in rows]


def test_with_a_cache_a_pass_reads_the_new_token_alone() -> None:
    """The first pass reads the prompt. Each later pass reads one token at the next position."""
    passes, _ = _passes(Rules(cache_token_bytes=8), [7, 8])
    assert _ids(passes) == [[0, 5, 6], [7], [8]]
    assert [row.position_ids.tolist() for row in passes if row.position_ids is not None] == [[0, 1, 2], [3], [4]]
    assert [(row.n_cached, row.cache_bytes, row.most_tokens) for row in passes] == [(0, 56, 7), (3, 56, 7), (4, 56, 7)]


def test_without_a_cache_a_pass_reads_all() -> None:
    """A model in which every token sees the new one reads the whole text again. It caches no bytes."""
    passes, _ = _passes(Rules(), [7, 8])
    assert _ids(passes) == [[0, 5, 6], [0, 5, 6, 7], [0, 5, 6, 7, 8]]
    assert {row.cache_bytes for row in passes} == {0}


def test_xlm_reads_at_a_mask_in_one_language() -> None:
    """The mask follows the text in every pass and is never kept. Each token has the row's language."""
    rules = Rules(mask_id=9, lang_id=1)
    passes, _ = _passes(rules, [7, 8])
    assert _ids(passes) == [[0, 5, 6, 9], [0, 5, 6, 7, 9], [0, 5, 6, 7, 8, 9]]
    assert all(row.lang_ids is not None and set(row.lang_ids.tolist()) == {1} for row in passes)
    asked = row_of(PROMPT, "lm", sampling=Sampling(), lang_ids=row_of([2, 2, 2], "lm").input_ids)
    passes, _ = _passes(rules, [7], asked)
    assert [row.lang_ids.tolist() for row in passes if row.lang_ids is not None] == [[2] * 4, [2] * 5]


def test_a_causal_xlm_keeps_the_text_and_not_the_mask() -> None:
    """A pass reads the token that replaced the mask, and a new mask after it."""
    passes, _ = _passes(Rules(mask_id=9, cache_token_bytes=8), [7, 8])
    assert _ids(passes) == [[0, 5, 6, 9], [7, 9], [8, 9]]
    assert [row.n_cached for row in passes] == [0, 3, 4]


@pytest.mark.parametrize(
    ("tokens", "ids"),
    [([7, 2, 8], [7, 2]), ([7, 8, 7, 8, 7], [7, 8, 7, 8]), ([2], [2])],
    ids=["eos", "length", "first"],
)
def test_a_row_ends_with_its_last_token(tokens: list[int], ids: list[int]) -> None:
    """A row ends at the end-of-sequence token, which is part of the answer, or at max_new_tokens."""
    _, output = _passes(Rules(eos_ids=frozenset({2})), tokens)
    assert (output["ids"].tolist(), output["row_lengths"].tolist()) == (ids, [len(ids)])


def test_positions_go_on_from_those_given() -> None:
    """New tokens continue from the last position id of the prompt."""
    asked = row_of(PROMPT, "lm", sampling=Sampling(), position_ids=row_of([2, 3, 4], "lm").input_ids)
    passes, _ = _passes(Rules(cache_token_bytes=8), [7, 8], asked)
    assert [row.position_ids.tolist() for row in passes if row.position_ids is not None] == [[2, 3, 4], [5], [6]]


@pytest.fixture(scope="module")
def generating(model: Model) -> Model:
    """Make a model with a generating head."""
    lm = {"task": "text-generation", "prefix": "lm_head"}
    return Model.model_validate({**model.model_dump(), "eos_id": 2, "heads": {**model.model_dump()["heads"], "lm": lm}})


REFUSED: dict[str, tuple[Row, str]] = {
    "too long": (_prompt(sampling={"max_new_tokens": 30}), "max_new_tokens 30, model toy takes at most 32"),
    "none": (_prompt(sampling={"max_new_tokens": 0}), "got max_new_tokens 0, expected at least 1"),
    "greedy twice": (_prompt(sampling={"num_return_sequences": 2}), "got num_return_sequences 2 without do_sample"),
    "cold": (_prompt(sampling={"do_sample": True, "temperature": 0.0}), "got temperature 0, expected a number above 0"),
    "top_p": (_prompt(sampling={"do_sample": True, "top_p": 1.5}), "got top_p 1.5, expected 0 < top_p <= 1"),
    "top_k": (_prompt(sampling={"do_sample": True, "top_k": -1}), "got top_k -1, expected at least 0"),
    "seed": (_prompt(sampling={"seed": -1}), "got seed -1, expected 0 <= seed"),
    "types": (_prompt(token_type_ids=row_of([0, 0, 0], "lm").input_ids), "generation takes none"),
    "layers": (_prompt(layers=(1,)), "generation answers with tokens alone"),
    "targets": (_prompt(target_ids=(5,)), "got target_ids, a parameter of fill-mask, head lm does text-generation"),
    "places": (_prompt(position_ids=row_of([0, 1, 30], "lm").input_ids), "has places up to 33"),
    "another head": (row_of(PROMPT, "topic", sampling=Sampling()), "head topic does text-classification"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_continued_is_refused(generating: Model, name: str) -> None:
    """A setting out of range is a 422 with value and expectation, and fails only its own row."""
    row, said = REFUSED[name]
    engine = FakeEngine(generating)
    error, fine = engine.forward([row, _prompt()])
    assert isinstance(error, Unprocessable)
    assert said in error.message
    assert isinstance(fine, Step)
    assert engine.begin(row) is row


def test_mixed_languages_are_refused(generating: Model) -> None:
    """A row with two languages is refused."""
    xlm = generating.model_copy(update={"family": "xlm"})
    [error] = validate_rows([_prompt(lang_ids=row_of([0, 0, 1], "lm").input_ids)], xlm, FakeEngine(xlm).backbone_limits)
    assert error is not None
    assert "got lang_ids [0, 1] in one row" in error.message


def _call(prompts: Sequence[Sequence[int]], **sampling: Any) -> InferCall:
    flat = [i for ids in prompts for i in ids]
    return InferCall("toy", "lm", Tensor.ints(flat), Tensor.ints(map(len, prompts)), sampling=Sampling(**sampling))


def test_a_call_without_a_scheduler_loops_until_all_rows_are_done(generating: Model) -> None:
    """`ids` are the new tokens of all rows one after the other. `row_lengths` says which row they belong to."""
    outputs = infer(FakeEngine(generating), _call([[0, 5], [0, 6, 7]], max_new_tokens=5)).outputs
    lengths = list(outputs["row_lengths"].int_values())
    assert len(lengths) == 2
    assert sum(lengths) == outputs["ids"].shape[0]
    assert all(1 <= length <= 5 for length in lengths)


def test_every_sequence_of_a_row_is_its_own(generating: Model) -> None:
    """Three sequences of each of two rows give six results. Those of one row differ, and the first is as if alone."""
    asked = {"max_new_tokens": 6, "do_sample": True, "seed": 3}
    outputs = infer(FakeEngine(generating), _call([[0, 5], [0, 6, 7]], num_return_sequences=3, **asked)).outputs
    lengths = list(outputs["row_lengths"].int_values())
    assert len(lengths) == 6
    alone = infer(FakeEngine(generating), _call([[0, 5]], **asked)).outputs
    assert list(outputs["ids"].int_values())[: lengths[0]] == list(alone["ids"].int_values())


def test_an_error_names_the_row_that_was_asked(generating: Model) -> None:
    """The second prompt is row 1, however many sequences the first one has."""
    call = _call([[0, 5], [0] * 30], max_new_tokens=6, num_return_sequences=3, do_sample=True)
    with pytest.raises(GlossaError, match=r"^row 1: got a prompt of 30 tokens"):
        infer(FakeEngine(generating), call)


def test_a_cache_changes_what_is_read_and_not_the_answer(generating: Model) -> None:
    """The fake engine answers the same with and without a cache, and reads far fewer tokens with it."""
    with_cache, without = FakeEngine(generating, cache_token_bytes=8), FakeEngine(generating)
    call = _call([[0] * 20], max_new_tokens=10)
    assert infer(with_cache, call).outputs == infer(without, call).outputs
    assert with_cache.n_tokens < without.n_tokens
