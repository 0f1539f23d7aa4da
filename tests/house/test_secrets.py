"""No credential stands in a file that git knows: keys of clouds and services, private keys, passwords in addresses.

The patterns are those that scanners such as gitleaks look for. What looks like a credential and is none is in ALLOWED
with its reason. Made-up cases are joined when the test runs, so that this file passes its own rules.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pytest

from tests.house.tree import ROOT, tracked

PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "aws-access-key": r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)(?![A-Z2-7]{9}EXAMPLE)[A-Z2-7]{16}(?![A-Z0-9])",
        "private-key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
        "github-token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,})",
        "slack-token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        "google-key": r"\bAIza[\w-]{35}",
        "hub-token": r"\bhf_[A-Za-z]{34}\b",
        "package-token": r"\b(?:pypi-AgE[\w-]{50,}|npm_[A-Za-z0-9]{36})",
        "service-key": r"\b(?:sk|rk)_live_[A-Za-z0-9]{20,}|\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,}",
        "signed-token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
        "password-in-address": r"\b[a-z][a-z0-9+]{2,}://[^\s/:@{}$<>\"']+:[^\s/:@{}$<>\"']{3,}@",
    }.items()
}
ASSIGNED = re.compile(
    r"(?i)(?:secret|passw(?:or)?d|token|api_?key|access_?key|credential)\w*(?<!_sha256)[\"']?\s*[:=]\s*"
    r"[\"']([\w+/=.-]{24,})[\"']"  # the digest of a tokenizer's file is none
)
MIN_ENTROPY = 3.8  # bits a character; a name in words has less, a random key of 24 characters more
FREE_OF_ASSIGNED = ("tests/", "benchmarks/")  # they hold made-up keys; the exact patterns hold there too
TEXT = (".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".cfg", ".ini", ".sh", ".in", ".c", ".h", ".html", "")


class Leak(NamedTuple):
    """What looks like a credential: the file, the line, and the name of the pattern."""

    path: str
    line: int
    name: str


class Allowed(NamedTuple):
    """A place that may look like a credential, and why it is none."""

    path: str
    name: str
    reason: str


ALLOWED: tuple[Allowed, ...] = ()


def entropy(text: str) -> float:
    """Return bits for each character, from how often each one occurs."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def leaks(texts: Mapping[str, str]) -> list[Leak]:
    """Return what looks like a credential."""
    found = []
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            found += [Leak(path, number, name) for name, pattern in PATTERNS.items() if pattern.search(line)]
            match = ASSIGNED.search(line) if not path.startswith(FREE_OF_ASSIGNED) else None
            if match and entropy(match[1]) >= MIN_ENTROPY:
                found.append(Leak(path, number, "assigned"))
    return found


def refused(found: Iterable[Leak], allowed: Iterable[Allowed]) -> list[str]:
    """Return each leak that is not allowed, and each allowance that no leak needs."""
    allowed, found = tuple(allowed), tuple(found)
    needed = {(leak.path, leak.name) for leak in found}
    known = {(one.path, one.name) for one in allowed}
    lost = [f"{leak.path}:{leak.line} {leak.name}" for leak in found if (leak.path, leak.name) not in known]
    return lost + [
        f"{one.path} {one.name} is allowed, and nothing there needs it"
        for one in allowed
        if (one.path, one.name) not in needed
    ]


def _texts() -> dict[str, str]:
    paths = [path for path in tracked() if path.endswith(TEXT[:-1]) or "." not in path.rpartition("/")[2]]
    return {path: (ROOT / path).read_text(encoding="utf-8", errors="replace") for path in paths}


def test_no_file_holds_a_credential() -> None:
    """Nothing that git knows looks like a credential, but for what is allowed with a reason."""
    assert refused(leaks(_texts()), ALLOWED) == []
    assert all(len(one.reason.split()) >= 5 for one in ALLOWED)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("aws-access-key", ("key = AKIA", "IOSFODN23456ABCD")),
        ("private-key", ("-----BEGIN RSA ", "PRIVATE KEY-----")),
        ("private-key", ("-----BEGIN ", "PRIVATE KEY-----")),
        ("github-token", ("ghp", "_", "a1B2" * 9)),
        ("slack-token", ("xox", "b-1234567890-abc")),
        ("google-key", ("AIza", "SyA-" * 8, "abc")),
        ("hub-token", ("hf", "_", "aBcD" * 8, "xy")),
        ("package-token", ("pypi-", "AgEIcHlwaS5vcmc", "x" * 50)),
        ("service-key", ("sk", "_live_", "a1B2" * 6)),
        ("signed-token", ("eyJhbGciOiJIUzI1", ".", "eyJzdWIiOiIxMjM0", ".", "c2lnbmF0dXJl")),
        ("password-in-address", ("redis://user", ":", "hunter22", "@cache:6379")),
        ("assigned", ('api_key = "', "q8Zr2LkP0vXw7TnB4yHd9sFa", '"')),
    ],
)
def test_a_credential_is_found(name: str, parts: tuple[str, ...]) -> None:
    """Each kind of credential is found, in the line where it stands."""
    assert Leak("serve/a.py", 2, name) in leaks({"serve/a.py": "a = 1\n" + "".join(parts)})


@pytest.mark.parametrize(
    "line",
    [
        "redis://${REDIS_USER}:${REDIS_PASSWORD}@cache:6379",
        'token_name = "the-name-of-the-token-header"',
        'password = "x"',
        "sha256 = 'aa'",
        'tokenizer_sha256 = "0c57261906080b619e1cb3b8fd4a1c11ec3fdc1e970edf4921d8e3951edc33b6"',
        "AKIAIOSFODNN7EXAMPLE",  # the key in the documentation of AWS
    ],
)
def test_words_about_credentials_are_none(line: str) -> None:
    """Placeholders, names in words and short stand-ins are no credentials."""
    assert leaks({"serve/a.py": line}) == []


def test_an_allowance_that_is_not_needed_is_found() -> None:
    """The list of what is allowed never grows old."""
    leak, allowed = Leak("a.py", 1, "private-key"), Allowed("a.py", "private-key", "a key that the test makes")
    assert refused([leak], [allowed]) == []
    assert refused([leak], []) == ["a.py:1 private-key"]
    assert refused([], [allowed]) == ["a.py private-key is allowed, and nothing there needs it"]
