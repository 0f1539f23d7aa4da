"""The body of the request that makes a batch job, from the options of `glossa batch submit`. Must not know HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossa.client.errors import InvalidRequest
from glossa.commands.remote.options import read_parameters
from glossa.commands.remote.settings import webhook_secret

MIN_SECRET_CHARS = 16


@dataclass(frozen=True, slots=True)
class Submission:
    """What the caller of `glossa batch submit` asks for: files or a prefix, the task, and how records are read."""

    files: Sequence[str]
    task: str
    prefix: str | None = None
    model: str | None = None
    parameters: Sequence[str] = ()
    lines: bool = False
    text_field: str | None = None
    id_field: str | None = None
    delimiter: str | None = None
    no_quotes: bool = False
    output: str | None = None
    webhook: str | None = None

    def paths(self) -> dict[str, Path]:
        """Return the path of each file by its name. Raises ValueError for equal names and for what is no file."""
        files = {Path(name).name: Path(name) for name in self.files}
        if len(files) != len(self.files):
            raise ValueError(f"got {len(self.files)} files of {len(files)} names, expected a name of its own for each")
        for path in files.values():
            if not path.is_file():
                raise ValueError(f"got {str(path)!r}, expected a file")
        return files

    def body(self) -> dict[str, Any]:
        """Return the body for the jobs API. Raises ValueError or InvalidRequest for options that do not fit."""
        names = list(self.paths())
        parameters = read_parameters(self.parameters)
        if bool(names) == (self.prefix is not None):
            raise ValueError("got files and a prefix, or neither; expected one of them")
        body: dict[str, Any] = {"task": self.task, "format": self._format()}
        body |= {"files": names} if names else {"prefix": self.prefix}
        given = {"model": self.model, "output": self.output, "parameters": parameters or None}
        body |= {name: value for name, value in given.items() if value is not None}
        return body | ({"webhook": _webhook(self.webhook)} if self.webhook else {})

    def _format(self) -> dict[str, Any]:
        given = {
            "text": "lines" if self.lines else None, "text_field": self.text_field, "id_field": self.id_field,
            "delimiter": self.delimiter, "quoted": False if self.no_quotes else None,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}


def _webhook(url: str) -> dict[str, str]:
    # The secret is no argument of the command, because every process of the machine can see those.
    secret = webhook_secret()
    if len(secret) < MIN_SECRET_CHARS:
        raise InvalidRequest(
            f"got GLOSSA_WEBHOOK_SECRET of {len(secret)} characters, expected {MIN_SECRET_CHARS} or more"
        )
    return {"url": url, "secret": secret}
