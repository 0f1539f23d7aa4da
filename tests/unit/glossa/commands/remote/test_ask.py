"""`glossa ask` against the real function: each line gets a line, in order, also those that cannot be answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from glossa.client import ApiError, NotFound
from glossa.commands.remote.ask import ask_command
from tests.unit.functions.http.world import make
from tests.unit.glossa.client.served import URL, answer_of, client_of


def run(*arguments: str, seen: list[int] | None = None) -> int:
    """Run the command; `seen` keeps how many inputs each request had."""

    def answer(sent: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(len(json.loads(sent.content)["inputs"]))
        return answer_of(make(), sent)

    words = [*arguments, "--url", URL]
    with ask_command.make_context("ask", words, obj=lambda url: client_of(answer, url=url)) as context:
        return int(ask_command.invoke(context))


def printed(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Return the printed lines."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_gets_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts, JSON strings and JSON objects are answered in order, a few in each request."""
    path, seen = tmp_path / "in.txt", list[int]()
    path.write_text('\ufeffone\n"two"\r\n{"text": "three", "text_pair": "four"}\n{not json\nfive', encoding="utf-8")
    assert run("--task", "text-classification", "--lines-per-request", "2", str(path), seen=seen) == 0
    rows = printed(capsys)
    assert len(rows) == 5
    assert all(row[0]["label"] for row in rows)
    assert seen == [2, 2, 1]


def test_a_bad_line_costs_the_others_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that the task cannot take, and one that is no text, get errors with their numbers."""
    path = tmp_path / "in.txt"
    path.write_bytes(b"Paris is <mask>.\nno mask\n" + b"\xff\n" + b"A <mask>.\n")
    assert run("--task", "fill-mask", "--param", "top_k=1", str(path)) == 1
    first, second, third, fourth = printed(capsys)
    assert (second["code"], second["line"], third["code"], third["line"]) == ("unprocessable", 2, "bad-request", 3)
    assert len(first) == len(fourth) == 1


def test_one_cause_of_all_lines_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong parameter is one error and no line, after the first request and its halves."""
    path, seen = tmp_path / "in.txt", list[int]()
    path.write_text("a line\n" * 40, encoding="utf-8")
    with pytest.raises(ApiError, match="top_k") as caught:
        run(
            "--task", "text-classification", "--param", 'top_k="many"', "--lines-per-request", "4", str(path), seen=seen
        )
    assert "--param" in str(caught.value)
    assert printed(capsys) == []
    assert seen == [4, 2, 1, 1, 2, 1, 1]


def test_a_single_bad_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one line nobody can tell whether it has caused the error itself."""
    assert run("--task", "fill-mask", "--text", "no mask") == 1
    assert [row["line"] for row in printed(capsys)] == [1]


def test_texts_of_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """--text may be repeated, and is not given beside files."""
    assert run("--task", "text-classification", "--model", "mini:sentiment", "--text", "a", "--text", "b") == 0
    assert len(printed(capsys)) == 2
    with pytest.raises(ValueError, match="got --text and files"):
        run("--task", "text-classification", "--text", "a", __file__)


def test_what_no_line_has_caused_ends_the_command() -> None:
    """A model that is not there is one error, not one for each line."""
    with pytest.raises(NotFound, match="no model 'nope'"):
        run("--task", "text-classification", "--model", "nope", "--text", "a", "--text", "b")
    with pytest.raises(ApiError):
        run("--task", "nope", "--text", "a")
