"""Sizes, names, docstrings and bans: what a reader relies on in every room."""

from __future__ import annotations

import ast
import re
import subprocess

from tests.house.tree import OURS, PRODUCT, ROOT, functions, sources

MAX_FILE_LINES = 400
MAX_BODY_LINES = 60
USUAL_BODY_LINES = 25
USUAL_SHARE = 0.9
VAGUE = {"utils.py", "util.py", "common.py", "helpers.py", "misc.py", "base.py"}
UNSAFE = ("torch.load(", "pickle.load", "trust_remote_code=True", "yaml.load(", "eval(", "exec(")


def test_every_module_opens_with_its_job() -> None:
    """A module docstring stands at the top of each file."""
    assert [s.path for s in sources(*OURS) if not ast.get_docstring(s.tree)] == []


def test_files_hold_one_idea() -> None:
    """No file passes 400 lines."""
    assert [(s.path, s.n_lines) for s in sources(*OURS, "tests") if s.n_lines > MAX_FILE_LINES] == []


def test_bodies_are_short() -> None:
    """Nine function bodies in ten have at most 25 lines, none more than 60."""
    sizes = [(length, f"{s.path}:{name}") for s in sources(*PRODUCT, "local") for name, length in functions(s)]
    assert [size for size in sizes if size[0] > MAX_BODY_LINES] == []
    usual = sum(length <= USUAL_BODY_LINES for length, _ in sizes)
    assert usual >= USUAL_SHARE * len(sizes)


def test_no_vague_rooms() -> None:
    """No utils, common or helpers."""
    assert [s.path for s in sources(*OURS, "tests") if s.path.split("/")[-1] in VAGUE] == []


def test_nothing_is_patched() -> None:
    """Doubles are passed in, never patched in."""
    banned = re.compile(r"mock\.patch|MagicMock|from unittest import mock|monkeypatch\.setattr")
    found = [s.path for s in sources(*OURS, "tests") if banned.search(s.text) and not s.path.startswith("tests/house/")]
    assert found == []


def test_every_ignore_has_its_reason() -> None:
    """A noqa or type: ignore is followed by the reason on the same line."""
    ignore = re.compile(r"#\s*(?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[^\]]+\])?)\s*(.*)$")
    bare = [
        f"{s.path}:{number}"
        for s in sources(*OURS, "tests")
        for number, line in enumerate(s.text.splitlines(), 1)
        if (match := ignore.search(line)) and not re.search(r"[a-z]{3}", match.group(1)) and "ignore = re" not in line
    ]
    assert bare == []


def test_unsafe_loaders_are_absent() -> None:
    """No pickle, no remote code, no eval in the product."""
    found = [
        (s.path, word)
        for s in sources(*PRODUCT)
        for word in UNSAFE
        if re.search(rf"(?<![\w.]){re.escape(word)}", s.text)
    ]
    assert found == []


def test_no_path_of_one_machine() -> None:
    """Committed files name no home or work folder of a machine."""
    listed = subprocess.run(
        ["git", "grep", "-nIE", "/root/|/work/|/home/[a-z]", "--", ".", ":!tests/house"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.stdout == ""


def test_big_files_stay_small() -> None:
    """No tracked file is over 24 MiB: history keeps every version."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    big = [p for p in listed.split("\0") if p and (ROOT / p).is_file() and (ROOT / p).stat().st_size > 24 * 2**20]
    assert big == []
