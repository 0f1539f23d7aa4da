"""Says which rules of a `tokenizer.json` the kernel applies, and by which flags.

Rules that are written in different ways and mean the same have the same flags. Must not know vocabularies or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from functions.tokenizers.memory_mapped.file_format import WORD_MARK
from functions.tokenizers.memory_mapped.kernel import Rule
from glossa.tokenizer_build.rules import flat

Json = Mapping[str, Any]
SPLIT = {"type": "WhitespaceSplit"}
MARKS = {"always": Rule.MARKS_ALL, "first": Rule.MARKS_FIRST, "never": Rule(0)}  # by prepend_scheme
RUNS_OF_SPACES = {"Regex": " {2,}"}
ORDER = ("Precompiled", "Strip", "Replace")  # of normalizers before Metaspace alone


def rule_flags(normalizer: Json | None, pre_tokenizer: Json | None) -> Rule:
    """Return the flags of a normalizer and a pre-tokenizer, as the library writes them.

    Where the text is split at white space first, `Strip` and `Replace` of spaces by one change nothing. Raises
    ValueError with the reason when the kernel cannot apply them.
    """
    flags = _pre_tokenizer_flags(list(flat(pre_tokenizer)))
    each_rule = list(flat(normalizer))
    if other := [each["type"] for each in each_rule if not _is_known(each)]:
        raise ValueError(f"the kernel has no normalizer {other[0]} of this kind")
    order = [ORDER.index(each["type"]) for each in each_rule]
    if order != sorted(order) or len(set(order)) != len(order):
        raise ValueError(f"its normalizers are not {', '.join(ORDER)} in this order")
    if Rule.SPLITS not in flags:
        return flags | _normalizer_flags(each_rule)
    if any(each["type"] == "Replace" and each["content"] != " " for each in each_rule):
        raise ValueError("it replaces spaces by marks before it splits at spaces")
    return flags


def other_normalizers(normalizer: Json | None) -> list[Json]:
    """Return all normalizers but the table of `Precompiled`."""
    return [each for each in flat(normalizer) if each["type"] != "Precompiled"]


def table_of(normalizer: Json | None) -> str:
    """Return the table of `Precompiled` in base64, empty if there is none."""
    return next((str(each["precompiled_charsmap"]) for each in flat(normalizer) if each["type"] == "Precompiled"), "")


def is_metaspace(rule: Json) -> bool:
    """Return whether a rule splits before each mark, or joins pieces by marks."""
    return rule["type"] == "Metaspace" and rule["replacement"] == WORD_MARK and bool(rule["split"])


def _pre_tokenizer_flags(each_rule: Sequence[Json]) -> Rule:
    *before, last = each_rule or [{"type": None}]
    if not is_metaspace(last) or before not in ([], [SPLIT]):
        raise ValueError("it does not split by Metaspace, alone or after WhitespaceSplit")
    if before and last["prepend_scheme"] == "first":
        raise ValueError("it marks the first word alone, after WhitespaceSplit")
    return MARKS[last["prepend_scheme"]] | (Rule.SPLITS if before else Rule(0))


def _is_known(rule: Json) -> bool:
    if rule["type"] == "Replace":
        return bool(rule["pattern"] == RUNS_OF_SPACES) and rule["content"] in (" ", WORD_MARK)
    return rule["type"] in ORDER


def _normalizer_flags(each_rule: Sequence[Json]) -> Rule:
    flags = Rule(0)
    for each in _flags(each_rule):
        flags |= each
    return flags


def _flags(each_rule: Sequence[Json]) -> Iterator[Rule]:
    for each in each_rule:
        if each["type"] == "Replace":
            yield Rule.MERGES_SPACES
        if each["type"] == "Strip":
            yield Rule.STRIPS_LEFT if each["strip_left"] else Rule(0)
            yield Rule.STRIPS_RIGHT if each["strip_right"] else Rule(0)
