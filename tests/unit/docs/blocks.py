"""Reads the blocks of commands and of Python from a page, and what the page says about running them.

A comment above a block says who runs it, or why nobody does:

    <!-- run by tests/stack/test_docs.py -->
    <!-- run in .venv-conformance, which has the package openai -->
    <!-- not run: it needs an AWS account -->

A block without such a comment is run by `test_blocks.py`. Must not know how blocks are run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.house.tree import ROOT

RUN = ("sh", "bash", "python")
BLOCK = re.compile(
    r"(?:^ *<!-- (?P<say>[^\n]*) -->\n)?^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
SAY = re.compile(r"run by (?P<run_by>\S+)|run in (?P<run_in>\.venv-\w+)\b.*|not run: (?P<reason>.+)")


@dataclass(frozen=True)
class Block:
    """One block: its page, language and text. At most one of the others is given."""

    page: str
    language: str
    text: str
    run_by: str | None = None
    run_in: str | None = None
    reason: str | None = None

    @property
    def runs_here(self) -> bool:
        """Whether `test_blocks.py` runs it."""
        return self.run_by is None and self.reason is None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that are commands or Python."""
    return read_blocks(page, (ROOT / page).read_text(encoding="utf-8"))


def read_blocks(page: str, text: str) -> list[Block]:
    """Return the blocks of a text. A comment of another form than above is no word about running."""
    found = []
    for match in BLOCK.finditer(text):
        if match["language"] in RUN:
            said = SAY.fullmatch(match["say"] or "")
            lines = (line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True))
            found.append(Block(page, match["language"], "".join(lines), **(said.groupdict() if said else {})))
    return found
