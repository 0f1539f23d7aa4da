"""The plain lines that say what a model of the catalog is: what `add` prints, and `show`.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from shared.catalog import Head, Model
from shared.error_text import count, visible

if TYPE_CHECKING:
    from serve.models.checkpoint_facts import CheckpointFacts

SHOWN_LABELS, SHOWN_LANGUAGES, SHOWN_IGNORED = 4, 8, 3


def report(model: Model, facts: CheckpointFacts | None = None) -> list[str]:
    """Return about ten lines about a model. `facts` are those of its checkpoint, if that was read."""
    size = f", {facts.n_parameters:,} parameters" if facts else ""
    stored = f", {model.quantization}" if model.quantization != "none" else ""
    rows = " with int8 rows of words" if model.int8_embeddings else ""
    ignored: Sequence[str] = getattr(facts, "ignored", ())
    ids = f"{model.vocab_size:,} ids, pad {model.pad_id}"
    return [
        f"{model.name}: {model.family}{', causal' if model.causal else ''}{size}",
        f"checkpoint: {model.checkpoint}",
        f"computed in: {model.dtype}{stored}{rows}",
        f"heads: {'; '.join(_head(name, head) for name, head in model.heads.items())}",
        *_vectors(model),
        f"window: {model.max_tokens:,} tokens",
        f"vocabulary: {ids}, mask {model.mask_token or 'none'}",
        f"languages: {_languages(model)}",
        f"speed: {speed_of(model)}",
        *([f"ignored: {_some(ignored, SHOWN_IGNORED, '; ')}"] if ignored else ()),
    ]


def speed_of(model: Model) -> str:
    """Return the speed of one replica as the entry has it, or what is assumed where nobody measured it."""
    if "tokens_per_s" in model.model_fields_set:
        return f"{model.tokens_per_s:,.0f} tokens/s for each replica"
    return f"not measured; {model.tokens_per_s:,.0f} tokens/s is assumed until `glossa catalog refresh {model.name}`"


def _head(name: str, head: Head) -> str:
    facts = [", ".join(head.tasks)]
    if head.labels:
        facts.append(f"{count(len(head.labels), 'label')} ({_some(head.labels, SHOWN_LABELS)})")
    if head.problem_type != "single_label_classification":
        facts.append(head.problem_type.replace("_classification", "").replace("_", "-"))
    facts += [said for said in (head.variant, getattr(head, "activation", "")) if said]
    return f"{name}: {', '.join(facts)}"


def _vectors(model: Model) -> Iterator[str]:
    """Yield how each head of vectors makes one of a text."""
    for name, head in model.heads.items():
        if head.task == "feature-extraction" and head.variant == "":
            length = "length 1" if getattr(head, "normalize", False) else "not normalized"
            length = f"the first {head.dimensions} numbers, {length}" if head.dimensions else length
            named, default = [name for name, text in head.prompts.items() if text], head.default_prompt
            chosen = f", of which {default} is the default" if default else ""
            prompts = f"prompts {', '.join(named)}{chosen}" if named else "no prompts"
            yield f"vectors of {name}: {getattr(head, 'pooling', 'mean')} pooling, {length}, {prompts}"


def _languages(model: Model) -> str:
    if model.lang2id:
        return f"{len(model.lang2id)} ids ({_some(tuple(model.lang2id), SHOWN_LANGUAGES)})"
    return model.languages or "not said; --languages says them for people"


def _some(values: Sequence[str], n_shown: int, between: str = ", ") -> str:
    shown = between.join(map(visible, values[:n_shown]))
    return f"{shown}, … {len(values) - n_shown} more" if len(values) > n_shown else shown
