"""The judge for XLM: every public class with the options of its configuration, each row alone in the reference.

Bounds and verdict are those of tests/judge.py. The summaries of XLM, and its positions with padding, depend on the
batch mates of a row. The reference therefore never sees a padded batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from serve.engine.load_engine import load_engine
from serve.rows.row import Row, RowOutput, RowResult
from tests.checkpoints import catalog_model, rounded, write
from tests.checkpoints_xlm import LANGS, LENGTHS, SMALL, draw, draw_rows, pairwise_choices
from tests.judge import Compare, Pairs, Verdict, reference_inputs, vectors_beside, verdict_on

Settings = Mapping[str, Any]
Switches = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One class: its head, the options of its rows, the comparison, and the settings that only this class has."""

    head: str
    compare: Compare
    asks: Callable[[int, int], Mapping[str, Any]] = lambda i, length: {}  # noqa: ARG005 - most rows have no options
    switches: Mapping[str, Mapping[str, Settings]] = field(default_factory=dict)


def trial(kind: str, switches: Switches, folder: Path, device: str = "cpu") -> Verdict:
    """Draw a checkpoint of one class with these settings in `folder`, and judge the engine on all rows in one pass."""
    dtype = getattr(torch, switches["dtype"])
    reference = rounded(draw(kind, **settings_of(kind, switches)), dtype)
    model = catalog_model(write(reference, folder), dtype=switches["dtype"])
    rows = rows_for(kind, langs=switches["languages"] != "one language")
    results = load_engine(model, folder, device=device).forward(rows)
    return judge(reference, rows, results, dtype)


def judge(reference: PreTrainedModel, rows: Sequence[Row], results: Sequence[RowResult], dtype: torch.dtype) -> Verdict:
    """Compare the engine's results with the reference on each row alone."""
    return verdict_on(CASES[type(reference).__name__].compare, reference, rows, results, dtype)


def settings_of(kind: str, switches: Switches) -> dict[str, Any]:
    """Return the configuration for these choices of settings."""
    offered = EVERYWHERE | dict(CASES[kind].switches)
    named = {name: choice for name, choice in switches.items() if name != "dtype"}
    return {key: value for name, choice in named.items() for key, value in offered[name][choice].items()}


def choices_for(kind: str) -> list[dict[str, str]]:
    """Return the choices of settings to judge a class with: any two choices of two settings occur together."""
    offered = EVERYWHERE | dict(CASES[kind].switches)
    return pairwise_choices({"dtype": DTYPES, **{name: list(choices) for name, choices in offered.items()}})


def rows_for(kind: str, *, langs: bool, lengths: Sequence[int] = LENGTHS, seed: int = 0) -> list[Row]:
    """Return the rows of one class, each with its own options."""
    case = CASES[kind]
    drawn = draw_rows(lengths, case.head, langs=langs, seed=seed)
    return [replace(row, **case.asks(i, row.n_tokens)) for i, row in enumerate(drawn)]


def _ask_masked(i: int, length: int) -> dict[str, Any]:
    """Ask at the first, middle and last positions, for different numbers of ids and targets in one batch."""
    places = tuple(sorted({0, length // 2, length - 1}))
    return {"positions": places, "top_k": 1 + i % 5, "target_ids": tuple(range(10, 10 + i % 3))}


def _ask_vectors(i: int, length: int) -> dict[str, Any]:
    """Ask for vectors of every kind in one batch, in turn with the states of some layers."""
    pooling = ("mean", "cls", "max")[i % 3]
    return {"per_token": i % 2 == 0, "normalize": i % 4 > 1, "pooling": pooling, "layers": ((), (0, -1), (1,))[i % 3]}


def _compare_logits(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    return [(output["logits"], reference(**reference_inputs(row)).logits.reshape(output["logits"].shape))]


def _compare_choice(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    choice = {name: own[None] for name, own in reference_inputs(row).items()}  # the one choice of one question
    return [(output["logits"], reference(**choice).logits)]


def _compare_spans(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    found = reference(**reference_inputs(row))
    return [(output["start"], found.start_logits[0]), (output["end"], found.end_logits[0])]


def _compare_beams(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    """Compare the logarithms of probabilities, each at our index and in the order of the reference.

    Two starts with nearly equal probabilities may swap, and their ends with them. Ends are therefore read for our
    starts. Entries beyond the tokens of the row, for which the reference fails, must be empty.
    """
    states = reference.transformer(**reference_inputs(row)).last_hidden_state
    head, length = reference.qa_outputs, row.n_tokens
    n_starts, n_ends = (min(n, length) for n in (head.start_n_top, head.end_n_top))
    start_index = output["start_top_index"][0].long()
    end_index = output["end_top_index"].view(head.end_n_top, head.start_n_top).long()
    end_probs = output["end_top_log_probs"].view(head.end_n_top, head.start_n_top)
    assert not output["start_top_log_probs"][0, n_starts:].any()
    assert not end_probs[n_ends:].any()
    assert not end_probs[:, n_starts:].any()
    starts = head.start_logits(states)[0].log_softmax(-1)
    began = states[0, start_index[:n_starts]].expand(length, -1, -1)
    ends = head.end_logits(states[0][:, None].expand_as(began), start_states=began).log_softmax(0)
    our_starts, our_ends = output["start_top_log_probs"][0, :n_starts].log(), end_probs[:n_ends, :n_starts].log()
    expected = torch.einsum("blh,bl->bh", states, starts.exp()[None])
    return [
        (our_starts, starts.topk(n_starts).values),
        (our_starts, starts[start_index[:n_starts]]),
        (our_ends, ends.topk(n_ends, dim=0).values),
        (our_ends, ends.gather(0, end_index[:n_ends, :n_starts])),
        (output["cls_logits"], head.answer_class(states, start_states=expected)),
    ]


def _compare_masked(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    states = reference.transformer(**reference_inputs(row)).last_hidden_state[0, list(row.positions)]
    proj = reference.pred_layer.proj  # its own forward passes [1, tokens, width], for which log_prob fails
    logits = proj.log_prob(states) if reference.config.asm else proj(states)
    pairs = [
        (output["top_logits"], logits.topk(row.top_k).values),
        (output["top_logits"], logits.gather(1, output["top_ids"].long())),
        (output["log_sum_exp"], logits.logsumexp(-1)),
    ]
    if row.target_ids:
        pairs.append((output["target_logits"], logits[:, list(row.target_ids)]))
    return pairs


def _compare_vectors(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    found = reference(**reference_inputs(row), output_hidden_states=True)
    pairs = [vectors_beside(row, output["vectors"], found.last_hidden_state[0])]
    for place, layer in enumerate(row.layers):
        pairs.append(vectors_beside(row, output["hidden_states"][:, place], found.hidden_states[layer][0]))
    return pairs


DTYPES = ("float32", "bfloat16", "float16")
EVERYWHERE: Mapping[str, Mapping[str, Settings]] = {
    "sight": {"both ways": {"causal": False}, "backwards": {"causal": True}},
    "activation": {"gelu": {"gelu_activation": True}, "relu": {"gelu_activation": False}},
    "positions": {"learnt": {"sinusoidal_embeddings": False}, "sinusoids": {"sinusoidal_embeddings": True}},
    "languages": LANGS,
}
SUMMARY: Mapping[str, Mapping[str, Settings]] = {
    "summary": {kind: {"summary_type": kind} for kind in ("first", "last", "mean", "cls_index")},
    "projection": {
        "labels": {"summary_use_proj": True, "summary_proj_to_labels": True},
        "states": {"summary_use_proj": True, "summary_proj_to_labels": False, "num_labels": SMALL["emb_dim"]},
        "none": {"summary_use_proj": False, "num_labels": SMALL["emb_dim"]},
    },
    "summary activation": {"none": {"summary_activation": None}, "tanh": {"summary_activation": "tanh"}},
}
CASES: Mapping[str, Case] = {
    "XLMModel": Case("embed", _compare_vectors, _ask_vectors),
    "XLMForSequenceClassification": Case("classifier", _compare_logits, switches=SUMMARY),
    "XLMForTokenClassification": Case("classifier", _compare_logits),
    "XLMForQuestionAnsweringSimple": Case("qa", _compare_spans),
    "XLMForQuestionAnswering": Case(
        "qa", _compare_beams,
        switches={"beams": {
            "3 x 2": {"start_n_top": 3, "end_n_top": 2}, "1 x 4": {"start_n_top": 1, "end_n_top": 4},
            "5 x 5": {"start_n_top": 5, "end_n_top": 5},
        }},
    ),
    "XLMForMultipleChoice": Case("choice", _compare_choice, switches=SUMMARY),
    "XLMWithLMHeadModel": Case(
        "mlm", _compare_masked, _ask_masked,
        switches={"prediction": {
            "product": {"asm": False}, "own product": {"tie_word_embeddings": False},
            "adaptive": {"asm": True, "asm_cutoffs": [60, 200], "asm_div_value": 2.0},
        }},
    ),
}  # fmt: skip


def public_classes() -> list[str]:
    """Return every model class that transformers has for this family."""
    named = [name for name in dir(transformers) if name.startswith("XLM") and not name.startswith("XLMRoberta")]
    kinds = {name: getattr(transformers, name) for name in named}
    models = [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, PreTrainedModel)]
    return [name for name in models if name != "XLMPreTrainedModel"]
