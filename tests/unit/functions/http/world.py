"""The infer function for tests: a real tokenizer, a catalog of two models, and a replica that computes with ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

from functions.http.authentication import OPEN, Auth
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.pipeline.pipeline import Pipeline
from functions.replica.fake import FakeReplica
from functions.tokenizers.load import load_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog
from shared.messages import InferCall, ModelOutput, Sampling, Tensor
from tests.data import XLMR_TOKENIZER
from tests.events import FakeContext, request

ARTIFACT = XLMR_TOKENIZER / "tokenizer.json"
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NLI = ("contradiction", "neutral", "entailment")
Answer = tuple[int, dict[str, Any], dict[str, str]]


@cache
def tokenizer() -> Tokenizer:
    """Load the tokenizer once."""
    return load_tokenizer(ARTIFACT)


@cache
def catalog() -> Catalog:
    """Make a catalog. Its model `mini` has a head for each task, and `plain` has one head for topics."""
    topic = {"task": "text-classification", "prefix": "classifier", "labels": LABELS, "default": True}
    heads = {
        "topic": topic,
        "sentiment": topic | {"default": False},
        "entities": {"task": "token-classification", "prefix": "classifier", "labels": LABELS},
        "mlm": {"task": "fill-mask", "prefix": "lm_head"},
        "embed": {"task": "feature-extraction", "also": ["sentence-similarity"]},
        "nli": {"task": "text-classification", "also": ["zero-shot-classification"], "labels": NLI},
        "relevance": {"task": "text-classification", "also": ["rerank"], "labels": ["LABEL_0"]},
        "answers": {"task": "question-answering"},
        "choice": {"task": "multiple-choice"},
        "lm": {"task": "text-generation"},
    }
    model = {
        "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64, "max_tokens": 32,
        "tokenizer_sha256": tokenizer().fingerprint, "vocab_size": tokenizer().vocab_size, "tokens_per_s": 1e6,
        "mask_id": tokenizer().id_of("<mask>"), "mask_token": "<mask>", "heads": heads,
    }  # fmt: skip
    plain = model | {"name": "plain", "heads": {"topic": topic}}
    return Catalog.model_validate(
        {"default_model": "mini", "models": {"mini": model | {"name": "mini"}, "plain": plain}}
    )


@cache
def pipeline() -> Pipeline:
    """Make the pipeline with that catalog."""
    return Pipeline(catalog(), dict.fromkeys(catalog().models, tokenizer()))


def count_ids(call: InferCall) -> ModelOutput:
    """Answer with numbers computed from each row's ids alone, in the shapes that the protocol requires."""
    rows = _rows(call.input_ids, call.row_lengths)
    masks = [sum(row) for row, n in zip(rows, _n_positions(call), strict=True) for _ in range(n)]
    tokens = [token for row in rows for token in row]
    sums = [sum(row) for row in rows]
    outputs = {
        "topic": lambda: {"logits": _floats(sums, 5)},
        "sentiment": lambda: {"logits": _floats(sums, 5)},
        "entities": lambda: {"logits": _floats(tokens, 5)},
        "embed": lambda: {"vectors": _floats(tokens if call.per_token else sums, 4)},
        "mlm": lambda: {
            "top_ids": Tensor.ints(list(range(10, 10 + call.top_k)) * len(masks), [len(masks), call.top_k]),
            "top_logits": _floats(masks, call.top_k),
            "log_sum_exp": Tensor.floats([9.0] * len(masks)),
            "target_logits": _floats(masks, len(call.target_ids)),
        },
        "nli": lambda: {"logits": _floats(sums, 3)},
        "relevance": lambda: {"logits": _floats(sums, 1)},
        "answers": lambda: {"start": _floats(tokens, 1), "end": _floats([token * 3 for token in tokens], 1)},
        "choice": lambda: {"logits": _floats(sums, 1)},
        "lm": lambda: _continued(sums, call.sampling or Sampling()),
    }[call.head]()
    return ModelOutput(outputs, {"queue": 0.002, "infer": 0.01})


def _continued(seeds: Sequence[int], sampling: Sampling) -> dict[str, Tensor]:
    """Continue each row by one repeated id. Each further sequence of a row has one token more."""
    lengths = [1 + i % sampling.max_new_tokens for _ in seeds for i in range(sampling.num_return_sequences)]
    ids = [1000 + seed % 100 for seed in seeds for _ in range(sum(lengths) // len(seeds))]
    return {"ids": Tensor.ints(ids), "row_lengths": Tensor.ints(lengths)}


def _rows(ids: Tensor, lengths: Tensor) -> list[list[int]]:
    left = ids.int_values().tolist()
    ends = list(accumulate(lengths.int_values().tolist()))
    return [left[start:end] for start, end in pairwise([0, *ends])]


def _n_positions(call: InferCall) -> list[int]:
    return call.positions_per_row.int_values().tolist() if call.positions_per_row is not None else [0] * call.n_rows


def _floats(seeds: Sequence[int], width: int) -> Tensor:
    return Tensor.floats([(seed * 31 + i * 7) % 17 / 4 for seed in seeds for i in range(width)], [len(seeds), width])


def make(answer: Callable[[InferCall], ModelOutput] = count_ids, *, auth: Auth = OPEN, up: bool = True) -> Resolver:
    """Make the function's API with a fake replica in this process."""
    return make_api(pipeline(), FakeReplica(answer, up=up), auth)


def send(api: Resolver, raw: dict[str, Any], context: FakeContext | None = None) -> Answer:
    """Send one event. Return status, JSON body, and headers by lower-case name."""
    made = api.resolve(raw, context or FakeContext())
    headers = {name.lower(): values[0] for name, values in made["multiValueHeaders"].items()}
    return made["statusCode"], json.loads(made["body"]), headers


def post(api: Resolver, task: str, body: object) -> Answer:
    """Post a JSON value to the route of a task."""
    return send(api, request("POST", f"/v1/{task}", json.dumps(body)))
