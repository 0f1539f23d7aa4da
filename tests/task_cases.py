"""Cases of each task for the comparison with transformers: parameters, and texts in fifty languages.

A new task gets one entry in `CASES`. This module must not know our engine or pipeline.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import regex  # type: ignore[import-untyped]  # it ships no types
import torch
from transformers import TokenClassificationPipeline

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC", "X")
HARD = ("a", "x </s> y", "\ufeffb  c\n d", "ﬁn Würde ½ km²", "New York, Sao Paulo\tRio", "👍🏽 ok 🇩🇪 no", "!?", "  a  ")
LONE_SPACE = "\u2581"  # the piece of a space that no word begins with
SPACE = re.compile(r"[\s\u061c\u200b\u200e\u200f\u2581\ufeff\ufffd]*")  # what the character map makes a space of, too
MIN_WORDS = 3


@dataclass(frozen=True)
class Question:
    """One request, and the reference's answers: one value for each input."""

    inputs: Sequence[Any]
    parameters: Mapping[str, Any]
    theirs: Sequence[Any]


Questions = Callable[[Sequence[str], Any], Iterator[Question]]


@dataclass(frozen=True)
class Case:
    """One task on one class of checkpoint. `mini_head` names mini's head for it, and is empty if mini has none."""

    task: str
    kind: str
    questions: Questions
    mini_head: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    def mini_labels(self, folder: Path) -> Sequence[str]:
        """Return the labels of mini's head."""
        heads = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        labels: Sequence[str] = heads.get(self.mini_head, {}).get("labels", ())
        return labels


def _question(pipe: Any, inputs: Sequence[Any], **parameters: Any) -> Question:
    """Call the pipeline for each input by itself, as transformers does without a batch size. Nothing is padded."""
    return Question(inputs, parameters, [pipe(value, **parameters) for value in inputs])


def _classify(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    texts = [*sentences, *HARD]
    yield _question(pipe, texts, top_k=1)
    yield _question(pipe, texts, top_k=None)
    for function in ("none", "sigmoid", "softmax"):
        yield _question(pipe, texts[:12], top_k=3, function_to_apply=function)
    pairs = [{"text": a, "text_pair": b} for a, b in zip(texts[:12], texts[5:], strict=False)]
    yield _question(pipe, pairs, top_k=None)
    long = [" ".join([*sentences, *sentences]), {"text": " ".join(sentences), "text_pair": " ".join(sentences[::-1])}]
    yield _question(pipe, long, top_k=None, truncation=True)


def _tokens(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    """Yield texts whose tokens divide no grapheme, for groups of tokens: elsewhere our groups differ on purpose.

    For the same reason texts with line breaks or tabs are left out, and those with the piece of a lone space.
    """
    pipe = FromTheWord(model=pipe.model, tokenizer=pipe.tokenizer, device="cpu")
    texts = [text for text in (*sentences, *HARD) if unicodedata.is_normalized("NFC", text)]
    yield _question(pipe, texts, aggregation_strategy="none", ignore_labels=["O"])
    yield _question(pipe, texts, aggregation_strategy="none", ignore_labels=[])
    texts = [text for text in texts if groups_alike(text, pipe.tokenizer)]
    for strategy, ignored in (("simple", ["O"]), ("simple", []), ("first", []), ("average", ["O", "X"]), ("max", [])):
        yield _question(pipe, texts, aggregation_strategy=strategy, ignore_labels=ignored)
    long = [" ".join(texts), " ".join(texts[len(texts) // 2 :])]
    for strategy, stride in (("simple", 0), ("simple", 64), ("first", 128), ("average", 7), ("max", 30)):
        yield _question(pipe, long, aggregation_strategy=strategy, stride=stride)


class FromTheWord(TokenClassificationPipeline):  # type: ignore[misc]  # transformers ships no types
    """The reference's pipeline with spans that begin at their word.

    By the rules of E5 a token stands for the space before its word too, and the spans of transformers begin there.
    """

    def gather_pre_entities(
        self, sentence: str, input_ids: Any, scores: Any, offset_mapping: Any, *others: Any, **named: Any
    ) -> Any:
        """Gather the tokens of a text with other spans."""
        spans = [(min(SPACE.match(sentence, start).end(), end), end) for start, end in offset_mapping.tolist()]
        return super().gather_pre_entities(sentence, input_ids, scores, spans, *others, **named)


def groups_alike(text: str, reader: Any) -> bool:
    """Whether a text has none of what our groups of tokens treat otherwise than transformers, on purpose."""
    return not (divided(text, reader) or re.search(r"[^\S ]", text) or LONE_SPACE in reader.tokenize(text))


def divided(text: str, reader: Any) -> bool:
    """Whether a token of the text begins or ends inside a grapheme cluster, or shares its character with another."""
    read = reader(text, return_offsets_mapping=True, add_special_tokens=False)
    offsets, pieces = read["offset_mapping"], reader.convert_ids_to_tokens(read["input_ids"])
    letters = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    words = [span for span, piece in zip(offsets, pieces, strict=True) if piece != LONE_SPACE]
    return not {place for span in offsets for place in span} <= letters or any(
        after[0] < before[1] for before, after in pairwise(words)
    )


def _masks(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    texts = [masked(text) for text in sentences]
    yield _question(pipe, texts)
    yield _question(pipe, texts[:12], top_k=3)
    for targets in (["Menschen", "▁a", "людей", "qqqq", "的"], ["s"]):
        yield Question(texts[:12], {"targets": targets}, [scored(pipe, text, targets) for text in texts[:12]])
    several = [f"<mask> {text} <mask>." for text in texts[:10]] + ["<mask>", "a<pad> <mask> </s> <mask>"]
    yield _question(pipe, several, top_k=2)


def scored(pipe: Any, text: str, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Return the reference's scores of the pieces that stand for targets here: words after a space, else their rest."""
    vocabulary = pipe.tokenizer.get_vocab()
    begins_word = text.startswith("<mask>") or " <mask>" in text
    pieces = [f"▁{t}" if begins_word and f"▁{t}" in vocabulary else t for t in targets]
    found = pipe(text, targets=pieces)
    return [{**guess, "piece": pipe.tokenizer.convert_ids_to_tokens(guess["token"])} for guess in found]


def masked(text: str) -> str:
    """Return a text with its middle word masked. In a text with few spaces, the middle letter is masked."""
    words = text.split(" ")
    if len(words) < MIN_WORDS:
        return f"{text[: len(text) // 2]}<mask>{text[len(text) // 2 + 1 :]}"
    return " ".join([*words[: len(words) // 2], "<mask>", *words[len(words) // 2 + 1 :]])


def _features(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    texts = [*sentences, *HARD]
    tokens = [pipe(text)[0] for text in texts]
    yield Question(texts, {"per_token": True}, tokens)
    yield Question(texts, {}, [_mean(vectors) for vectors in tokens])
    yield Question(texts, {"pooling": "max"}, [[max(column) for column in zip(*own, strict=True)] for own in tokens])
    yield Question(texts, {"pooling": "cls", "normalize": True}, [_unit(vectors[0]) for vectors in tokens])
    pipe.model.set_attn_implementation("eager")  # no other has probabilities to give
    short = HARD[1:5]  # a probability for each pair of tokens, head and layer
    seen = [_seen(pipe, text) for text in short]
    yield Question(short, {"per_token": True, "layers": [0, 1, -1], "attentions": True}, seen)


def _seen(pipe: Any, text: str) -> dict[str, Any]:
    """Return hidden states and attentions of the reference's model: after layers 0, 1 and the last."""
    with torch.no_grad():
        read = pipe.tokenizer(text, return_tensors="pt")
        found = pipe.model(**read, output_hidden_states=True, output_attentions=True)
    return {
        "vectors": found.last_hidden_state[0].tolist(),
        "hidden_states": [found.hidden_states[layer][0].tolist() for layer in (0, 1, -1)],
        "attentions": [layer[0].tolist() for layer in found.attentions],
    }


def _mean(vectors: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector]


def _zero_shot(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    labels = ["rights", "Sport", "политика", "科学"]
    for parameters in ({}, {"multi_label": True}, {"hypothesis_template": "Thema: {}!"}):
        yield _question(pipe, [*sentences, *HARD], candidate_labels=labels, **parameters)
    yield _question(pipe, sentences[:9], candidate_labels="one, other ,third")
    yield _question(pipe, sentences[:9], candidate_labels=["alone"])


def _generate(sentences: Sequence[str], pipe: Any) -> Iterator[Question]:
    texts = [*sentences[:24], *HARD]
    kept = {"max_new_tokens": 12, "do_sample": False}
    for full in (True, False):
        theirs = [pipe(text, return_full_text=full, **kept) for text in texts]
        yield Question(texts, {**kept, "return_full_text": full}, theirs)


SEQUENCE = "XLMRobertaForSequenceClassification"
TOKENS = "XLMRobertaForTokenClassification"
CLASSIFY = "text-classification"
NLI = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
CASES: Mapping[str, Case] = {
    "text-classification": Case(CLASSIFY, SEQUENCE, _classify, "sentiment"),
    "text-classification (multi-label)": Case(
        CLASSIFY, SEQUENCE, _classify, config={"problem_type": "multi_label_classification"}
    ),
    "text-classification (regression)": Case(CLASSIFY, SEQUENCE, _classify, config={"problem_type": "regression"}),
    "text-classification (one label)": Case(CLASSIFY, SEQUENCE, _classify, config={"id2label": {0: "LABEL_0"}}),
    "token-classification": Case(
        "token-classification", TOKENS, _tokens, "entities", {"id2label": dict(enumerate(LABELS))}
    ),
    "fill-mask": Case("fill-mask", "XLMRobertaForMaskedLM", _masks, "lm_head"),
    "feature-extraction": Case("feature-extraction", "XLMRobertaModel", _features, "embed"),
    "zero-shot-classification": Case("zero-shot-classification", SEQUENCE, _zero_shot, "nli", NLI),
    "zero-shot-classification (entailment first)": Case(
        "zero-shot-classification", SEQUENCE, _zero_shot, config={"id2label": {0: "entailment", 1: "not"}}
    ),
    "text-generation": Case("text-generation", "XLMRobertaForCausalLM", _generate, config={"is_decoder": True}),
}
