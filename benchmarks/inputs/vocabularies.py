"""Makes tokenizers of real size from the pieces of a small one and from words composed of them.

    python -m benchmarks.inputs.vocabularies 250k|902k FOLDER

Load time, memory and speed depend on sizes and lengths, not on what a tokenizer has learnt. 250k has the 250,002 pieces
of XLM-R, 902k the 901,629 of XLM-V. All other rules are those of XLM-R. The same call always writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.data import N_PIECES, XLMR_TOKENIZER

SMALL = XLMR_TOKENIZER / "tokenizer.json"
SIZES: Mapping[str, int] = {"32k": N_PIECES, "250k": 250_002, "902k": 901_629}
UNSPACED = frozenset({"CJK", "THAI", "HIRAGANA", "KATAKANA", "LAO", "KHMER", "MYANMAR", "HANGUL"})
MAX_CHARS = 16
MIN_SCORE = -17.0
Piece = tuple[str, float]


def make(size: str, folder: Path) -> Path:
    """Write `folder`/{size}/tokenizer.json unless it is there. Return its path."""
    path = folder / size / "tokenizer.json"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if size == "32k":
        path.write_bytes(SMALL.read_bytes())
        return path
    rules: dict[str, Any] = json.loads(SMALL.read_text(encoding="utf-8"))
    *vocab, mask = rules["model"]["vocab"]
    rules["model"]["vocab"] = [*vocab, *_words(vocab, SIZES[size] - len(vocab) - 1), mask]
    rules["added_tokens"][-1]["id"] = SIZES[size] - 1
    path.write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
    return path


def _words(vocab: Sequence[Piece], wanted: int) -> list[Piece]:
    """Draw words: the start of a word, then one or two pieces of its script. Frequent pieces are drawn more often."""
    draw = random.Random(wanted)
    inner: dict[str, list[str]] = {}
    starts: list[tuple[str, str]] = []
    for piece, _ in vocab[4:]:
        script = _script(piece)
        if not piece.startswith("\u2581"):
            inner.setdefault(script, []).append(piece)
        if script and (script in UNSPACED or piece.startswith("\u2581")):
            starts.append((piece, script))
    starts = [(piece, script) for piece, script in starts if len(inner.get(script, ())) > MAX_CHARS]
    have = {piece for piece, _ in vocab}
    made: list[Piece] = []
    while len(made) < wanted:
        word, script = starts[int(draw.random() ** 1.5 * len(starts))]
        for _ in range(draw.choice((1, 1, 2))):
            word += inner[script][int(draw.random() ** 2 * len(inner[script]))]
        if word not in have and len(word) <= MAX_CHARS:
            have.add(word)
            made.append((word, max(MIN_SCORE, round(-8 - 8 * draw.random(), 6))))
    return made


def _script(piece: str) -> str:
    return next((unicodedata.name(char, " ").split(" ", 1)[0] for char in piece if char.isalpha()), "")


def main() -> int:
    """Make the tokenizer that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    print(make(chosen.size, chosen.folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
