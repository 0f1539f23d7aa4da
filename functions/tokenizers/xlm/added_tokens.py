"""Cuts a text at the added tokens, by the reference's trie, whose answer for overlapping tokens is its own.

Ported from `Trie.split` and `PreTrainedTokenizer.tokenize` of transformers (tokenization_python.py), judged by
random tokens against it. Must not know vocabularies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from functions.tokenizers.xlm.artifact import Added

Node = dict[str, Any]
END = ""  # the key that marks the end of a token in the trie


@dataclass(slots=True)
class Chunk:
    """A run of the text: `text` is what is read of it, `text[start:end]` where it stands. `token`: an added token."""

    text: str
    start: int
    end: int
    token: bool = False


class AddedTokens:
    """The added tokens of a vocabulary, ready to be looked for."""

    def __init__(self, added: Iterable[Added]) -> None:
        """Take tokens in the reference's order; of two with one content the later holds."""
        self._by_content = {token.content: token for token in added if token.content}
        self._root: Node = {}
        for content in self._by_content:
            node = self._root
            for char in content:
                node = node.setdefault(char, {})
            node[END] = True

    def split(self, text: str) -> list[Chunk]:
        """Return the text in order: added tokens, and what stands between them."""
        cuts = _in_order(self._cuts(text), len(text))
        chunks = [Chunk(text[a:b], a, b) for a, b in pairwise(cuts)]
        for i, chunk in enumerate(chunks):
            if (token := self._by_content.get(chunk.text)) is not None:
                _make_room(chunks, i, token)
        for chunk in chunks:  # only now: room making may leave a token, or make one
            chunk.token = chunk.text in self._by_content
        return [chunk for chunk in chunks if chunk.text]

    def _cuts(self, text: str) -> list[int]:
        cuts, skip = [0], 0
        states: dict[int, Node] = {}
        for at, char in enumerate(text):
            if at < skip:
                continue
            found, states = _step(states, char)
            if found is not None:
                start, end, skip = _look_ahead(states, found, at, text, skip)
                cuts += [start, end]
                states = {}
            if at >= skip and char in self._root:
                states[at] = self._root[char]
        for start, node in states.items():
            if END in node:
                cuts += [start, len(text)]
                break
        return cuts


def _step(states: dict[int, Node], char: str) -> tuple[int | None, dict[int, Node]]:
    """Follow one character in every open match; stop at the first that is whole and return its start.

    The matches after it have then not moved, and those before it that failed are still there.
    """
    failed = []
    for start, node in states.items():
        if END in node:
            return start, states
        if char in node:
            states[start] = node[char]
        else:
            failed.append(start)
    for start in failed:
        del states[start]
    return None, states


def _look_ahead(states: dict[int, Node], found: int, at: int, text: str, skip: int) -> tuple[int, int, int]:
    """Return start and end of the longest match that began no later, and the place to go on from."""
    start, end = found, at
    for other, state in states.items():
        if other > start:
            break
        node = state
        reach = end = at + 1 if other < start else at
        while True:
            if END in node:
                start, end, skip = other, reach, reach
            if reach >= len(text) or text[reach] not in node:
                break
            node = node[text[reach]]
            reach += 1
    return start, end, skip


def _in_order(cuts: Sequence[int], length: int) -> list[int]:
    """Return the cuts without those that go back, from 0 to the length of the text."""
    kept = [0]
    for cut in (*cuts, length):
        if cut > kept[-1]:
            kept.append(cut)
    return kept


def _make_room(chunks: list[Chunk], i: int, token: Added) -> None:
    """Let an added token take the spaces beside it, or give itself up inside a word, as its flags say."""
    left, right = (chunks[i - 1] if i else None), (chunks[i + 1] if i + 1 < len(chunks) else None)
    before, after = (left.text if left else ""), (right.text if right else "")
    if token.rstrip and right and after:
        right.text = after.lstrip()
        right.start = right.end - len(right.text)
    if token.lstrip and left and before:
        left.text = before.rstrip()
        left.end = left.start + len(left.text)
    if not token.single_word:
        return
    if left and before and not before.endswith(" "):
        left.text, left.end = left.text + chunks[i].text, chunks[i].end
        chunks[i].text = ""
    elif right and after and not after.startswith(" "):
        right.text, right.start = chunks[i].text + right.text, chunks[i].start
        chunks[i].text = ""
