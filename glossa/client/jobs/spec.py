"""What a batch job is asked to do: the task, the files or the prefix, and how records are read. Must not know HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from glossa.client.errors import InvalidRequest

Output = Literal["jsonl", "csv", "jsonl.gz"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address of https that is called when the job has ended, and the secret that signs the call."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a batch job does, and over what: `files` on this machine, or all objects under your `data/{prefix}`.

    A .txt is one document; with `lines`, each of its lines is a record. `text_field`, `text_pair_field` and `id_field`
    name the fields or columns of other files. `delimiter` is that of tables, by default that of the file's extension;
    without `quoted`, a quote there is a character like all others. `output` is the form of the results.

        JobSpec("text-classification", files=["reviews.csv"], text_field="body", parameters={"top_k": 2})
    """

    task: str
    files: Sequence[str | Path] = ()
    prefix: str | None = None
    model: str | None = None
    parameters: Mapping[str, Any] | None = None
    lines: bool = False
    text_field: str | None = None
    text_pair_field: str | None = None
    id_field: str | None = None
    delimiter: str | None = None
    quoted: bool = True
    output: Output | None = None
    webhook: Webhook | None = None

    def paths(self) -> dict[str, Path]:
        """Return the path of each file by its name. Raises InvalidRequest for equal names and for what is no file."""
        files = {Path(name).name: Path(name) for name in self.files}
        if len(files) != len(self.files):
            found = f"got {len(self.files)} files of {len(files)} names"
            raise InvalidRequest(f"{found}, expected a name of its own for each")
        for path in files.values():
            if not path.is_file():
                raise InvalidRequest(f"got {str(path)!r}, expected a file")
        return files

    def body(self) -> dict[str, Any]:
        """Return the body for the jobs API. Raises InvalidRequest unless there are files or a prefix."""
        names = list(self.paths())
        if bool(names) == (self.prefix is not None):
            raise InvalidRequest("got files and a prefix, or neither; expected one of them")
        body: dict[str, Any] = {"task": self.task, "format": self._format()}
        body |= {"files": names} if names else {"prefix": self.prefix}
        given = {"model": self.model, "output": self.output, "parameters": dict(self.parameters or {}) or None}
        body |= {name: value for name, value in given.items() if value is not None}
        hook = {"url": self.webhook.url, "secret": self.webhook.secret} if self.webhook else None
        return body | ({"webhook": hook} if hook else {})

    def _format(self) -> dict[str, Any]:
        given = {
            "text": "lines" if self.lines else None, "text_field": self.text_field, "delimiter": self.delimiter,
            "text_pair_field": self.text_pair_field, "id_field": self.id_field,
            "quoted": None if self.quoted else False,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}
