"""Compares the rules of a stored `tokenizer.json` with those that transformers 5 applies.

`XLMRobertaTokenizer` of transformers 5 keeps the vocabulary and the character map of the file, and builds all other
rules anew. Some stored rules mean nearly the same, for example those of E5 and BGE. Others were part of the training,
for example a rule that splits at punctuation. Must not know folders or catalogs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import tokenizers

from functions.tokenizers.tokenizer import Layout
from functions.tokenizers.unigram import JsonTokenizer

Json = Mapping[str, Any]
RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
MARK = "\u2581"
UNK_ID = 3  # of every XLMRobertaTokenizer
RUNS_OF_SPACES = ({"Regex": " {2,}"}, {"String": "  "})
SHELL = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], [f"{MARK}a", -1.0], ["a", -1.0]]}


def rules_of(stored: Json) -> dict[str, Any]:
    """Return the rules of a `tokenizer.json` in the form that the library writes today; older forms mean the same.

    Raises ValueError when the library cannot read them.
    """
    found = json.loads(_shell(stored))
    return {name: found[name] for name in RULES}


def same_meaning(stored: Json, applied: Json) -> bool:
    """Return whether two files have the same vocabulary, scores, added tokens and rules."""
    ours, theirs = stored.get("model", {}), applied["model"]
    if ours.get("type", "Unigram") != "Unigram" or theirs["type"] != "Unigram":
        return bool(ours == theirs)
    facts = [
        (model["vocab"], model.get("unk_id"), bool(model.get("byte_fallback")), _added(file))
        for model, file in ((ours, stored), (theirs, applied))
    ]
    return facts[0] == facts[1] and rules_of(stored) == rules_of(applied)


def lost_rule(stored: Json, scheme: str = "always") -> str | None:
    """Return a rule that `XLMRobertaTokenizer` of transformers 5 drops and that training relies on; None if none.

    Not lost in effect: `Strip`, and `Replace` of several spaces by one, since it splits at spaces anyway; Metaspace
    without `WhitespaceSplit`; another way to write the same special tokens. `scheme` is the `prepend_scheme` that it
    applies. Raises ValueError when the library cannot read the rules.
    """
    if (lost := _lost_of_model(stored.get("model", {}))) is not None:
        return lost
    rules = rules_of(stored)
    lost = _lost_normalizer(rules["normalizer"]) or _lost_pre_tokenizer(rules["pre_tokenizer"], scheme)
    if lost is None and not _is_of_the_family(layout_of(stored)):
        return "post_processor"
    return lost


def _lost_of_model(model: Json) -> str | None:
    if (kind := model.get("type", "Unigram")) != "Unigram":
        return f"model {kind}"
    if model.get("unk_id") != UNK_ID:
        return f"unk_id {model.get('unk_id')}"
    return "byte_fallback" if model.get("byte_fallback") else None


def _lost_normalizer(rule: Json | None) -> str | None:
    each_rule = list(flat(rule))
    if other := [each["type"] for each in each_rule if not _is_kept_normalizer(each)]:
        return f"normalizer {other[0]}"
    maps = {each["precompiled_charsmap"] for each in each_rule if each["type"] == "Precompiled"}
    is_lost = len(maps) > 1 or (len(maps) == 1 and rule is not None and not _is_found(rule))
    return "normalizer Precompiled" if is_lost else None


def _lost_pre_tokenizer(rule: Json | None, scheme: str) -> str | None:
    each_rule = list(flat(rule))
    for each in each_rule:
        if each["type"] != "WhitespaceSplit" and not _is_metaspace(each, scheme):
            facts = {name: value for name, value in each.items() if name in ("prepend_scheme", "split")}
            return f"pre-tokenizer {each['type']}{f' {json.dumps(facts)}' if facts else ''}"
    if any(each["type"] == "Metaspace" for each in each_rule):
        return None
    return f"pre-tokenizer {each_rule[0]['type'] if each_rule else None}"


def prepend_scheme(rules: Json) -> str | None:
    """Return the `prepend_scheme` of the first Metaspace rule, None without such a rule."""
    found = (each["prepend_scheme"] for each in flat(rules["pre_tokenizer"]) if each["type"] == "Metaspace")
    return next(found, None)


def flat(rule: Json | None) -> Iterator[Json]:
    """Yield the rules of a sequence in their order, or a rule that is no sequence; none for None."""
    if rule is None:
        return
    for name in ("normalizers", "pretokenizers"):
        for each in rule.get(name, ()):
            yield from flat(each)
    if rule["type"] != "Sequence":
        yield rule


def layout_of(stored: Json) -> Layout:
    """Return the special ids that the rules put around a text and a pair."""
    return JsonTokenizer(_shell(stored).encode()).layout


def _shell(stored: Json) -> str:
    """Return the rules with a tiny vocabulary, so that they are read at once."""
    rules: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "model": SHELL}
    rules |= {name: stored.get(name) for name in RULES}
    try:
        return str(tokenizers.Tokenizer.from_str(json.dumps(rules)).to_str())
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ValueError(f"the rules of tokenizer.json cannot be read: {error}") from None


def _added(file: Json) -> list[Any]:
    return sorted(file.get("added_tokens") or [], key=lambda token: int(token["id"]))


def _is_kept_normalizer(rule: Json) -> bool:
    if rule["type"] == "Replace":
        return rule["pattern"] in RUNS_OF_SPACES and rule["content"] in (" ", MARK)
    return rule["type"] in ("Precompiled", "Strip")


def _is_found(normalizer: Json) -> bool:
    """Return whether transformers finds the character map: it looks at the rule and at the parts of one sequence."""
    return any(each["type"] == "Precompiled" for each in (normalizer, *normalizer.get("normalizers", ())))


def _is_metaspace(rule: Json, scheme: str) -> bool:
    wanted = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": True}
    return all(rule.get(name) == value for name, value in wanted.items())


def _is_of_the_family(layout: Layout) -> bool:
    """Return whether texts stand between one token and another, and pairs have the second one twice between them."""
    return len(layout.first) == len(layout.last) == 1 and layout.middle == layout.last * 2
