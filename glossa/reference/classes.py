"""Answers rows with the classes of `transformers`, from the same checkpoint folder, for one head at a time.

The reference reads the folder itself where it can. Heads of a heads.json, and folders that transformers does not read,
get a model of the head's class with the checkpoint's tensors. Must not know the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
import transformers
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from serve.checkpoints.folders import transformer_folder
from serve.checkpoints.read import read_tensors
from serve.models.checkpoint_facts import check_tensors, read_config
from serve.models.tensor_names import stored_tensors
from serve.rows.row import Row, RowOutput
from shared.catalog import Head, Model

Pairs = list[tuple[torch.Tensor, torch.Tensor]]  # ours, the reference's
CLASSES = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL", "xlm": "XLM", "bert": "Bert"}
KINDS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
    "fill-mask": "ForMaskedLM",
    "text-generation": "ForCausalLM",
    "feature-extraction": "Model",
}
OWN_KINDS = {  # of a family that names its classes otherwise
    "xlm": {"question-answering": "ForQuestionAnsweringSimple", "fill-mask": "WithLMHeadModel",
            "text-generation": "WithLMHeadModel"},
    "bert": {"text-generation": "LMHeadModel"},
}  # fmt: skip
STATES_ALONE = ("linear", "sparse")  # variants that transformers has no class for: one layer on the backbone's states
NOISY = (  # libraries that speak while a class of transformers is imported and read
    "transformers",  # of the tensors of other heads
    "torchao",  # of each CUDA library that a CPU machine lacks
    "torch.utils._pytree",  # of what torchao does
)
OWN_PREFIX = {"text-classification": "classifier", "token-classification": "classifier",
              "question-answering": "qa_outputs", "multiple-choice": "classifier"}  # fmt: skip
XLM_PREFIX = {"text-classification": "sequence_summary", "multiple-choice": "logits_proj"}
# tensors that a class makes itself, ties, or has without reading them
MADE = ("pooler", "decoder", "position_ids", "pred_layer.proj.weight")
SPAN = ("start", "end")
LISTED = "heads."  # where the tensors of a heads.json lie


class Reference:
    """The reference of one head: it makes our output and its own comparable for a row."""

    def __init__(self, model: Model, folder: Path, head: Head) -> None:
        """Load the class of the head in float32, its weights rounded to the model's dtype.

        Raises NotImplementedError that says why a head has no reference.
        """
        self.head, self._family = head, model.family
        self._extra: Mapping[str, torch.Tensor] = {}
        is_plain = head.task == "feature-extraction" or head.variant in STATES_ALONE
        with quiet():
            kind = _class_of(model, "feature-extraction" if is_plain else head.task, head.variant)
        config, state, self._extra = _tensors(folder, head, backbone_only=is_plain, kind=kind)
        direct = None if head.prefix.startswith(LISTED) and not is_plain else _read_by_transformers(kind, folder)
        self.network = direct or _made_of(kind, config, state)
        dtype = getattr(torch, model.dtype)
        _round(self.network, dtype)
        self._extra = {name: tensor.to(dtype).float() for name, tensor in self._extra.items()}

    @torch.no_grad()
    def pairs(self, row: Row, output: RowOutput) -> Pairs:
        """Return our numbers for a row beside those of the reference, of equal shapes."""
        task = self.head.task
        if self.head.variant in STATES_ALONE:
            return [self._from_one_layer(row, output)]
        if task == "feature-extraction":
            return [self._vectors(row, output)]
        if task in {"fill-mask", "text-generation"}:
            return self._masked(row, output)
        inputs = {"input_ids": row.input_ids.long()[None]}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if self.head.variant == "beam":
            states = self.network.transformer(**inputs).last_hidden_state
            starts = self.network.qa_outputs.start_logits(states)[0].softmax(-1)
            ours = output["start_top_log_probs"][0]
            n_starts = min(ours.shape[0], starts.shape[0])
            return [(ours[:n_starts].log(), starts.topk(n_starts).values.log())]
        if task == "multiple-choice":
            inputs = {name: own[None] for name, own in inputs.items()}  # the one choice of one question
        found = self.network(**inputs)
        if task == "question-answering":
            return [(output["start"], found.start_logits[0]), (output["end"], found.end_logits[0])]
        return [(output["logits"], found.logits.reshape(output["logits"].shape))]

    def _states(self, row: Row) -> torch.Tensor:
        ids = row.input_ids.long()[None]
        base = getattr(self.network, self.network.base_model_prefix, self.network)
        states: torch.Tensor = base(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        return states

    def _from_one_layer(self, row: Row, output: RowOutput) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of a classifier on a pooled vector, or the weights of tokens as BGE-M3 computes them."""
        states = self._states(row)
        weight, bias = (self._extra[f"{self.head.prefix}.{part}"] for part in ("weight", "bias"))
        if self.head.variant == "linear":
            return output["logits"][0], F.linear(_pooled(states, self.head.pooling), weight, bias)
        return output["token_weights"], F.linear(states, weight, bias).relu()[:, 0]

    def _vectors(self, row: Row, output: RowOutput) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one pooled vector; if it has length 1, at the scale of the states."""
        vector, ours = _pooled(self._states(row), row.pooling), output["vectors"][0]
        if row.normalize:
            return ours * vector.norm(), F.normalize(vector, dim=0) * vector.norm()
        return ours, vector

    def _masked(self, row: Row, output: RowOutput) -> Pairs:
        places = list(row.positions)
        if self._family == "xlm":  # its own forward passes [1, tokens, width], for which log_prob fails
            proj, states = self.network.pred_layer.proj, self._states(row)[places]
            logits = proj.log_prob(states) if self.network.config.asm else proj(states)
        else:
            ids = row.input_ids.long()[None]
            logits = self.network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, places]
        return [
            (output["top_logits"], logits.topk(row.top_k).values),
            (output["top_logits"], logits.gather(1, output["top_ids"].long())),
            (output["log_sum_exp"], logits.logsumexp(-1)),
        ]


def _pooled(states: torch.Tensor, pooling: str) -> torch.Tensor:
    return {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[pooling]


def _class_of(model: Model, task: str, variant: str) -> Any:
    """Return the class of transformers that has such a head."""
    kind = OWN_KINDS.get(model.family, {}).get(task, KINDS[task])
    kind = KINDS[task] if variant == "beam" else kind
    name = f"{CLASSES[model.family]}{kind}"
    if not hasattr(transformers, name):
        raise NotImplementedError(f"transformers has no {name}")
    return getattr(transformers, name)


def _read_by_transformers(kind: Any, folder: Path) -> Any:
    """Return the model that transformers reads from the folder, None when it lacks or renames a tensor."""
    try:
        with quiet():
            network, loading = kind.from_pretrained(
                str(transformer_folder(folder)), dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError):
        return None
    missing = [name for name in loading["missing_keys"] if ".pooler." not in f".{name}"]
    needs_pooler = kind.__name__.endswith("ForMultipleChoice") and loading["missing_keys"]
    return None if missing or needs_pooler or loading["mismatched_keys"] else network.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, reports and warnings of the libraries from standard error."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels, had_bar = [logger.level for logger in loggers], is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call] # transformers has no types for it
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bar:
            enable_progress_bar()  # type: ignore[no-untyped-call] # transformers has no types for it


def _tensors(
    folder: Path, head: Head, *, backbone_only: bool, kind: Any
) -> tuple[Any, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return configuration, tensors by the names of `kind`, and the tensors of the head by their own names."""
    family, config = read_config(folder)
    found = stored_tensors(folder, family, config)
    backbone, of_head = check_tensors(found.shapes, family, config, [head])
    read = read_tensors(folder, found.stored(backbone.keys() | of_head), torch.float32)
    base = "" if backbone_only else f"{kind.base_model_prefix}."
    state = {f"{base}{own}": read[found.stored_names[name]] for name, own in backbone.items()}
    extra = {name: read[found.stored_names[name]] for name in of_head}
    if backbone_only:
        return config, state, extra
    prefixes = OWN_PREFIX | (XLM_PREFIX if family.FAMILY == "xlm" else {})
    for name, tensor in extra.items():
        own = name.replace(head.prefix, prefixes.get(head.task, head.prefix), 1) if head.prefix else name
        state[f"{base}{name}" if name.startswith("pooler.") else own] = tensor
    return _with_labels(config, head), state, extra


def _with_labels(config: Any, head: Head) -> Any:
    labels = SPAN if head.task == "question-answering" else head.labels
    if not labels:
        return config
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
    return type(config).from_dict(config.to_dict() | named)


def _made_of(kind: Any, config: Any, state: Mapping[str, torch.Tensor]) -> Any:
    network = kind(config).eval()
    missing, strange = network.load_state_dict(state, strict=False)
    if not getattr(config, "asm", False):  # an adaptive softmax has no weight to tie
        network.tie_weights()
    wrong = [name for name in (*missing, *strange) if not any(part in name for part in MADE)]
    if wrong:
        raise NotImplementedError(f"the checkpoint and {kind.__name__} do not both have {wrong[0]}")
    return network


def _round(network: Any, dtype: torch.dtype) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.to(dtype).float())
