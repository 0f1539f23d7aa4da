"""Reads sentences with a tag for each word, one word a line and a blank line after each sentence.

Reads what WikiAnn (`en:word<TAB>tag`), MasakhaNER (`word tag`) and Universal NER (`1<TAB>word<TAB>tag`, with comments)
were published as. Must not know models or metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glossa.evaluation.examples import Span, Tagged
from glossa.evaluation.readers.files import ill_formed, lines

TAG = re.compile(r"O|[BI]-\S+")
TEXT = "# text = "
MIN_WORD_COLUMNS = 3  # with the number of the word before it
Words = Literal["spaced", "written"]


@dataclass(frozen=True, slots=True)
class WordLine:
    """One word with its tag."""

    line: int
    word: str
    tag: str


def sentences(
    path: Path, *, comments: bool, words: Words, prefix: str = "", outside: Sequence[str] = ()
) -> list[Tagged]:
    """Return the sentences of a file.

    With `comments`, lines that begin with # and have no tab are no words. `words`: `spaced` puts one space between
    words, as the papers do it; `written` takes the text of the comment `# text = ` and finds the words in it. `prefix`
    is taken away from each word. Entities of the types in `outside` count as none. Raises Unprocessable for a line
    that is no word with a tag, and for `written` without such a comment.
    """
    found = []
    for written, begun in _blocks(path, comments=comments, prefix=prefix):
        tags = tuple("O" if each.tag[2:] in outside else each.tag for each in begun)
        each_word = [each.word for each in begun]
        if words == "written" and written is None:
            raise ill_formed(path, begun[0].line, f"got a sentence without {TEXT!r}, expected it for --words written")
        text = " ".join(each_word) if words == "spaced" or written is None else written
        spans = _spaced(each_word) if words == "spaced" else places(text, each_word)
        found.append(Tagged(text, tuple(spans), tags))
    return found


def places(text: str, words: Sequence[str]) -> list[Span]:
    """Return where each word stands in a text that was split into words.

    Where a word is not in the text as it is (contractions, such as `de` and `o` for `do`), it has the place of all
    that stands before the next word that is found.
    """
    spans: list[Span] = []
    waiting, at = 0, 0
    for word in words:
        while at < len(text) and text[at].isspace():
            at += 1
        begin = text.find(word, at) if waiting else at
        if not word or begin < 0 or not text.startswith(word, begin):
            waiting += 1
            continue
        spans += [(at, begin)] * waiting
        spans.append((begin, begin + len(word)))
        waiting, at = 0, begin + len(word)
    return [*spans, *([(at, len(text))] * waiting)]


def _spaced(words: Sequence[str]) -> Iterator[Span]:
    at = 0
    for word in words:
        yield at, at + len(word)
        at += len(word) + 1


def _blocks(path: Path, *, comments: bool, prefix: str) -> Iterator[tuple[str | None, list[WordLine]]]:
    written: str | None = None
    begun: list[WordLine] = []
    for line, text in lines(path):
        if comments and text.startswith("#") and "\t" not in text:
            written = text.removeprefix(TEXT) if text.startswith(TEXT) else written
        elif text.strip():
            begun.append(_word(path, line, text, prefix))
        elif begun:
            yield written, begun
            written, begun = None, []
    if begun:
        yield written, begun


def _word(path: Path, line: int, text: str, prefix: str) -> WordLine:
    cells = text.split("\t") if "\t" in text else text.rsplit(maxsplit=1)
    if len(cells) >= MIN_WORD_COLUMNS and cells[0].isdecimal():
        cells = cells[1:3]
    if len(cells) != 2 or not TAG.fullmatch(cells[1].strip()):  # noqa: PLR2004 - a word and its tag
        raise ill_formed(path, line, f"got {text[:60]!r}, expected a word and a tag: O, B-… or I-…")
    return WordLine(line, cells[0].removeprefix(prefix).strip(), cells[1].strip())
