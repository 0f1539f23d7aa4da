"""Draws the committed workloads from public data: `python -m benchmarks.workloads.make --data DATA`.

`sib-mix` has 512 texts: at least one SIB-200 sentence of every language, and 5 % documents cut to 300-512 tokens.
`short` has 512 queries: the first words of such sentences. `long` has 64 documents cut to 512 tokens. Tokens are those
of `benchmarks.inputs.workload`. It ran once; benchmarks read what is committed.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
from collections.abc import Iterable
from pathlib import Path

from benchmarks.inputs.workload import TOKENIZER
from functions.tokenizers.load import load_tokenizer

HERE = Path(__file__).parent
N_TEXTS, N_DOCUMENTS, N_LONG = 512, 26, 64
MAX_WORDS = 6
TEXT_TOKENS = 510  # two of 512 are special tokens


def main() -> int:
    """Draw and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sib200 and documents")
    data = parser.parse_args().data
    chance = random.Random(7)
    sentences, documents = _sentences(data, chance), _documents(data, chance)
    encode = load_tokenizer(TOKENIZER).encode
    sizes = [chance.randint(300, TEXT_TOKENS) for _ in range(N_DOCUMENTS)]
    mixed = sentences[: N_TEXTS - N_DOCUMENTS] + [
        _cut(text, size, encode) for text, size in zip(documents, sizes, strict=False)
    ]
    chance.shuffle(mixed)
    _write("sib-mix", mixed)
    _write("short", (" ".join(text.split()[:MAX_WORDS])[:60] for text in sentences[-N_TEXTS:]))
    _write("long", (_cut(text, TEXT_TOKENS, encode) for text in documents[N_DOCUMENTS : N_DOCUMENTS + N_LONG]))
    return 0


def _sentences(data: Path, chance: random.Random) -> list[str]:
    """Return one sentence of each language after the other, so that any 205 in a row have every language."""
    by_language: dict[str, list[str]] = {}
    with lzma.open(data / "sib200" / "train.tsv.xz", "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            language, _, _, text = line.rstrip("\n").split("\t")
            by_language.setdefault(language, []).append(text)
    return [text for _ in range(6) for texts in by_language.values() for text in chance.sample(texts, 1)]


def _documents(data: Path, chance: random.Random) -> list[str]:
    with lzma.open(data / "documents" / "documents.jsonl.xz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    chance.shuffle(texts)
    return texts


def _cut(text: str, n_tokens: int, encode: object) -> str:
    offsets = encode(text).offsets  # type: ignore[operator] # it is a method of the tokenizer
    return text[: offsets[n_tokens - 1][1]] if len(offsets) > n_tokens else text


def _write(name: str, texts: Iterable[str]) -> None:
    lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    (HERE / f"{name}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
