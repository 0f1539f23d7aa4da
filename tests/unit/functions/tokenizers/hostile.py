"""Texts that are hard for tokenizers, and strategies that draw more of them."""

# ruff: noqa: RUF001 - characters that look alike are tested

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

AWKWARD = [
    "", " ", "   ", "\n", "Hello  world", " 你好,世界", "𝕳𝖊𝖑𝖑𝖔 😀👩\u200d👩\u200d👧 end", "e\u0301a\u0308 cafe\u0301",
    "㍿abc ﬁn", "a\x00b", "\x00", "\x1f\x1fHello world", "a</s>\x0b\x0bHello <mask>\x7fworld", "\u200b",
    "a <mask> b<mask>.", "</s> x<s><pad><unk>", "<special1> a<special1>b <special99> <special", "<s", "< s >", "<<s>>",
    "\u0085x", "a▁b", "▁", "ﷺ", "가각힣 \u1100\u1161\u11a8", "İstanbul I ı i", "\u00a0x\u3000y", "x\ufeffy", "ｶﾞｷﾞ",
    "क\u093c", "a\u0301\u0323b", "\r\n\t x", "ﬀ\u0301", "\u0301", "\u0301 \u0903", "x\u2028y", "٣٤٥ ①②③ ½",
    "\U0010ffff\ue000", "Ꮳꮳ ǅ ẞ ß ΣΑΣ ς", "🏳\ufe0f\u200d🌈 🇪🇺 👍🏽", "\u202eabc\u202c \u2066x\u2069", "a\u200db",
    "</w> x</w>y",     "U.S. Mr. Smith etc. 5 p.m. e.g. No. 5 a. B", "don't I'll l'amour 'tis '90s x' y",
    '"Hi," he said. "No." (yes); [a] {b}',
    "« Bonjour » „Gut“ ‚so‘ ``x'' ´´y´´",
    "3,14 1 000 5\u00a0000 12 % 5\u00a0% nº\u00a05 5\u00a0ºC 5\u00a0cm", "a...b.... . .. c",
    "DOTMULTI DOTDOTMULTI xMULTI", "——–- a-b @-@ &amp; &#124; <b> http://a.b/c?d=e me@x.org #x @y",
    "。．、？！（）【】《》",
    "Ştefan ţară Șt țâîăÂÎĂ", "１２３４５６７８９０％～", "สวัสดีชาวโลก  hello ๑๒",
    "我爱北京天安门。 Hello, 世界！", "日本語のテキスト。",
    'a"," b".", ,", ."', "a" * 2000, "\u0301" * 50, "ab" * 700, "." * 300,
]  # fmt: skip

BLOCKS = [
    "".join(chr(c) for c in range(start, start + 0x80) if unicodedata.category(chr(c)) != "Cs")
    for start in (*range(0x20, 0x3400, 0x80), 0x4E00, 0x9F80, *range(0xA000, 0xAC80, 0x80), 0xD780,
                  *range(0xE000, 0xE100, 0x80), *range(0xF900, 0x10400, 0x80), *range(0x10400, 0x13000, 0x800),
                  0x16A00, 0x16F00, 0x17000, 0x1B000, 0x1BC00, 0x1D000, 0x1D400, 0x1D780, 0x1E900, 0x1EE00, 0x1F000,
                  0x1F300, 0x1F600, 0x1F900, 0x20000, 0x2F800, 0xE0000, 0xE0100, 0x10FF80)
]  # fmt: skip  # a part of every Unicode block, also unassigned code points

_PARTS = [
    *"abé .,'\"`()-!?:;%&@#<>/▁ς\n\t0123", "<mask>", "</s>", "<s>", "<special1>", "<spec", "e\u0301", "😀",
    "👩\u200d👧", "가", "ﷺ", "\x00", "世界", "ﬁ", "  ", "\u093c", "\u00a0", "\u202e", "''", "...", "DOTMULTI",
    "«", "»", "„", "“", "…", "。", "nº", "İ",
    "Σ", "ß", "Mr.", "U.S.", "n't", "Ş", "สวัสดี", "\u2028", "\ue000", "1,2", '",', "</w>",
]  # fmt: skip
mixed = st.lists(st.sampled_from(_PARTS), max_size=25).map("".join)
anything = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
