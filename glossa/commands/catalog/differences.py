"""Compares what the catalog says of a model with what its folder says now, fact by fact.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.catalog import Head, Model

# written by files alone, so a new value needs nobody's yes: other facts say what has changed in them
DIGESTS = ("weights_sha256", "config_sha256", "tokenizer_sha256")
FACTS = (
    "family", "max_tokens", "vocab_size", "pad_id", "mask_id", "mask_token", "bos_id", "eos_id", "causal", "lang2id",
)  # fmt: skip
OPTIONAL = frozenset({"mask_id", "mask_token", "bos_id", "eos_id"})  # an entry of before may lack them
CHOSEN = frozenset({"default"})  # facts of a head that people choose
SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that differs. With an empty `fact` the whole head is only in the catalog, or only in the folder."""

    head: str
    fact: str
    said: object
    found: object

    def __str__(self) -> str:
        """Return the line that people read: the value of the catalog, then that of the folder."""
        if not self.fact:
            task = getattr(self.said or self.found, "task", "")
            here, there = ("folder", "catalog") if self.said is None else ("catalog", "folder")
            return f"heads.{self.head}: the {here} has it ({task}), the {there} does not"
        place = f"heads.{self.head}.{self.fact}" if self.head else self.fact
        if isinstance(self.said, tuple) and isinstance(self.found, tuple) and self.fact == "labels":
            return f"{place}: {_labels(self.said, self.found)}"
        return f"{place}: the catalog has {_shown(self.said)}, the folder {_shown(self.found)}"


def differences(model: Model, found: Model) -> list[Difference]:
    """Return each fact of `model` that differs from what its folder says, `found`, without digests.

    While the configuration is the same byte for byte, a smaller window and fewer heads are what somebody chose. They
    are then no difference. A fact that only the folder has is none either, if entries of before lack it.
    """
    is_same = model.config_sha256 == found.config_sha256
    return [*_of_model(model, found, is_same=is_same), *_of_heads(model.heads, found.heads, is_same=is_same)]


def applied(model: Model, found: Sequence[Difference]) -> Model:
    """Return the model with the facts of the folder. Heads keep their defaults; a task without one gets its first."""
    facts = {each.fact: each.found for each in found if not each.head}
    heads = dict(model.heads)
    for each in found:
        if each.head and each.fact:
            heads[each.head] = heads[each.head].model_copy(update={each.fact: each.found})
        elif isinstance(each.found, Head):
            heads[each.head] = each.found.model_copy(update={"default": False})
        elif each.head:
            del heads[each.head]
    return model.model_copy(update={**facts, "heads": _with_defaults(heads)})


def _with_defaults(heads: Mapping[str, Head]) -> dict[str, Head]:
    done: dict[str, Head] = {}
    answered = set()
    for name, head in sorted(heads.items(), key=lambda item: not item[1].default):
        is_first = head.task not in answered
        answered.add(head.task)
        done[name] = head.model_copy(update={"default": is_first}) if head.default or is_first else head
    return {name: done[name] for name in heads}


def _of_model(model: Model, found: Model, *, is_same: bool) -> Iterator[Difference]:
    for fact in FACTS:
        said, is_now = getattr(model, fact), getattr(found, fact)
        is_chosen = fact == "max_tokens" and is_same and said < is_now
        is_new = fact in OPTIONAL and said is None
        if said != is_now and not is_chosen and not is_new:
            yield Difference("", fact, said, is_now)


def _of_heads(said: Mapping[str, Head], found: Mapping[str, Head], *, is_same: bool) -> Iterator[Difference]:
    for name, head in said.items():
        if head.checkpoint:  # it was trained apart, so the folder knows nothing of it
            continue
        if name not in found:
            yield Difference(name, "", head, None)
            continue
        yield from _of_head(name, head, found[name])
    if not is_same:
        yield from (Difference(name, "", None, head) for name, head in found.items() if name not in said)


def _of_head(name: str, said: Head, found: Head) -> Iterator[Difference]:
    """Yield the facts of one head.

    Other tasks that only a newer Glossa knows of are no difference by themselves. Nor are prompts without a text.
    """
    pairs = {fact: (getattr(said, fact), getattr(found, fact)) for fact in Head.model_fields if fact not in CHOSEN}
    differing = [fact for fact, (before, is_now) in pairs.items() if _with_texts(before) != _with_texts(is_now)]
    if differing != ["also"] or set(said.also) - set(found.also):
        yield from (Difference(name, fact, *pairs[fact]) for fact in differing)


def _with_texts(value: object) -> object:
    """Return a fact, of prompts those that change a text."""
    return {name: text for name, text in value.items() if text} if isinstance(value, Mapping) else value


def _labels(said: tuple[str, ...], found: tuple[str, ...]) -> str:
    """Return both lists if they are short, else how many there are and the first that differs."""
    whole = f"the catalog has {_shown(said)}, the folder {_shown(found)}"
    if len(whole) <= SHOWN_CHARS:
        return whole
    at = next(
        (i for i, (mine, theirs) in enumerate(zip(said, found, strict=False)) if mine != theirs),
        min(len(said), len(found)),
    )
    first = [", ".join(map(repr, labels[at : at + 1])) or "none" for labels in (said, found)]
    return f"the catalog has {len(said)} with {first[0]} at {at}, the folder {len(found)} with {first[1]}"


def _shown(value: object) -> str:
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    text = str(dict(value)) if isinstance(value, Mapping) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
