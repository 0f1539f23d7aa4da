"""The artifact of an XLM tokenizer: one JSON file. Equal tokenizers have equal bytes, so the sha256 identifies one.

Must not know where the content comes from: `glossa artifacts` takes it from the reference.
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
    """An added token: the text is searched for it before any other rule is applied.

    With `lstrip` or `rstrip` it includes the spaces beside it. With `single_word` it counts only as a whole word.
    """

    id: int
    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    special: bool = True


class Artifact(_Frozen):
    """The content of an artifact.

    `bos` and `sep` are the ids around texts. `cls` is the id of the classifying token; None means `sep`. `unk` and
    `mask` are pieces. `special` are the ids that decoding can leave out. `lowercase` also removes accents. `tidy`
    removes spaces before punctuation when ids are decoded. `split_added` says whether texts are searched for added
    tokens. `added` has the order of the reference. `merges` are pairs `left right`, best first.
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
        """Return the bytes of this artifact: the fields in order, the vocabulary sorted by id."""
        fields = self.model_dump(exclude={"cls"} if self.cls is None else None)
        fields["vocab"] = dict(sorted(self.vocab.items(), key=lambda item: (item[1], item[0])))
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def is_artifact(data: bytes) -> bool:
    """Return whether bytes are the artifact of an XLM tokenizer, and not a `tokenizer.json`."""
    return data.startswith(b'{"format":"glossa-xlm-')


def parse_artifact(data: bytes) -> Artifact:
    """Read the bytes of an artifact. Raises ValueError that names what is wrong."""
    try:
        found = Artifact.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ValueError(f"the tokenizer artifact cannot be read: {where}: {fault['msg']}") from None
    if found.unk not in found.vocab:
        raise ValueError(f"the tokenizer artifact cannot be read: {found.unk!a} is not in its vocabulary")
    return found
