"""The calls of the tasks that label, find and write text: each is a flow to a typed result.

What is not given is left out of the request, so that the service's own default holds. Both clients have these functions
as methods. `model` is `name` or `name:head`. Must not know the HTTP library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from glossa.client import readers
from glossa.client.answering import called, given_of
from glossa.client.flows import Api, Flow
from glossa.client.inputs import QuestionContext, TextChoices, TextPairs, Texts
from glossa.client.values import Answer, Choice, Entity, FilledMask, Label, Result

Function = Literal["default", "none", "sigmoid", "softmax"]
Aggregation = Literal["none", "simple", "first", "average", "max"]


def text_classification(
    api: Api,
    inputs: TextPairs,
    *,
    model: str | None = None,
    top_k: int | None = 1,
    function_to_apply: Function | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[Label]]]:
    """Give each text, or pair of texts, its best `top_k` labels; None stands for all.

    client.text_classification("Das Team hat gewonnen.", model="mini:topic").only[0].label
    """
    given = {"top_k": top_k, **given_of({"function_to_apply": function_to_apply, "truncation": truncation})}
    return called(api, "text-classification", inputs, model, given, readers.labels)


def zero_shot_classification(
    api: Api,
    inputs: Texts,
    candidate_labels: Sequence[str],
    *,
    model: str | None = None,
    hypothesis_template: str | None = None,
    multi_label: bool | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[Label]]]:
    """Score the labels that you name for each text, the best first.

    client.zero_shot_classification("The team won.", ["sports", "politics"]).only[0].label
    """
    given = given_of({
        "candidate_labels": list(candidate_labels), "hypothesis_template": hypothesis_template,
        "multi_label": multi_label, "truncation": truncation,
    })  # fmt: skip
    return called(api, "zero-shot-classification", inputs, model, given, readers.named_labels)


def token_classification(
    api: Api,
    inputs: Texts,
    *,
    model: str | None = None,
    aggregation_strategy: Aggregation | None = None,
    ignore_labels: Sequence[str] | None = None,
    stride: int | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[Entity]]]:
    """Find the entities of each text, in its order.

    [entity.word for entity in client.token_classification("Ada lives in London.").only]
    """
    given = given_of({
        "aggregation_strategy": aggregation_strategy, "stride": stride, "truncation": truncation,
        "ignore_labels": None if ignore_labels is None else list(ignore_labels),
    })  # fmt: skip
    return called(api, "token-classification", inputs, model, given, readers.entities)


def question_answering(
    api: Api,
    inputs: QuestionContext | Sequence[QuestionContext],
    *,
    model: str | None = None,
    top_k: int | None = None,
    doc_stride: int | None = None,
    max_seq_len: int | None = None,
    max_answer_len: int | None = None,
    handle_impossible_answer: bool | None = None,
    align_to_words: bool | None = None,
) -> Flow[Result[list[Answer]]]:
    """Find the spans of a context that answer a question, the best first.

    client.question_answering({"question": "Who won?", "context": "The team won."}).only[0].answer
    """
    given = given_of({
        "top_k": top_k, "doc_stride": doc_stride, "max_seq_len": max_seq_len, "max_answer_len": max_answer_len,
        "handle_impossible_answer": handle_impossible_answer, "align_to_words": align_to_words,
    })  # fmt: skip
    return called(api, "question-answering", inputs, model, given, readers.answers)


def multiple_choice(
    api: Api,
    inputs: TextChoices | Sequence[TextChoices],
    *,
    model: str | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[Choice]]]:
    """Give each choice the probability that it goes with the text, the best first.

    client.multiple_choice({"text": "It rains, so", "choices": ["we get wet.", "we are dry."]}).only[0].choice
    """
    return called(api, "multiple-choice", inputs, model, given_of({"truncation": truncation}), readers.choices)


def fill_mask(
    api: Api,
    inputs: TextPairs,
    *,
    model: str | None = None,
    top_k: int | None = None,
    targets: Sequence[str] | None = None,
) -> Flow[Result[list[list[FilledMask]]]]:
    """Find the likeliest tokens for each mask of a text: one list for each mask, also where there is a single one.

    client.fill_mask("Paris is the <mask> of France.").only[0][0].token_str
    """
    given = given_of({"top_k": top_k, "targets": None if targets is None else list(targets)})
    return called(api, "fill-mask", inputs, model, given, readers.filled_masks)


def text_generation(
    api: Api,
    inputs: Texts,
    *,
    model: str | None = None,
    max_new_tokens: int | None = None,
    do_sample: bool | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    num_return_sequences: int | None = None,
    seed: int | None = None,
    return_full_text: bool | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[str]]]:
    """Continue each text, `num_return_sequences` times.

    client.text_generation("Once upon a time", max_new_tokens=8).only[0]
    """
    given = given_of({
        "max_new_tokens": max_new_tokens, "do_sample": do_sample, "temperature": temperature, "top_k": top_k,
        "top_p": top_p, "num_return_sequences": num_return_sequences, "seed": seed,
        "return_full_text": return_full_text, "truncation": truncation,
    })  # fmt: skip
    return called(api, "text-generation", inputs, model, given, readers.continuations)
