"""Reads catalog.toml into frozen values: the facts of each model that is served. Both sides read it.

Unknown keys are refused. Must not know how a model is loaded or how a task is done.
"""

from __future__ import annotations

import math
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.error_text import said, shown
from shared.errors import NotFound, Unprocessable
from shared.head_hints import check_stand_in, way_to_head
from shared.limits import MAX_ROW_TOKENS
from shared.log import log_event
from shared.messages import Pooling

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
MAX_PROMPT_CHARS = 4_096  # of one prompt that a checkpoint declares
SHOWN_CHARS = 64  # of an unknown name, in the error that refuses it
SizeClass = Literal["base", "large", "xl"]
Family = Literal["xlm-roberta", "xlm-roberta-xl", "xlm", "bert"]
HeadTask = Literal[
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "fill-mask",
    "text-generation",
    "feature-extraction",
]
EMBEDS: HeadTask = "feature-extraction"  # the task of an embedder; other tasks may read its vectors
Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["none", "bnb-nf4", "bnb-int8", "torchao-int8", "torchao-int4", "torchao-fp8", "onednn-int8"]
Activation = Literal["", "identity", "sigmoid", "softmax"]
AttnImplementation = Literal["auto", "eager", "sdpa", "flash_attention_2"]
# the only dtype that their kernels compute in
BFLOAT16_ONLY: frozenset[Quantization] = frozenset({"torchao-int4", "torchao-fp8", "onednn-int8"})
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

MAX_REPLICAS = 200  # of one model: half of them may share a node, and Ray takes no more than 100 there
MAX_CPUS, MAX_GPUS = 1_024, 64  # of one replica, far above any machine


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Head(_Frozen):
    """One head over a model's backbone.

    `prefix` is where its tensors are in the checkpoint: the reference's names (`classifier`, `lm_head`), or
    `heads.<name>` where there are several heads. It is empty for feature-extraction without a variant, which has no
    tensors. `labels` are in logit order. `default` marks the head that a task takes when none is named. `task` says
    which tensors the head answers with. `also` names other tasks that read the same tensors: zero-shot-classification
    and rerank read those of a classifier, sentence-similarity and rerank those of an embedder. `variant` beam is XLM's
    question answering head with a beam; sparse is the feature-extraction head of bge-m3 that weighs each token; linear
    classifies the pooled vector by one layer. `checkpoint`, as a model's, is where a head that was trained apart has
    its tensors; `weights_sha256` is their digest.

    What the checkpoint declares, and a request may choose otherwise: `pooling`, `normalize` and `dimensions` (the first
    numbers alone) of vectors, the `prompts` before a text, by name, with `default_prompt` among them, and the
    `activation` that makes scores of logits (empty: by `problem_type`).
    """

    task: HeadTask
    also: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z-]{1,62}$")], ...] = ()
    variant: Literal["", "beam", "sparse", "linear"] = ""
    prefix: str = ""
    checkpoint: str = ""
    weights_sha256: Sha256 | None = None
    labels: tuple[str, ...] = ()
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] = (
        "single_label_classification"
    )
    pooling: Pooling = "mean"
    normalize: bool = False
    dimensions: int | None = Field(default=None, ge=1)
    prompts: Mapping[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]] = {}
    default_prompt: str = ""
    activation: Activation = ""
    default: bool = False

    @model_validator(mode="after")
    def _declared_fits(self) -> Head:
        """Refuse what no head of this task reads."""
        pools = self.task == "feature-extraction" or self.variant == "linear"
        if self.pooling != "mean" and not pools:
            raise ValueError(f"got pooling {self.pooling} for {self.task}, expected it for feature-extraction alone")
        if (self.normalize or self.prompts or self.dimensions) and self.task != "feature-extraction":
            raise ValueError(f"got normalize, prompts or dimensions for {self.task}, expected feature-extraction alone")
        if self.activation and self.task != "text-classification":
            raise ValueError(f"got activation for {self.task}, expected it for text-classification alone")
        if self.default_prompt and self.default_prompt not in self.prompts:
            raise ValueError(f"got default_prompt {self.default_prompt!r}, expected one of {sorted(self.prompts)}")
        if bool(self.checkpoint) != (self.weights_sha256 is not None):
            raise ValueError("got one of checkpoint and weights_sha256, expected both or none: one names the other")
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that this head can answer."""
        return (self.task, *self.also)


class Replicas(_Frozen):
    """How many replicas serve the model, and how many CPUs and GPUs one replica takes."""

    min: int = Field(default=1, ge=0)
    max: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    num_cpus: float = Field(default=1.0, ge=0, le=MAX_CPUS)
    num_gpus: float = Field(default=0.0, ge=0, le=MAX_GPUS)

    @model_validator(mode="after")
    def _min_is_at_most_max(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"got min {self.min} and max {self.max}, expected min to be at most max")
        return self


class Model(_Frozen):
    """One served model. `checkpoint` is a folder (relative to the catalog), `s3://…` or `hub:name@revision`.

    The digests are compared with the checkpoint when it is loaded: `weights_sha256` with its weights, `config_sha256`
    with its config.json, which decides how they are computed with. Catalogs older than the latter lack it.

    Tokens: `max_tokens` of one row, special ones included (max_position_embeddings - pad_id - 1 for XLM-R, all for
    BERT); `token_budget` of one forward pass; `max_backlog_tokens` that are admitted and not yet answered.
    `tokens_per_s`: a request that would take too long is refused by it; replicas also measure their own.

    Bytes: `max_cache_bytes` of keys and values that all generating rows may hold; `response_cache_bytes` of answers
    that each replica keeps for rows that are sent again (0: none).
    Precision: `dtype` is what the model computes in; `quantization` is how Linear layers are stored; with
    `int8_embeddings` the word embeddings are stored in 8 bits. `attn_implementation` takes the reference's names.

    `size_class` says how large the model is, and so which machines hold it. `stand_in` names the smaller model that may
    answer while this one cannot, if a caller allows it. `causal`: a token sees only the tokens before it. `lang2id`
    holds the ids of the languages that an XLM model reads. Any `eos_id` ends a generated text.
    """

    name: str = Field(pattern=MODEL_NAME)
    family: Family
    checkpoint: str
    weights_sha256: Sha256
    config_sha256: Sha256 | None = None
    tokenizer_sha256: Sha256
    revision: str = Field(default="1", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    int8_embeddings: bool = False
    attn_implementation: AttnImplementation = "auto"
    causal: bool = False
    size_class: SizeClass = "base"
    stand_in: str | None = None
    max_tokens: int = Field(ge=8, le=MAX_ROW_TOKENS)
    vocab_size: int = Field(ge=8)
    pad_id: int = 1
    mask_id: int | None = None
    mask_token: str | None = None
    bos_id: int | None = None
    eos_id: int | tuple[int, ...] | None = None
    lang2id: Mapping[str, int] = {}
    token_budget: int = Field(default=4096, ge=8)
    max_backlog_tokens: int = Field(default=131_072, ge=8)
    max_cache_bytes: int = Field(default=2**30, ge=0)
    response_cache_bytes: int = Field(default=0, ge=0)
    tokens_per_s: float = Field(default=1000.0, gt=0)
    max_batch_ms: float = Field(default=60.0, gt=0)
    languages: str = ""
    replicas: Replicas = Replicas()
    heads: Mapping[str, Head]

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, raw: object) -> object:
        """Read `lane`, the old name of `size_class`, with a warning."""
        if isinstance(raw, dict) and "lane" in raw:
            if "size_class" in raw:
                raise ValueError("got lane and size_class, expected size_class alone: lane is its old name")
            reason = "the catalog says lane, the old name of size_class; rename the key"
            log_event("catalog-key-renamed", level="warning", stream=sys.stderr, model=raw.get("name"), reason=reason)
            return {("size_class" if key == "lane" else key): value for key, value in raw.items()}
        return raw

    @model_validator(mode="after")
    def _one_default_per_task(self) -> Model:
        tasks = [head.task for head in self.heads.values() if head.default]
        if doubled := {task for task in tasks if tasks.count(task) > 1}:
            raise ValueError(f"model {self.name}: more than one default head for {sorted(doubled)}")
        return self

    @model_validator(mode="after")
    def _dtype_fits(self) -> Model:
        if self.quantization in BFLOAT16_ONLY and self.dtype != "bfloat16":
            raise ValueError(f"got dtype {self.dtype} with quantization {self.quantization}, expected bfloat16")
        if self.attn_implementation == "flash_attention_2" and self.dtype == "float32":
            raise ValueError("got dtype float32 with attn_implementation flash_attention_2, expected a half precision")
        return self

    def head_for(self, task: str, head: str | None) -> str:
        """Return the name of the head that does `task`: the named head, or the task's default.

        A head that was trained for a task comes before an embedder, which can rerank by its vectors. Raises NotFound
        for an unknown head, and Unprocessable when the head or the model cannot do the task.
        """
        able = [name for name, known in self.heads.items() if task in known.tasks]
        if head is None:
            trained = [name for name in able if self.heads[name].task != EMBEDS] or able
            default = [name for name in trained if self.heads[name].default] or trained
            if not default:
                found = f"model {self.name} has no head for {task}; its tasks: {sorted(self.tasks)}"
                raise Unprocessable(found, hint=way_to_head(task, self.name, self.checkpoint))
            return default[0]
        if head not in self.heads:
            raise NotFound(f"model {self.name} has no head {head[:SHOWN_CHARS]!r}; heads: {sorted(self.heads)}")
        if head not in able:
            found = f"head {self.name}:{head} does {', '.join(self.heads[head].tasks)}, not {task}"
            hint = None if able else way_to_head(task, self.name, self.checkpoint)
            raise Unprocessable(f"{found}; {f'try one of {able}' if able else 'no head of the model does'}", hint=hint)
        return head

    @property
    def n_threads(self) -> int:
        """Threads that torch may use on a CPU in one replica of the model, at least 1."""
        return max(1, math.ceil(self.replicas.num_cpus))

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that end a generated text."""
        named = self.eos_id
        return frozenset(() if named is None else (named,) if isinstance(named, int) else named)

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks that any of its heads can do."""
        return frozenset(task for head in self.heads.values() for task in head.tasks)


class Catalog(_Frozen):
    """All models by name; `default_model` answers when a request names none."""

    default_model: str
    models: Mapping[str, Model]

    @model_validator(mode="after")
    def _named_models_exist(self) -> Catalog:
        if self.default_model not in self.models:
            raise ValueError(f"default_model {self.default_model!r} is not one of {sorted(self.models)}")
        for model in self.models.values():
            check_stand_in(model, self.models)
        return self

    def model(self, name: str) -> Model:
        """Return a model. Raises NotFound, and names the models there are."""
        if name not in self.models:
            raise NotFound(f"no model {name[:SHOWN_CHARS]!r}; models: {sorted(self.models)}")
        return self.models[name]


def split_reference(reference: str) -> tuple[str, str | None]:
    """Split `model[:head]`; the head is None when absent. Raises Unprocessable when nothing follows the colon."""
    name, colon, head = reference.partition(":")
    if colon and not head:
        raise Unprocessable(f'model: got {shown(reference)}, expected "model" or "model:head"; leave out the colon')
    return name, head or None


def parse_catalog(text: str) -> Catalog:
    """Parse the TOML text of a catalog. Raises ValueError, and names each key that is wrong."""
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raise ValueError("catalog cannot be read: it is nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"catalog cannot be read: it is no TOML: {error}") from None
    if isinstance(models := raw.get("models"), dict):
        raw["models"] = {
            name: {**value, "name": name} if isinstance(value, dict) else value for name, value in models.items()
        }
    try:
        return Catalog.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {said(fault)}" for fault in error.errors())
        raise ValueError(f"catalog cannot be read: {faults}") from None


def load_catalog(path: Path) -> Catalog:
    """Read and parse a catalog file. Raises ValueError, OSError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"catalog cannot be read: it is not UTF-8: {error.reason} at byte {error.start}") from None
    return parse_catalog(text)
