"""Texts that have broken text services before, and random ones of the same kinds, always the same for a number.

The kinds: control characters, marks without letters, joiners, directions, what normalization expands, special tokens,
braces and markup, very long words, every script, and escapes that are no text at all. Must not know any task.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

WRITTEN = (
    "",
    " ",
    "\t\n\r\v\f",
    "\0",
    "a\0b",
    "\ufeffBOM",
    "\ufffe\uffff\U0010ffff",
    "\ud800",
    "a\udfffb",
    "\u200b\u200d\u2060",
    "\u202eevil\u202c \u2066x\u2069",
    "e" + "\u0301" * 500,
    "\u0301\u0301",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "ﷺ" * 200,
    "ﬃ½①㍿㌀",
    "👩‍👩‍👧‍👦🏳️‍🌈🇪🇺" * 20,
    "\u0130\u0131\u017fK",
    "\uff48\uff41\uff4c\uff46\u3000\uff57\uff49\uff44\uff54\uff48",
    "<mask>",
    "<mask><mask> <mask>",
    "</s><s><pad><unk>",
    "▁▁▁ ▁",
    "a <mask",
    "[MASK] <|endoftext|> <special1>",
    "{}",
    "{{}} {0} {a!r:>99999}",
    "%s%n%d",
    "$(id) `id` ${jndi:ldap://x}",
    "' OR 1=1 --",
    '"; drop table jobs',
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "C:\\con\\nul",
    "null",
    "NaN",
    "1e999",
    "-0",
    "\\u0000\\ud800\\",
    '{"inputs": "a"}',
    "[" * 100,
    "a" * 3000,
    "a " * 2000,
    "\n" * 2000,
    "ก" * 1000,
    "漢" * 1000,
    "שָׁלוֹם العربية हिन्दी ไทย 日本語 한국어 ελληνικά",
    "🏴" + "\U000e0067\U000e0062\U000e007f",
    "\U000e0001\U000e0041",
    "a\u2028b\u2029c\u0085d",
    "\U0001d57f\U0001d58a\U0001d59d\U0001d599 \U0001d4af\u212f\U0001d4cd\U0001d4c9",
    "mini:topic",
    "O",
)
_RANGES: Sequence[tuple[int, int]] = (
    (0x00, 0x20), (0x20, 0x7F), (0x80, 0xA0), (0x300, 0x370), (0x590, 0x700), (0x900, 0xE00), (0xE00, 0xF00),
    (0x1100, 0x1200), (0x2000, 0x2070), (0x2580, 0x2600), (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00),
    (0xD800, 0xE000), (0xE000, 0xE100), (0xFB00, 0xFE00), (0xFFF0, 0x10000), (0x1F300, 0x1F700), (0xE0000, 0xE0080),
    (0x10FF00, 0x110000),
)  # fmt: skip
_PIECES = ("<mask>", "</s>", "{}", "▁", "\u200d", "\u0301", "ﷺ", " ", "\n", "a", ",", "</", "\\")


def hostile_texts(n_texts: int, seed: int = 1) -> Iterator[str]:
    """Yield so many texts: first the written ones, then random ones."""
    yield from WRITTEN[:n_texts]
    source = random.Random(seed)
    for _ in range(n_texts - len(WRITTEN)):
        yield "".join(_part(source) for _ in range(source.randrange(1, 12)))


def _part(source: random.Random) -> str:
    if source.random() < 0.3:
        return source.choice(_PIECES) * source.choice((1, 1, 2, 40))
    first, end = source.choice(_RANGES)
    return "".join(chr(source.randrange(first, end)) for _ in range(source.choice((1, 3, 10, 60))))
