"""The figures of docs/promises.md are those of the code and of the template."""

from __future__ import annotations

import re

import pytest

from functions.http.compatible.service import MAX_INPUTS
from functions.http.request_body import MAX_JSON_DEPTH
from functions.jobs.api.jobs import UPLOAD_EXPIRES_S
from functions.jobs.api.results import LINK_EXPIRES_S
from functions.jobs.state.state_machine import RETENTION_S
from functions.pipeline import request_limits as limits
from functions.pipeline.pack_calls import INTERACTIVE_SHARE
from shared import errors
from shared.limits import MAX_ANSWER_BYTES, MAX_BODY_BYTES, MAX_NEW_TOKENS
from tests.house.tree import ROOT

TEMPLATE = (ROOT / "template.yaml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
REQUEST = limits.REQUEST_LIMITS
MODEL_SERVER = ("decode-error", "unauthenticated", "unknown-call-key", "too-slow", "fingerprint-mismatch")
ROWS = [
    f"| body, after base64 | {MAX_BODY_BYTES // 2**20} MiB |",
    f"| answer | {MAX_ANSWER_BYTES:,} bytes |",
    f"| inputs | {REQUEST.max_inputs}; on the routes of other ecosystems {MAX_INPUTS:,} |",
    f"| texts to read: each label, choice and document counts | {REQUEST.max_texts:,} |",
    f"| characters in all these texts, Unicode code points | {REQUEST.max_chars:,} |",
    f"| tokens of one input, over all its windows | {limits.MAX_READ_TOKENS:,} |",
    f"| masks in one input; guesses in one request | {limits.MAX_MASKS}; {limits.MAX_GUESSES:,} |",
    f"| vectors of tokens or of layers | {limits.MAX_TOKEN_VECTORS:,} |",
    f"| new tokens of a continuation; of a request | {MAX_NEW_TOKENS:,}; {limits.MAX_REQUEST_NEW_TOKENS:,} |",
    f"| nesting of the JSON | {MAX_JSON_DEPTH} levels |",
    f"more than {INTERACTIVE_SHARE:.0%} of the time".replace("%", " %"),
    f"| links to results; forms for uploads | {LINK_EXPIRES_S // 3600} hour |",
    f"| a job, as `GET` shows it | {RETENTION_S // 86_400} days from its creation |",
]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_figure_is_that_of_the_code(row: str) -> None:
    """The row stands on the page, with the number of the code."""
    assert row in PAGE
    assert LINK_EXPIRES_S == UPLOAD_EXPIRES_S


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ThrottleRate", "{} requests a second"),
        ("ThrottleBurst", "{} at once"),
        ("InferConcurrency", "{} requests of tasks"),
        ("JobsConcurrency", "{} requests about jobs"),
        ("WorkConcurrency", "{} shards"),
        ("DocumentRetentionDays", "{} by default"),
        ("LogRetentionDays", "{} by default"),
    ],
)
def test_a_default_is_that_of_the_template(name: str, said: str) -> None:
    """The row that names a parameter has its default."""
    found = re.search(rf"^  {name}:\n(?:    .*\n)*?    Default: (\d+)$", TEMPLATE, re.MULTILINE)
    assert found is not None
    assert any(f"`{name}`" in row and said.format(found[1]) in row for row in PAGE.splitlines())


@pytest.mark.parametrize("code", [code for code in errors.BY_CODE if code not in MODEL_SERVER])
def test_every_error_of_the_api_is_listed(code: str) -> None:
    """Its row has status and code, and whether a retry may help."""
    kind = errors.BY_CODE[code]
    rows = [row for row in PAGE.splitlines() if row.startswith(f"| {kind.status} | `{code}` |")]
    assert len(rows) == 1
    assert rows[0].endswith(f"| {'yes' if kind.retryable else 'no'} |")
