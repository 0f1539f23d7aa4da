"""The tasks of many texts: how the desks read them, and the answers they make of known tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from functions.http.text_json import parse_request
from functions.messages import Result, Tokenized
from functions.pipeline.pack_calls import pack_calls
from functions.pipeline.pipeline import Pipeline
from functions.pipeline.route import route
from functions.pipeline.tokenize import tokenize
from functions.tasks.postprocessing.answer_spans import best_spans
from functions.tasks.registry import TASK_NAMES
from functions.tokenizers.tokenizer import Tokenizer
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from shared.catalog import Catalog, Model
from shared.errors import NotFound, TooLarge, Unprocessable
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.http.bodies import good
from tests.unit.functions.tokenizers import tiny

LONG = " ".join(tiny.SENTENCES)
HYPOTHESES = {"candidate_labels": ["weather", "human rights", "sports and other games"]}
Numbers = Callable[[Sequence[int]], Mapping[str, list[float]]]


def read(model: Model, tokenizer: Tokenizer, task: str, inputs: Any = None, **parameters: Any) -> Tokenized:
    """Tokenize one request."""
    request = parse_request(task, good(task, inputs, **parameters))
    tokenized = tokenize(request, model, tokenizer)
    if tokenized.errors:
        raise tokenized.errors[min(tokenized.errors)]
    return tokenized


def ask(model: Model, tokenizer: Tokenizer, body: Mapping[str, Any], task: str, infer_calls: Any) -> Result:
    """Send one request through the desks."""
    pipeline = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})
    return pipeline.run(parse_request(task, body), infer_calls)


def of_rows(numbers: Numbers) -> Callable[[Sequence[InferCall]], list[ModelOutput]]:
    """Answer each row with tensors [1, n] made of its ids."""
    return lambda asked: [_answered(call, numbers) for call in asked]


def _answered(call: InferCall, numbers: Numbers) -> ModelOutput:
    ids, found, start = call.input_ids.int_values().tolist(), [], 0
    for length in call.row_lengths.int_values().tolist():
        found.append(numbers(ids[start : start + length]))
        start += length
    joined = {name: [x for row in found for x in row[name]] for name in found[0]}
    shape = {name: (len(found), len(found[0][name])) for name in joined}
    return ModelOutput({name: Tensor.floats(values, shape[name]) for name, values in joined.items()})


def xlm(model: Model) -> Model:
    """Return the same model as one of XLM's that reads two languages."""
    return model.model_copy(update={"family": "xlm", "lang2id": {"en": 4, "fr": 7}})


# How inputs are read


def test_labels_are_read_at_the_same_places(model: Model, tokenizer: Tokenizer) -> None:
    """A long text is cut alike for each label, each hypothesis stands whole in each window, and nothing is left."""
    found = read(model, tokenizer, "zero-shot-classification", LONG, **HYPOTHESES)
    parts = [[window for window in found.windows if window.part == part] for part in range(3)]
    assert len({tuple(window.start for window in part) for part in parts}) == 1
    for part, label in zip(parts, HYPOTHESES["candidate_labels"], strict=True):
        hypothesis = tokenizer.encode(f"This example is {label}.").ids
        for window in part:
            second = [token for token, side in zip(window.input_ids, window.sequence_ids, strict=True) if side == 1]
            assert tuple(second) == hypothesis
            assert len(window.input_ids) <= model.max_tokens
        first = [t for w in part for t, side in zip(w.input_ids, w.sequence_ids, strict=True) if side == 0]
        assert tuple(first) == tokenizer.encode(LONG).ids
    assert found.truncated == (False,)


def test_a_pair_says_which_text_each_token_is_of(model: Model, tokenizer: Tokenizer) -> None:
    """Special tokens are of neither; word starts stand beside the tokens."""
    [window] = read(model, tokenizer, "question-answering").windows
    assert set(window.sequence_ids) == {-1, 0, 1}
    assert [side == -1 for side in window.sequence_ids] == list(window.special)
    assert len(window.word_starts) == len(window.input_ids)
    assert window.word_starts[window.sequence_ids.index(1)]
    assert window.token_type_ids is None


def test_languages_stand_beside_the_tokens(model: Model, tokenizer: Tokenizer) -> None:
    """Each text has its language's id, special tokens that of the text before them; positions start again if asked."""
    pair = {"text": "a b", "text_pair": "c d", "lang": ["en", "fr"]}
    [window] = read(xlm(model), tokenizer, "text-classification", pair, position_reset=True).windows
    border = window.sequence_ids.index(1)
    assert window.lang_ids == (4,) * border + (7,) * (len(window.input_ids) - border)
    assert window.position_ids == (*range(border), *range(len(window.input_ids) - border))
    [window] = read(xlm(model), tokenizer, "text-classification", pair | {"lang": "fr"}).windows
    assert window.lang_ids == (7,) * len(window.input_ids)
    assert window.position_ids is None


def test_texts_with_and_without_languages_travel_apart(model: Model, tokenizer: Tokenizer) -> None:
    """A call has languages for all its tokens or for none."""
    named = xlm(model)
    inputs = ["a", {"text": "b", "lang": "en"}, {"text": "c", "lang": "fr"}, "d"]
    request = parse_request("text-classification", good("text-classification", inputs))
    catalog = Catalog(default_model="tiny", models={"tiny": named})
    chosen = route(request, catalog)
    made = pack_calls(request, chosen, tokenize(request, named, tokenizer), named)
    assert [call.n_rows for call in made] == [1, 2, 1]
    assert [call.lang_ids is not None for call in made] == [False, True, False]


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "message"),
    [
        ("text-classification", {"text": "a", "lang": "xx"}, {}, r"inputs\[0\].lang: got 'xx', expected one of en, fr"),
        ("text-generation", {"text": "a", "lang": "EN"}, {}, "got 'EN', expected one of en, fr"),
        (
            "multiple-choice",
            {"prompt": "a", "choices": [LONG]},
            {},
            "got a pair of . and .* expected at most 60 together",
        ),
        ("rerank", {"query": LONG, "documents": ["a"]}, {}, "expected at most 60 together, or 30 in the first text"),
        ("question-answering", {"question": LONG, "context": "a"}, {}, "or 30 in the first text"),
        ("question-answering", {"question": "a", "context": LONG}, {"doc_stride": 60}, "got a stride of 60 tokens"),
        ("zero-shot-classification", LONG, {"candidate_labels": ["rights " * 30]}, "at most 30 in the second text"),
        ("text-generation", LONG, {}, r"inputs\[0\]: got \d+ tokens, expected at most 42"),
        ("text-generation", "a", {"max_new_tokens": 64}, "max_new_tokens: got 64, expected less than the 64 tokens"),
        ("fill-mask", {"text": "a <mask>", "text_pair": LONG}, {}, "expected at most 60 together"),
    ],
)
def test_what_does_not_fit_is_named(
    model: Model, tokenizer: Tokenizer, task: str, inputs: Any, parameters: dict[str, Any], message: str
) -> None:
    """No text is cut in silence: what no window can hold is refused with its size and the most that would do."""
    with pytest.raises((TooLarge, Unprocessable), match=message):
        read(xlm(model), tokenizer, task, inputs, **parameters)


def test_languages_are_for_models_that_read_them(model: Model, tokenizer: Tokenizer) -> None:
    """A model of all languages alike takes no `lang`, and no positions that start again."""
    with pytest.raises(
        Unprocessable, match=r"inputs\[0\].lang: got 'en', expected none: model tiny reads no languages"
    ):
        read(model, tokenizer, "text-classification", {"text": "a", "lang": "en"})
    with pytest.raises(
        Unprocessable, match="position_reset: got true, expected false: model tiny is of family xlm-rob"
    ):
        read(model, tokenizer, "text-classification", {"text": "a", "text_pair": "b"}, position_reset=True)


def test_truncation_keeps_what_the_task_needs(model: Model, tokenizer: Tokenizer) -> None:
    """A choice keeps its beginning, a prompt its end, and both say that something was cut."""
    found = read(model, tokenizer, "multiple-choice", {"prompt": "a", "choices": ["b", LONG]}, truncation=True)
    assert [len(window.input_ids) for window in found.windows][1] == model.max_tokens
    assert found.truncated == (True,)
    found = read(model, tokenizer, "text-generation", LONG, truncation=True, max_new_tokens=10)
    [window] = found.windows
    assert window.input_ids == (0, *tokenizer.encode(LONG).ids[-52:], 2)
    assert found.truncated == (True,)


def test_windows_that_share_nearly_all_are_not_made(model: Model, tokenizer: Tokenizer) -> None:
    """A stride that would read a long context thousands of times is refused before it is."""
    large = model.model_copy(update={"max_tokens": 4096})
    inputs = {"question": "a", "context": "a " * 40_000}
    with pytest.raises(TooLarge, match=r"inputs\[0\]: got \d+ tokens to read for it, at most 2000000"):
        read(large, tokenizer, "question-answering", inputs, doc_stride=375)


# Who may be asked


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_task_without_its_head_is_refused(task: str, model: Model) -> None:
    """A model that cannot do a task, a head that does another, and a head nobody has are each named."""
    able = {name: head for name, head in model.heads.items() if task not in head.tasks}
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": able})})
    for name, error, message in [
        ("tiny", Unprocessable, f"model tiny has no head for {task}; its tasks"),
        (f"tiny:{next(iter(able))}", Unprocessable, f"not {task}; no head of the model does"),
        ("tiny:nope", NotFound, "has no head 'nope'"),
        ("none", NotFound, "no model 'none'"),
    ]:
        with pytest.raises(error, match=message):
            route(parse_request(task, good(task) | {"model": name}), catalog)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("zero-shot-classification", "head tiny:topic has labels .*, expected one that begins with entail"),
        ("rerank", "head tiny:topic has 5 labels, expected a head of one label to rank by"),
    ],
)
def test_a_head_must_suit_its_task(task: str, message: str, model: Model) -> None:
    """A head that the catalog lends to a task it cannot serve is refused by what it lacks."""
    lent = model.heads["topic"].model_copy(update={"also": (task,)})
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": {"topic": lent}})})
    with pytest.raises(Unprocessable, match=message):
        route(parse_request(task, good(task)), catalog)


def test_new_tokens_are_bounded(model: Model, tokenizer: Tokenizer) -> None:
    """A request may ask for so many new tokens in all, and no more than there is time for."""
    body = good("text-generation", ["a"] * 300, max_new_tokens=16, do_sample=True, num_return_sequences=16)
    with pytest.raises(TooLarge, match="got 300 prompts that ask for up to 76800 new tokens, at most 65536"):
        ask(model, tokenizer, body, "text-generation", None)


# Answers


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_answers_through_an_engine(task: str, model: Model, tokenizer: Tokenizer) -> None:
    """One value per input, whatever the engine's numbers are."""
    engine = FakeEngine(model)
    result = ask(model, tokenizer, good(task), task, lambda made: [infer(engine, call) for call in made])
    assert len(result.values) == 1


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [["weather", "human rights", "sports"], ["weather"]])
def test_zero_shot_is_the_pipelines(
    tiny_folder: Path, model: Model, tokenizer: Tokenizer, labels: list[str], *, multi_label: bool
) -> None:
    """Sequence, labels, their order and scores are those of transformers' pipeline."""
    network = tiny.write_checkpoint(tiny_folder, "sequence", tiny.NLI)
    reference = transformers.pipeline(
        "zero-shot-classification", model=network, tokenizer=str(tiny_folder), device="cpu"
    )
    texts = ["All human beings are born free.", "東京は晴れ。"]
    parameters = {"candidate_labels": labels, "multi_label": multi_label, "hypothesis_template": "About {}!"}
    ours = ask(
        model,
        tokenizer,
        good("zero-shot-classification", texts, **parameters),
        "zero-shot-classification",
        tiny.reference_infer(network),
    )
    for mine, theirs in zip(ours.values, [reference(text, **parameters) for text in texts], strict=True):
        assert isinstance(mine, dict)
        assert (mine["sequence"], mine["labels"]) == (theirs["sequence"], theirs["labels"])
        assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


def test_windows_of_a_label_weigh_their_tokens(model: Model, tokenizer: Tokenizer) -> None:
    """Scores of a long text are the windows' softmax over the labels, averaged by the tokens of the text in each."""

    def numbers(ids: Sequence[int]) -> Mapping[str, list[float]]:
        return {"logits": [0.0, 1.0, math.sin(sum(ids)) * 3]}

    task = "zero-shot-classification"
    [value] = ask(model, tokenizer, good(task, LONG, **HYPOTHESES), task, of_rows(numbers)).values
    assert isinstance(value, dict)
    found = read(model, tokenizer, task, LONG, **HYPOTHESES)
    expected, n_tokens = np.zeros(3), 0
    firsts = [window for window in found.windows if window.part == 0]
    for window in firsts:
        same = [other for other in found.windows if other.start == window.start]
        raised = np.exp([np.float32(math.sin(sum(other.input_ids)) * 3) for other in same])
        expected += raised / raised.sum() * window.sequence_ids.count(0)
        n_tokens += window.sequence_ids.count(0)
    scores = dict(zip(value["labels"], value["scores"], strict=True))
    assert [scores[label] for label in HYPOTHESES["candidate_labels"]] == pytest.approx(expected / n_tokens, abs=1e-6)


def test_choices_share_the_probability(model: Model, tokenizer: Tokenizer) -> None:
    """Choices come best first with the softmax over their logits."""
    logits = {len(tokenizer.encode(text).ids): score for text, score in [("b", 1.0), ("b c d e", 3.0), ("b c", 2.0)]}
    n_rest = len(tokenizer.encode("a").ids) + 4
    body = {"inputs": {"prompt": "a", "choices": ["b", "b c d e", "b c"]}}
    [value] = ask(
        model, tokenizer, body, "multiple-choice", of_rows(lambda ids: {"logits": [logits[len(ids) - n_rest]]})
    ).values
    assert isinstance(value, list)
    assert [(each["index"], each["choice"]) for each in value] == [(1, "b c d e"), (2, "b c"), (0, "b")]
    assert [each["score"] for each in value] == pytest.approx(torch.tensor([3.0, 2.0, 1.0]).softmax(0).tolist())


def test_documents_rank_by_their_best_window(model: Model, tokenizer: Tokenizer) -> None:
    """The most telling window of a long document counts; scores are sigmoids, or logits when asked."""
    special = tokenizer.encode("Menschen").ids[0]
    body = {"inputs": {"query": "a", "documents": ["b", LONG + " Menschen", "c"]}}
    numbers: Numbers = lambda ids: {"logits": [2.0 if special in ids else -1.0 - ids[5] / 1e5]}  # noqa: E731 - a table of one
    [value] = ask(model, tokenizer, body, "rerank", of_rows(numbers)).values
    assert isinstance(value, list)
    assert value[0] == {"index": 1, "score": pytest.approx(1 / (1 + math.exp(-2)))}
    assert len(value) == 3
    asked = body | {"parameters": {"top_n": 1, "return_documents": True, "function_to_apply": "none"}}
    [best] = ask(model, tokenizer, asked, "rerank", of_rows(numbers)).values
    assert best == [{"index": 1, "score": 2.0, "document": LONG + " Menschen"}]


def test_similarity_is_the_cosine(model: Model, tokenizer: Tokenizer) -> None:
    """A sentence is as near to itself as can be, to others as their vectors' cosine says, in the order given."""

    def numbers(ids: Sequence[int]) -> Mapping[str, list[float]]:
        return {"vectors": [1.0, float(len(ids)), float(ids[1] % 7)]}

    body = {"inputs": {"source_sentence": "a", "sentences": ["a", "b c d"]}}
    [value] = ask(model, tokenizer, body, "sentence-similarity", of_rows(numbers)).values
    one, other = (np.array(numbers((0, *tokenizer.encode(text).ids, 2))["vectors"]) for text in ("a", "b c d"))
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert value == pytest.approx([1.0, cosine], abs=1e-6)


@pytest.mark.parametrize("full", [True, False])
def test_continuations_stand_after_their_prompt(model: Model, tokenizer: Tokenizer, *, full: bool) -> None:
    """Each sequence of each prompt is decoded by itself, without special tokens, after the prompt or alone."""
    new = [tokenizer.encode(text).ids for text in ("free and equal", "born", "in dignity", "and rights")]
    ids = [token for i, one in enumerate(new) for token in (*one, *((2,) if i % 2 else ()))]
    lengths = [len(one) + i % 2 for i, one in enumerate(new)]
    inferred = ModelOutput({"ids": Tensor.ints(ids), "row_lengths": Tensor.ints(lengths)})
    asked = good("text-generation", ["a ", "b"], do_sample=True, num_return_sequences=2, return_full_text=full)
    values = ask(model, tokenizer, asked, "text-generation", lambda _: [inferred]).values
    texts = [[tokenizer.decode(one) for one in new[:2]], [tokenizer.decode(one) for one in new[2:]]]
    befores = ("a ", "b") if full else ("", "")
    assert list(values) == [
        [{"generated_text": before + text} for text in found] for before, found in zip(befores, texts, strict=True)
    ]


def test_the_best_spans_are_all_spans_sorted() -> None:
    """Searching from the likeliest start gives what sorting every span of the permitted length gives."""
    random = np.random.default_rng(0)
    for n, most, wanted in [(1, 1, 1), (5, 2, 3), (30, 7, 12), (40, 40, 50)]:
        start, end = random.dirichlet(np.ones(n)), random.dirichlet(np.ones(n))
        every = [(start[i] * end[j], i, j) for i in range(n) for j in range(i, min(n, i + most))]
        assert best_spans(start.tolist(), end.tolist(), wanted, most) == sorted(every, reverse=True)[:wanted]


def test_a_beam_answers_from_its_candidates(model: Model, tokenizer: Tokenizer) -> None:
    """Candidates in the question or beyond the length are dropped; texts share the softmax of their ranks."""
    [window] = read(model, tokenizer, "question-answering").windows
    first = window.sequence_ids.index(1)
    outputs = {
        "start_top_log_probs": [0.6, 0.3],
        "start_top_index": [float(first), 1.0],
        "end_top_log_probs": [0.5, 0.4, 0.9, 0.9],
        "end_top_index": [float(first), float(first + 1), float(first), float(first)],
        "cls_logits": [-1.0],
    }
    body = good("question-answering", top_k=5, align_to_words=False, handle_impossible_answer=True)
    answered = of_rows(lambda _: outputs)
    [value] = ask(model, tokenizer, body | {"model": "tiny:beam"}, "question-answering", answered).values
    assert isinstance(value, list)
    scores = torch.tensor([1.1, 1.0]).softmax(0).tolist()
    assert [each["score"] for each in value] == pytest.approx([*scores, 1 / (1 + math.e)], abs=1e-6)
    assert value[0]["start"] == window.offsets[first][0]
    assert value[1]["end"] == window.offsets[first + 1][1]
    assert value[2] == {"score": pytest.approx(1 / (1 + math.e)), "start": 0, "end": 0, "answer": ""}
