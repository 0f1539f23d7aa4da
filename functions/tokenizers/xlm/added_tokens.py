"""Splits a text at its added tokens. Tokens that overlap are resolved as in the reference.

Ported from `Trie.split` and `PreTrainedTokenizer.tokenize` of transformers (tokenization_python.py). Tests compare both
on random tokens. Must not know vocabularies.
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
    """A part of a text, from `start` to `end`. `text` is what is read of it. `token` says that it is an added token."""

    text: str
    start: int
    end: int
    token: bool = False


class AddedTokens:
    """Finds the added tokens of a vocabulary in texts."""

    def __init__(self, added: Iterable[Added]) -> None:
        """Take the tokens in the order of the reference. Of two with equal content, the later one counts."""
        self._by_content = {token.content: token for token in added if token.content}
        self._root: Node = {}
        for content in self._by_content:
            node = self._root
            for char in content:
                node = node.setdefault(char, {})
            node[END] = True

    def split(self, text: str) -> list[Chunk]:
        """Return the parts of the text in order: added tokens, and the text between them. No part is empty."""
        boundaries = _ascending(self._boundaries(text), len(text))
        chunks = [Chunk(text[a:b], a, b) for a, b in pairwise(boundaries)]
        for i, chunk in enumerate(chunks):
            if (token := self._by_content.get(chunk.text)) is not None:
                _apply_flags(chunks, i, token)
        for chunk in chunks:  # after the flags: they may remove a token, or make one
            chunk.token = chunk.text in self._by_content
        return [chunk for chunk in chunks if chunk.text]

    def _boundaries(self, text: str) -> list[int]:
        boundaries, skip = [0], 0
        states: dict[int, Node] = {}
        for at, char in enumerate(text):
            if at < skip:
                continue
            found, states = _step(states, char)
            if found is not None:
                start, end, skip = _look_ahead(states, found, at, text, skip)
                boundaries += [start, end]
                states = {}
            if at >= skip and char in self._root:
                states[at] = self._root[char]
        for start, node in states.items():
            if END in node:
                boundaries += [start, len(text)]
                break
        return boundaries


def _step(states: dict[int, Node], char: str) -> tuple[int | None, dict[int, Node]]:
    """Extend every open match by one character. Stop at the first complete match and return its start.

    As in the reference, the matches after it are then not extended, and failed ones before it are not removed.
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
    """Return start and end of the longest match that did not begin later, and the index to continue from."""
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


def _ascending(boundaries: Sequence[int], length: int) -> list[int]:
    """Return the boundaries from 0 to the length of the text, without those that go back."""
    kept = [0]
    for boundary in (*boundaries, length):
        if boundary > kept[-1]:
            kept.append(boundary)
    return kept


def _apply_flags(chunks: list[Chunk], i: int, token: Added) -> None:
    """Apply the flags of an added token.

    `lstrip` and `rstrip` remove the spaces beside it from its neighbours. `single_word` makes it plain text inside a
    word.
    """
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
