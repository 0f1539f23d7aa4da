"""What an XLM tokenizer is made of, as one JSON file with one spelling, so that its sha256 names it.

Must not know where the facts came from: `glossa artifacts` takes them from the reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT: Literal["glossa-xlm-1"] = "glossa-xlm-1"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Added(_Frozen):
    """A token that is looked for in the text before anything else is done to it."""

    id: int
    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    special: bool = True


class Artifact(_Frozen):
    """The whole tokenizer. `merges` are pairs `left right`, best first; `added` stands in the reference's order.

    `bos` and `sep` are the ids around texts, `cls` that of the classifying token where it is not `sep`. `unk` and
    `mask` are pieces. `special` are the ids left out of a text on request. `lowercase` also removes accents. `tidy`
    removes spaces before punctuation from a text made of ids.
    """

    format: Literal["glossa-xlm-1"]
    bos: int
    sep: int
    cls: int | None = None
    unk: str
    mask: str | None = None
    special: tuple[int, ...] = ()
    lowercase: bool = True
    tidy: bool = False
    split_added: bool = True
    added: tuple[Added, ...] = ()
    vocab: Mapping[str, int]
    merges: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Return the one spelling of this tokenizer: fields in order, the vocabulary by id."""
        fields = self.model_dump(exclude={"cls"} if self.cls is None else None)
        fields["vocab"] = dict(sorted(self.vocab.items(), key=lambda item: (item[1], item[0])))
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def is_artifact(data: bytes) -> bool:
    """Whether bytes are those of an XLM tokenizer rather than of a `tokenizer.json`."""
    return data.startswith(b'{"format":"glossa-xlm-')


def parse_artifact(data: bytes) -> Artifact:
    """Read the bytes of an artifact. Raises ValueError naming what is wrong."""
    try:
        found = Artifact.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ValueError(f"the tokenizer artifact cannot be read: {where}: {fault['msg']}") from None
    if found.unk not in found.vocab:
        raise ValueError(f"the tokenizer artifact cannot be read: {found.unk!a} is not in its vocabulary")
    return found
