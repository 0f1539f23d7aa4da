"""Every family generates what `generate` of `transformers` does, alone and with any batch mates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from serve.engine.engine import PackedEngine
from serve.engine.load_engine import load_engine
from serve.rows.row import Row, Step, row_of
from shared.messages import Sampling
from tests import checkpoints, checkpoints_xlm

VOCAB_SIZE = 60  # small, so that end-of-sequence and pad ids occur
XLM = {"vocab_size": VOCAB_SIZE, "n_langs": 3, "lang_id": 1, "mask_token_id": 5, "max_position_embeddings": 64}
# XLM with an adaptive softmax is missing, because `generate` of the reference raises an error for it
DRAWS: dict[str, Callable[[], PreTrainedModel]] = {
    "xlm-roberta": lambda: checkpoints.draw("XLMRobertaForCausalLM", is_decoder=True, vocab_size=VOCAB_SIZE),
    "xlm-roberta-xl": lambda: checkpoints.draw("XLMRobertaXLForCausalLM", is_decoder=True, vocab_size=VOCAB_SIZE),
    "xlm": lambda: checkpoints_xlm.draw("XLMWithLMHeadModel", **XLM),
    "xlm causal": lambda: checkpoints_xlm.draw("XLMWithLMHeadModel", causal=True, **XLM),
}
ASKED: dict[str, Sampling] = {
    "greedy": Sampling(max_new_tokens=14),
    "usual": Sampling(max_new_tokens=8, do_sample=True, seed=3),
    "filtered": Sampling(max_new_tokens=8, do_sample=True, temperature=0.7, top_k=9, top_p=0.8, seed=4),
    "free": Sampling(max_new_tokens=8, do_sample=True, temperature=1.5, top_k=0, seed=5),
}
Both = tuple[PreTrainedModel, PackedEngine]


@pytest.fixture(scope="module", params=DRAWS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Draw a reference model and load it as an engine."""
    reference = DRAWS[request.param]()
    folder = checkpoints.write(reference, tmp_path_factory.mktemp("generate"))
    return reference, load_engine(checkpoints.catalog_model(folder), folder, device="cpu")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> PackedEngine:
    """Load an engine with a cache. Its vocabulary has no end-of-sequence id."""
    folder = checkpoints.write(DRAWS["xlm-roberta"](), tmp_path_factory.mktemp("decoder"))
    return load_engine(checkpoints.catalog_model(folder, eos_id=VOCAB_SIZE), folder, device="cpu")


def _prompts(seed: int, count: int) -> list[list[int]]:
    chance = random.Random(seed)
    return [[chance.randrange(3, VOCAB_SIZE) for _ in range(chance.randint(1, 20))] for _ in range(count)]


def _run(engine: PackedEngine, rows: Sequence[Row]) -> list[list[int]]:
    """Run passes until all rows are done, each pass with all unfinished rows. Return their new ids."""
    waiting, done = dict(enumerate(rows)), dict[int, list[int]]()
    for _ in range(100):
        results = engine.forward(list(waiting.values()))
        for index, result in zip(tuple(waiting), results, strict=True):
            if isinstance(result, Step):
                waiting[index] = result.row
            else:
                assert isinstance(result, dict), result
                del waiting[index]
                done[index] = result.get("ids", torch.empty(0)).tolist()
        if not waiting:
            break
    return [done[index] for index in range(len(rows))]


def _generate(reference: PreTrainedModel, ids: Sequence[int], asked: Sampling, **given: Any) -> list[int]:
    """Return the new ids of the reference, with its seed set and without its generation defaults."""
    drawn = {"temperature": asked.temperature, "top_k": asked.top_k, "top_p": asked.top_p} if asked.do_sample else {}
    torch.manual_seed(asked.seed)
    out: Any = reference.generate(  # type: ignore[operator] # generating classes have it
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=asked.max_new_tokens,
        do_sample=asked.do_sample,
        **drawn,
        **given,
    )
    return [int(token) for token in out[0, len(ids) :]]


@pytest.mark.parametrize("name", ASKED)
def test_ids_are_those_of_generate(both: Both, name: str) -> None:
    """Twelve prompts in one batch, greedy and sampled with a seed, each give what `generate` gives for it alone."""
    reference, engine = both
    prompts = [*_prompts(1, 12), [7, 1, 8], [9, 2, 1]]  # pad and end-of-sequence ids inside the text
    ours = _run(engine, [row_of(ids, "lm", sampling=ASKED[name]) for ids in prompts])
    assert ours == [_generate(reference, ids, ASKED[name]) for ids in prompts]
    assert len({token for ids in ours for token in ids}) > 3


def test_an_xlm_of_one_language_continues_with_the_mask_of_its_config(tmp_path: Path) -> None:
    """`mask_token_id` counts beside `mask_index`; without a table of languages `lang_id` is not read."""
    facts = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": 64, "mask_index": 5, "mask_token_id": 0, "lang_id": 1}
    reference = checkpoints_xlm.draw("XLMWithLMHeadModel", **facts)
    assert (reference.config.n_langs, reference.config.use_lang_emb) == (1, True)
    folder = checkpoints.write(reference, tmp_path)
    engine = load_engine(checkpoints.catalog_model(folder), folder, device="cpu")
    prompts = _prompts(2, 4)
    ours = _run(engine, [row_of(ids, "lm", sampling=ASKED["greedy"]) for ids in prompts])
    assert ours == [_generate(reference, ids, ASKED["greedy"]) for ids in prompts]


@pytest.mark.parametrize("name", DRAWS)
def test_any_of_several_ids_ends_a_text(name: str, tmp_path: Path) -> None:
    """A checkpoint with several end-of-sequence ids ends at the first of any of them, as `generate` does."""
    reference = DRAWS[name]()
    plain = _generate(reference, [7, 8, 9], ASKED["greedy"])
    ends = [1, next(token for token in plain[2:] if token != 1)]
    reference.config.eos_token_id = ends
    generation: Any = reference.generation_config
    generation.eos_token_id = ends
    checkpoints.write(reference, tmp_path)
    model = checkpoints.catalog_model(tmp_path)
    assert (model.eos_id, model.eos_ids) == (tuple(ends), frozenset(ends))
    prompts = [[7, 8, 9], *_prompts(4, 6)]
    ours = _run(
        load_engine(model, tmp_path, device="cpu"), [row_of(ids, "lm", sampling=ASKED["greedy"]) for ids in prompts]
    )
    assert ours == [_generate(reference, ids, ASKED["greedy"]) for ids in prompts]
    assert any(ids[-1] == ends[1] for ids in ours)


def test_a_rows_own_language_is_continued(tmp_path: Path) -> None:
    """XLM continues in the language of the row, as the reference does with that language in its configuration."""
    reference = DRAWS["xlm"]()
    checkpoints.write(reference, tmp_path)
    engine = load_engine(checkpoints.catalog_model(tmp_path), tmp_path, device="cpu")
    [ids] = _prompts(2, 1)
    found = []
    for lang in (0, 2):
        reference.config.lang_id = lang
        langs = row_of([lang] * len(ids), "lm").input_ids
        found += _run(engine, [row_of(ids, "lm", sampling=ASKED["greedy"], lang_ids=langs)])
        assert found[-1] == _generate(reference, ids, ASKED["greedy"])
    assert found[0] != found[1]


def test_positions_of_the_prompt_are_continued(tmp_path: Path) -> None:
    """A row with position ids of its own continues from them, as `generate` does with the same ids."""
    reference = DRAWS["xlm-roberta"]()
    checkpoints.write(reference, tmp_path)
    engine = load_engine(checkpoints.catalog_model(tmp_path), tmp_path, device="cpu")
    [ids] = _prompts(3, 1)
    places = torch.arange(2, 2 + len(ids))
    row = row_of(ids, "lm", sampling=ASKED["greedy"], position_ids=places.int())
    assert _run(engine, [row]) == [_generate(reference, ids, ASKED["greedy"], position_ids=places[None])]


ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(sorted(ASKED)), st.integers(0, 2), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)  # fmt: skip


def _mixed_run(engine: PackedEngine, asked: Sequence[tuple[Row, int]]) -> list[list[int]]:
    """Let rows join a running batch at different passes, with encoder rows in every pass. Return their new ids."""
    waiting: dict[int, Row] = {}
    done: dict[int, list[int]] = {}
    for number in range(60):
        waiting |= {index: row for index, (row, joins) in enumerate(asked) if joins == number}
        beside = [row_of([3, 4, 5 + number % 50] * (1 + number % 4), "embed") for _ in range(number % 3)]
        results = engine.forward([*beside, *waiting.values()])[len(beside) :]
        for index, result in zip(tuple(waiting), results, strict=True):
            if isinstance(result, Step):
                waiting[index] = result.row
            else:
                assert isinstance(result, dict), result
                del waiting[index]
                done[index] = result["ids"].tolist()
    return [done[index] for index in range(len(asked))]


@settings(max_examples=12, deadline=None)
@given(rows=ROWS)
def test_a_row_is_continued_alike_with_any_batch_mates(both: Both, rows: list[tuple[int, str, int, int]]) -> None:
    """Greedy or sampled with a seed, a row gives the same ids with any batch mates and whenever it joins."""
    _, engine = both
    asked = [
        (row_of(_prompts(seed, 1)[0], "lm", sampling=ASKED[name], sequence=sequence), joins)
        for seed, name, sequence, joins in rows
    ]
    assert _mixed_run(engine, asked) == [_run(engine, [row])[0] for row, _ in asked]


def test_encoder_rows_keep_their_answer_beside_generating_ones(decoder: PackedEngine) -> None:
    """An encoder row gives the same bits alone and beside rows that read from caches."""
    other = row_of([9, 8, 7, 6], "embed")
    [alone] = decoder.forward([other])
    row = row_of([4, 5, 6], "lm", sampling=Sampling(max_new_tokens=6))
    for _ in range(5):
        step, beside = decoder.forward([row, other])
        assert isinstance(step, Step)
        assert isinstance(beside, dict)
        assert isinstance(alone, dict)
        assert torch.allclose(beside["vectors"], alone["vectors"], atol=1e-6)
        row = step.row


def test_a_pass_that_ran_for_nothing_can_run_again(decoder: PackedEngine) -> None:
    """The same row run twice gives the same token, although both passes wrote to one cache."""
    row = row_of([4, 5, 6], "lm", sampling=ASKED["usual"])
    for _ in range(4):
        first, second = decoder.forward([row])[0], decoder.forward([row])[0]
        assert isinstance(first, Step)
        assert isinstance(second, Step)
        assert first.row.state is not None
        assert second.row.state is not None
        assert first.row.state.new_ids == second.row.state.new_ids
        row = second.row


def test_a_cache_holds_what_admission_counted(decoder: PackedEngine) -> None:
    """The tensor of a cache has the size in bytes that the row was admitted with."""
    [step] = decoder.forward([row_of([4, 5, 6], "lm", sampling=ASKED["usual"])])
    assert isinstance(step, Step)
    assert step.row.cache is not None
    assert step.row.cache.stored.nbytes == step.row.cache_bytes == 2 * 2 * 48 * 4 * (3 + 8)


def test_a_fault_in_the_cache_shows(decoder: PackedEngine) -> None:
    """Keys of another position, or off by one position, change the text. The test above can therefore fail."""
    whole = _run(decoder, [row_of([4, 5, 6], "lm", sampling=ASKED["greedy"])])
    [step] = decoder.forward([row_of([4, 5, 6], "lm", sampling=ASKED["greedy"])])
    assert isinstance(step, Step)
    assert step.row.state is not None
    assert step.row.cache is not None
    shifted = replace(step.row, state=replace(step.row.state, n_cached=2))
    assert _run(decoder, [shifted]) != whole
    with torch.inference_mode():
        step.row.cache.stored[:, 0] = step.row.cache.stored[:, 0].roll(1, dims=2)
    assert _run(decoder, [step.row]) != whole
