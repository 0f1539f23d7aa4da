"""Which normalizers and pre-tokenizers the kernel applies, and by which flags."""

from __future__ import annotations

from typing import Any

import pytest

from functions.tokenizers.memory_mapped.kernel import Rule
from glossa.tokenizer_build.kernel_rules import other_normalizers, rule_flags, table_of
from tests.unit.functions.tokenizers.forms import METASPACE, ONE_SPACE, PUNCTUATION, SPLIT, STRIP, split

TABLE = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
SPACED = split(SPLIT, METASPACE)
FIRST = METASPACE | {"prepend_scheme": "first"}
MARKED = ONE_SPACE | {"content": "\u2581"}
LOWER = {"type": "Lowercase"}
BOTH_ENDS = Rule.STRIPS_LEFT | Rule.STRIPS_RIGHT


def sequence(*rules: dict[str, Any]) -> dict[str, Any]:
    """Return a sequence of normalizers."""
    return {"type": "Sequence", "normalizers": list(rules)}


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "flags"),
    [
        (TABLE, SPACED, Rule.SPLITS | Rule.MARKS_ALL),
        (None, SPACED, Rule.SPLITS | Rule.MARKS_ALL),
        (sequence(TABLE, STRIP, ONE_SPACE), SPACED, Rule.SPLITS | Rule.MARKS_ALL),
        (sequence(TABLE, ONE_SPACE), METASPACE, Rule.MERGES_SPACES | Rule.MARKS_ALL),
        (sequence(sequence(TABLE), MARKED), split(METASPACE), Rule.MERGES_SPACES | Rule.MARKS_ALL),
        (sequence(TABLE, STRIP), FIRST, BOTH_ENDS | Rule.MARKS_FIRST),
        (TABLE, METASPACE | {"prepend_scheme": "never"}, Rule(0)),
    ],
)
def test_each_form_has_its_flags(normalizer: Any, pre_tokenizer: Any, flags: Rule) -> None:
    """After a split at white space, rules about spaces change nothing."""
    assert rule_flags(normalizer, pre_tokenizer) == flags


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "reason"),
    [
        (LOWER, METASPACE, "no normalizer Lowercase"),
        (ONE_SPACE | {"pattern": {"String": "  "}}, METASPACE, "no normalizer Replace"),
        (sequence(STRIP, TABLE), METASPACE, "in this order"),
        (sequence(TABLE, TABLE), SPACED, "in this order"),
        (sequence(TABLE, MARKED), SPACED, "spaces by marks"),
        (TABLE, SPLIT, "Metaspace"),
        (TABLE, None, "Metaspace"),
        (TABLE, split(SPLIT, PUNCTUATION, METASPACE), "Metaspace"),
        (TABLE, METASPACE | {"split": False}, "Metaspace"),
        (TABLE, METASPACE | {"replacement": "_"}, "Metaspace"),
        (TABLE, split(SPLIT, FIRST), "first word"),
    ],
)
def test_other_rules_have_a_reason(normalizer: Any, pre_tokenizer: Any, reason: str) -> None:
    """What the kernel would read otherwise than the library is refused here, so that the library reads it."""
    with pytest.raises(ValueError, match=reason):
        rule_flags(normalizer, pre_tokenizer)


def test_the_table_is_kept_apart() -> None:
    """The prebuilt file holds the table in parts of its own."""
    assert table_of(sequence(TABLE, STRIP)) == "AAAA"
    assert other_normalizers(sequence(TABLE, STRIP)) == [STRIP]
    assert (table_of(None), other_normalizers(None)) == ("", [])
