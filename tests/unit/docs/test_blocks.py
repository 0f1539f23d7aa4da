"""The commands and the Python of the pages run, or the page says who runs them, or why nobody does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from functions.tasks.registry import TASK_NAMES
from glossa.cli import root
from tests.house.tree import ROOT, tracked
from tests.unit.docs.blocks import Block, blocks_of, read_blocks

README = "README.md"
PAGES = [page for page in tracked("docs/*.md") if page.count("/") == 1]
RUNNING = [page for page in PAGES if any(block.runs_here for block in blocks_of(page))]
IN_README = ('curl "$API/v1/text-classification"', 'echo "The team')  # the others start or need the whole stack
# curl tells a refusal by its exit code, and is else quiet
PRELUDE = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }\n'
TYPED = re.compile(r"(?:^|\| *)(?:\.venv/bin/)?(?:python3? -m )?glossa (?P<words>[^|\n]*)", re.MULTILINE)
INLINE = re.compile(r"`(?:\.venv/bin/)?(?:python -m )?glossa (?P<words>[a-z][^`\n]*)`")
ASK = re.compile(r"`(ask\(\) \{[^`]*\})`")  # of the README: what its table of tasks is asked by
REQUEST = re.compile(r"^\| `(?P<line>ask (?P<task>[a-z-]+) '[^`]*')` \|", re.MULTILINE)  # a row of that table
WITHOUT_HEAD = {"multiple-choice", "text-generation"}  # tasks that mini has no head for; the README says why
LIMIT_S = 300


def run(block: Block, folder: Path, api_url: str) -> str:
    """Run a block in a folder, and return what it prints."""
    environment = os.environ | {"API": api_url, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    python = ROOT / block.run_in / "bin/python" if block.run_in else sys.executable
    command = [str(python), "-c", block.text]
    if block.language != "python":
        command = ["bash", "-euo", "pipefail", "-c", PRELUDE + block.text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{block.page}: {block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", RUNNING)
def test_the_blocks_of_a_page_run(page: str, folder: Path, api_url: str) -> None:
    """Each block prints something and is not refused, one after the other in one folder."""
    left_out = []
    for block in blocks_of(page):
        if block.run_in and not (ROOT / block.run_in).exists():
            left_out.append(block.run_in)
        elif block.runs_here:
            assert run(block, folder, api_url) != ""
    if left_out:
        pytest.skip(f"not all of {page}: {', '.join(left_out)} is not there; `make conformance` makes it")


@pytest.mark.parametrize("begins", IN_README)
def test_the_calls_of_the_readme_run(begins: str, folder: Path, api_url: str) -> None:
    """Its request and its line of text are answered with a label."""
    (block,) = [block for block in blocks_of(README) if block.text.startswith(begins)]
    assert '"label"' in run(block, folder, api_url)


def rows_of_tasks(text: str) -> dict[str, str]:
    """Return the request of each row of the README's table by its task, with the line that defines `ask` before it."""
    found = ASK.search(text)
    assert found is not None
    return {row["task"]: f"{found[1]}\n{row['line']}\n" for row in REQUEST.finditer(text)}


ROWS = rows_of_tasks((ROOT / README).read_text(encoding="utf-8"))


def test_the_readme_has_a_request_of_every_task() -> None:
    """Tasks without a head are named, with the reason."""
    assert set(ROWS) | WITHOUT_HEAD == set(TASK_NAMES)
    assert "`mini` has no head for it:" in (ROOT / README).read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ROWS)
def test_a_row_of_the_readme_is_answered_by_mini(task: str, folder: Path, api_url: str) -> None:
    """A request is pasted as it stands, and answered with one result."""
    answer = json.loads(run(Block(README, "sh", ROWS[task]), folder, api_url))
    assert (answer["model"], answer["task"], len(answer["results"])) == ("mini", task, 1)


def test_who_runs_a_block_knows_its_page() -> None:
    """A test that a page names is there, and names the page."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.run_by is not None:
                assert page in (ROOT / block.run_by).read_text(encoding="utf-8"), (page, block.run_by)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of glossa in a text, whether in a block or in a line."""
    for pattern in (TYPED, INLINE):
        for match in pattern.finditer(text.replace("\\\n", " ")):
            words = shlex.shlex(match["words"].partition("…")[0].rstrip("`"), posix=True, punctuation_chars=True)
            yield list(takewhile(lambda word: word[0] not in "|<>;&()", words))


def fault(words: list[str]) -> str:
    """Return what is wrong with a command: a name or an option that is not there; empty when nothing is."""
    command: click.Command = root
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("--"):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            return f"no command {word!r} in {' '.join(words)!r}"
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    lost = [name for name in given if name not in known | {"--help"}]
    return f"no option {lost[0]} in {' '.join(words)!r}" if lost else ""


@pytest.mark.parametrize("page", [*PAGES, README])
def test_the_commands_of_a_page_exist(page: str) -> None:
    """Each command of glossa that a page names is there, with its options."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [said for words in commands(text) if (said := fault(words))] == []


def test_a_command_that_is_gone_is_found() -> None:
    """A wrong name and a wrong option are reported; a group alone is no fault."""
    text = (
        "`glossa batch`\n```sh\necho a | .venv/bin/python -m glossa run --tusk x  # why\nglossa btach list > f\n"
        "glossa --version; glossa tokenize < a | glossa detokenize --skip-special-token\n```\n"
    )
    assert [said for words in commands(text) if (said := fault(words))] == [
        "no option --tusk in 'run --tusk x'",
        "no command 'btach' in 'btach list'",
        "no option --skip-special-token in 'detokenize --skip-special-token'",
    ]


def test_what_a_page_says_of_a_block_is_read() -> None:
    """Who runs it, where, or why not; a block in a list is moved to the margin."""
    text = (
        "<!-- not run: it costs money -->\n```sh\na\n```\n1. b\n\n   ```sh\n   c\n     d\n   ```\n"
        "<!-- run in .venv-x, which has y -->\n```python\ne\n```\n<!-- run by tests/f.py -->\n```sh\ng\n```\n"
        "```json\nh\n```\n"
    )
    assert read_blocks("p.md", text) == [
        Block("p.md", "sh", "a\n", reason="it costs money"),
        Block("p.md", "sh", "c\n  d\n"),
        Block("p.md", "python", "e\n", run_in=".venv-x"),
        Block("p.md", "sh", "g\n", run_by="tests/f.py"),
    ]
