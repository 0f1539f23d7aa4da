"""The request bodies that the jobs API takes, and the Idempotency-Key. Each error names the value and what is expected.

The descriptions of the bodies in `docs/openapi.json` are their docstrings. Must not know stores or HTTP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from functions.jobs.records.formats import FormatOptions, ObjectProblem, format_of
from functions.jobs.state.items import JobSpec
from functions.jobs.state.keys import check_name, check_prefix, check_recipe
from functions.jobs.state.webhooks import Reach, Webhook, check_url
from functions.json_objects import JsonObject
from functions.pipeline.route import choose_head
from functions.tasks.parse import parse_parameters
from functions.tasks.registry import TASK_NAMES
from shared.catalog import Catalog
from shared.error_text import count
from shared.errors import Unprocessable

MAX_FILES = 100
EXPECTED = {"task": f"one of {', '.join(TASK_NAMES)}"}  # fields that expect more than a value of their type
_SECRET = re.compile(r"[\x21-\x7e]{16,256}")
TOKEN = re.compile(r"[\x21-\x7e]{1,255}")
FieldName = Annotated[str, Field(min_length=1, max_length=100)]


class _Strict(JsonObject):
    model_config = ConfigDict(strict=True)


class FormatBody(_Strict):
    """How inputs are read: is a .txt one document, or a record a line; which fields or columns hold what; tables."""

    text: Literal["document", "lines"] = "document"
    text_field: FieldName = "text"
    text_pair_field: FieldName = "text_pair"
    id_field: FieldName = "id"
    delimiter: Literal["", ",", ";", "\t", "|"] = ""
    quoted: bool = True


class SpecBody(_Strict):
    """What is done to each record."""

    task: str
    model: Annotated[str, Field(min_length=1)] | None = None
    parameters: dict[str, Any] | None = None
    format: FormatBody = FormatBody()
    output: Literal["jsonl", "csv", "jsonl.gz"] = "jsonl"

    def spec(self, catalog: Catalog) -> JobSpec:
        """Return the checked spec with all defaults written out. Raises NotFound, Unprocessable."""
        parameters = parse_parameters(self.task, self.parameters)
        chosen = choose_head(self.task, parameters, self.model, catalog)
        options = FormatOptions(**self.format.model_dump())
        return JobSpec(self.task, f"{chosen.model}:{chosen.head}", parameters.model_dump(), options, self.output)


class JobBody(SpecBody):
    """A new job: what to do, and the names of the files that will be uploaded, or the prefix of what is there."""

    files: Annotated[list[str], Field(min_length=1, max_length=MAX_FILES)] | None = None
    prefix: str | None = None
    webhook: object = None

    @property
    def source(self) -> str:
        """Where the job's objects come from."""
        return "api" if self.prefix is None else "prefix"

    def hook(self, reach: Reach) -> Webhook | None:
        """Return the webhook, if there is one. Raises Unprocessable unless it has a url, a secret and nothing else.

        Does not use pydantic, because its errors quote what they were given, and this is secret.
        """
        if self.webhook is None:
            return None
        if not isinstance(self.webhook, dict) or set(self.webhook) != {"url", "secret"}:
            raise Unprocessable("webhook: got no object of url and secret, expected both and no more")
        url, secret = self.webhook["url"], self.webhook["secret"]
        if not isinstance(url, str):
            raise Unprocessable("webhook.url: got no text, expected https://host/path")
        if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
            raise Unprocessable("webhook.secret: got no such text, expected 16 to 256 visible ASCII characters")
        return Webhook(url=check_url(url, reach), secret=secret)

    def names(self) -> tuple[str, ...]:
        """Return the checked file names, or the prefix as the only name.

        Raises Unprocessable when both are given. A file name must fit into a key, have a known extension, and occur
        once.
        """
        if self.prefix is not None:
            if self.files is not None:
                raise Unprocessable("got files and a prefix, expected one of them")
            return (check_prefix(self.prefix),)
        names = tuple(check_name(name) for name in self.files or ["input.jsonl"])
        if len(set(names)) != len(names):
            raise Unprocessable(f"got {len(names)} file names of which {len(set(names))} are different, expected all")
        for name in names:
            try:
                format_of(name, FormatOptions())
            except ObjectProblem as problem:
                raise Unprocessable(problem.problem.detail) from None
        return names


class RecipeBody(SpecBody):
    """A new recipe: what is done to every object in the inbox of that name."""

    name: str

    def checked_name(self) -> str:
        """Return the name. Raises Unprocessable when it cannot be part of a key."""
        return check_recipe(self.name)


class RedriveBody(_Strict):
    """Which end of a job is to be redriven: the `generation` that the caller saw; by default the latest."""

    generation: Annotated[int, Field(ge=0)] | None = None


def request_sha256(spec: JobSpec, names: tuple[str, ...]) -> str:
    """Return a digest of a request. It does not depend on the order of the fields in the body."""
    return hashlib.sha256("\n".join((spec.to_json(), *names)).encode()).hexdigest()


def idempotency_token(headers: Mapping[str, str]) -> str:
    """Return the Idempotency-Key, or "" when there is none. Raises Unprocessable when it is malformed or empty."""
    token = next((value for name, value in headers.items() if name.lower() == "idempotency-key"), None)
    if token is None:
        return ""
    if not TOKEN.fullmatch(token):
        raise Unprocessable(
            f"got an Idempotency-Key of {count(len(token), 'character')}, expected 1 to 255 visible ASCII ones"
        )
    return token
