"""The judge compares our engine with `transformers` on the same weights, row by row.

The reference runs each row alone, without padding, in float32. The engine runs all rows packed. There is one judge for
every class and dtype. It can fail, as the planted faults show. The rows of XLM are in tests/judge_xlm.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
import transformers
from transformers import PreTrainedModel

from serve.engine.bounds import CLOSE, EXACT
from serve.engine.load_engine import load_engine
from serve.models.registry import FAMILIES
from serve.rows.row import Row, RowOutput, RowResult, row_of
from shared.catalog import Head, Model
from shared.errors import GlossaError
from tests.checkpoints import catalog_model, draw, draw_ids, rounded, write

FAULT_FACTOR = 5.0  # a planted fault must exceed the bound at least so many times
MIN_STD = 0.5  # of the reference's outputs; with less, a fault could go unseen
LENGTHS = (7, 1, 512, 33, 2, 7, 130, 64, 3, 7, 33, 255, 16)

Pairs = list[tuple[torch.Tensor, torch.Tensor]]  # ours, theirs


@dataclass(frozen=True)
class Verdict:
    """How far we are from the reference: `distance` and `bound` have the same unit."""

    distance: float
    bound: float
    spread: float

    @property
    def ok(self) -> bool:
        """Say whether the engine equals the reference within the bound."""
        return self.distance <= self.bound and self.spread >= MIN_STD

    @property
    def times_bound(self) -> float:
        """Return the distance divided by the bound."""
        return self.distance / self.bound


def judge(reference: PreTrainedModel, rows: Sequence[Row], results: Sequence[RowResult], dtype: torch.dtype) -> Verdict:
    """Compare the engine's results with the reference on each row alone."""
    return verdict_on(CASES[type(reference).__name__].compare, reference, rows, results, dtype)


def verdict_on(
    compare: Compare, reference: PreTrainedModel, rows: Sequence[Row], results: Sequence[RowResult], dtype: torch.dtype
) -> Verdict:
    """Compare each row by `compare`, and measure all numbers together."""
    pairs: Pairs = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, GlossaError):
            raise result
        assert isinstance(result, Mapping)
        with torch.no_grad():
            pairs += compare(reference, row, result)
    ours = torch.cat([mine.flatten() for mine, _ in pairs])
    theirs = torch.cat([their.flatten() for _, their in pairs])
    spread = float(theirs.std())
    if dtype == torch.float32:
        return Verdict(float((ours - theirs).abs().max()), EXACT * max(1.0, float(theirs.abs().max())), spread)
    return Verdict(float((ours - theirs).norm() / theirs.norm()), CLOSE, spread)


def trial(kind: str, like: str, dtype: str, folder: Path, device: str = "cpu") -> Verdict:
    """Draw a checkpoint of one class, sized like `like`, in `folder`, and judge the engine on all rows in one pass."""
    reference = rounded(draw(kind, **LIKE[like]), getattr(torch, dtype))
    model = judged_model(kind, write(reference, folder), dtype=dtype)
    rows = CASES[kind].rows(draw_ids(LENGTHS, vocab_size=reference.config.vocab_size))
    results = load_engine(model, folder, device=device).forward(rows)
    return judge(reference, rows, results, getattr(torch, dtype))


def judged_model(kind: str, folder: Path, **fields: object) -> Model:
    """Return the catalog entry of a drawn checkpoint, with the head that its class is judged by."""
    case = CASES[kind]
    model = catalog_model(folder, **fields)
    return model.model_copy(update={"heads": {**model.heads, **case.heads}}) if case.heads else model


Compare = Callable[[PreTrainedModel, Row, RowOutput], Pairs]


@dataclass(frozen=True)
class Case:
    """How one class of the reference is judged: its head, the options of row `i`, and the comparison.

    `heads` are heads besides those found in the checkpoint.
    """

    head: str
    compare: Compare
    asks: Callable[[int, int], Mapping[str, Any]] = lambda i, length: {}  # noqa: ARG005 - most rows have no options
    heads: Mapping[str, Head] = field(default_factory=dict)

    def rows(self, texts: Sequence[Sequence[int]]) -> list[Row]:
        """Make the rows of texts. In turn they have token types and position ids of their own."""
        return [
            row_of(ids, self.head, **{**_beside(i, len(ids)), **self.asks(i, len(ids))}) for i, ids in enumerate(texts)
        ]


def _beside(i: int, length: int) -> dict[str, Any]:
    """Return token types for every third row, and for one in four positions that start again and skip some."""
    beside: dict[str, Any] = {}
    if i % 3 == 1:
        beside["token_type_ids"] = (torch.arange(length) >= length // 2).int()
    if i % 4 == 2:
        beside["position_ids"] = (2 + (3 * torch.arange(length)) % (length // 2 + 1)).int()
    return beside


def reference_inputs(row: Row) -> dict[str, torch.Tensor]:
    """Return the inputs of the reference for a row: a batch of this row without padding."""
    ids = row.input_ids.long()[None]
    beside = {"langs": row.lang_ids, "token_type_ids": row.token_type_ids, "position_ids": row.position_ids}
    given = {name: own.long()[None] for name, own in beside.items() if own is not None}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **given}


def _run(reference: PreTrainedModel, row: Row, **asked: Any) -> Any:
    return reference(**reference_inputs(row), **asked)


def _ask_masked(i: int, length: int) -> dict[str, Any]:
    """Ask at the first, middle and last positions, for different numbers of ids and targets in one batch."""
    places = tuple(sorted({0, length // 2, length - 1}))
    return {"positions": places, "top_k": 1 + i % 5, "target_ids": tuple(range(10, 10 + i % 3))}


def _ask_everywhere(i: int, length: int) -> dict[str, Any]:
    """Ask at every position of a text, or at 40 of a long one, for two scores each."""
    return {"positions": tuple(range(0, length, 1 + length // 40)), "top_k": 2, "target_ids": (10 + i, 400)}


def _ask_vectors(i: int, length: int) -> dict[str, Any]:
    """Ask for vectors of every kind in one batch, in turn with the states of some layers and attentions."""
    return {
        "per_token": i % 2 == 0,
        "normalize": i % 4 > 1,
        "pooling": ("mean", "cls", "max")[i % 3],
        "layers": ((), (0, -1), (1,))[i % 3],
        "attentions": length < 20,
    }


def _compare_logits(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    return [(output["logits"], _run(reference, row).logits.reshape(output["logits"].shape))]


def _compare_choice(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    choice = {name: own[None] for name, own in reference_inputs(row).items()}  # the one choice of one question
    return [(output["logits"], reference(**choice).logits)]


def _compare_spans(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    found = _run(reference, row)
    return [(output["start"], found.start_logits[0]), (output["end"], found.end_logits[0])]


def _compare_masked(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    found = _run(reference, row)
    logits = found["prediction_logits" if "prediction_logits" in found else "logits"][0, list(row.positions)]
    pairs = [
        (output["top_logits"], logits.topk(row.top_k).values),
        (output["top_logits"], logits.gather(1, output["top_ids"].long())),
        (output["log_sum_exp"], logits.logsumexp(-1)),
    ]
    if row.target_ids:
        pairs.append((output["target_logits"], logits[:, list(row.target_ids)]))
    return pairs


def _compare_vectors(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    reference.set_attn_implementation("eager" if row.attentions else "sdpa")  # sdpa returns no probabilities
    found = _run(reference, row, output_hidden_states=True, output_attentions=row.attentions)
    pairs = [vectors_beside(row, output["vectors"], found.last_hidden_state[0])]
    for place, layer in enumerate(row.layers):
        pairs.append(vectors_beside(row, output["hidden_states"][:, place], found.hidden_states[layer][0]))
    if row.attentions:
        pairs.append((output["attentions"], torch.stack(found.attentions).flatten()))
    return pairs


def vectors_beside(row: Row, ours: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return our vectors and those of the reference for a row, at one scale.

    `states` [tokens, width] are the states of the reference; its vectors are pooled as the row asks.
    """
    pooled = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[row.pooling][None]
    vectors = states if row.per_token else pooled
    if row.normalize:  # unit vectors hold small numbers, so compare at the scale of the states
        scale = vectors.norm(dim=1, keepdim=True)
        return ours * scale, F.normalize(vectors) * scale
    return ours, vectors


DTYPES = ("float32", "bfloat16", "float16")
LIKE: Mapping[str, Mapping[str, int]] = {
    "xlm-r": {},
    "xlm-v": {"vocab_size": 9_001},  # XLM-V is XLM-R with a larger vocabulary
    "xl": {"hidden_size": 160, "num_attention_heads": 2, "intermediate_size": 320},  # heads of width 80, as in XL
    "xxl": {"hidden_size": 256, "num_attention_heads": 2, "intermediate_size": 512},  # heads of width 128, as in XXL
    "minilm": {
        "hidden_size": 96,
        "num_attention_heads": 3,
        "intermediate_size": 384,
    },  # of width 32, as in MiniLM
}
_HEADS: Mapping[str, Case] = {
    "Model": Case("embed", _compare_vectors, _ask_vectors),
    "ForSequenceClassification": Case("classifier", _compare_logits),
    "ForTokenClassification": Case("classifier", _compare_logits),
    "ForQuestionAnswering": Case("qa", _compare_spans),
    "ForMultipleChoice": Case("choice", _compare_choice),
    "ForMaskedLM": Case("mlm", _compare_masked, _ask_masked),
    # the scores of a causal LM at every position; tests of generation judge the text that it generates
    "ForCausalLM": Case("lm", _compare_masked, _ask_everywhere, {"lm": Head(task="fill-mask", prefix="lm_head")}),
}
_BERT: Mapping[str, Case] = {
    **{suffix: case for suffix, case in _HEADS.items() if suffix != "ForCausalLM"},
    "ForPreTraining": _HEADS["ForMaskedLM"],
    "LMHeadModel": Case(
        "lm", _compare_masked, _ask_everywhere, {"lm": Head(task="fill-mask", prefix="cls.predictions")}
    ),
}
CASES: Mapping[str, Case] = {
    **{prefix + suffix: case for prefix in ("XLMRoberta", "XLMRobertaXL") for suffix, case in _HEADS.items()},
    **{f"Bert{suffix}": case for suffix, case in _BERT.items()},
}
UNSERVED = ("BertForNextSentencePrediction",)  # its head answers no task; `catalog add` refuses it by name


def likes_of(kind: str) -> tuple[str, ...]:
    """Return the sizes in which a class is judged."""
    if kind.startswith("Bert"):
        return ("minilm",)
    return ("xl", "xxl") if kind.startswith("XLMRobertaXL") else ("xlm-r", "xlm-v")


def public_classes() -> list[str]:
    """Return every model class of transformers for the families of XLM-RoBERTa, XLM and BERT, but for `UNSERVED`."""
    named = [
        name for name in dir(transformers) if name.startswith(("XLM", "Bert")) and not name.endswith("PreTrainedModel")
    ]
    kinds = {name: getattr(transformers, name) for name in named if name not in UNSERVED}
    return [
        name
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, PreTrainedModel) and kind.config_class.model_type in FAMILIES
    ]
