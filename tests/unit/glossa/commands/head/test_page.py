"""The commands of docs/heads.md do what the page says, one after the other, on a small model."""

from __future__ import annotations

import csv
import io
import re
import runpy
import shlex
from pathlib import Path

import pytest

from glossa.cli import main
from glossa.commands.answers.run import LineRequest, run, run_command
from shared.catalog import load_catalog
from tests.unit.glossa.commands.head.conftest import texts

PAGE = Path(__file__).parents[5] / "docs/heads.md"
COMMAND = re.compile(r'^(?:echo "(?P<line>.*)" \| )?\.venv/bin/python -m glossa (?P<words>.*)$', re.MULTILINE)


def test_the_commands_of_the_page_run(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A head is trained on a CSV, answers a line, and is removed. The Python example loads the linear one."""
    monkeypatch.chdir(house.parent)
    house.write_text(house.read_text(encoding="utf-8").replace("moods", "mini"), encoding="utf-8")
    (house.parent / "models/moods").rename(house.parent / "models/mini")
    header = re.search(r"```csv\n(.*)\n", PAGE.read_text(encoding="utf-8"))
    assert header is not None
    with Path("labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(text, "ab"[at % 2], "xy"[at % 2]) for at, text in enumerate(texts(30))]
        csv.writer(file).writerows([header[1].split(","), *rows])
    answers: list[bytes] = []
    for match in COMMAND.finditer(PAGE.read_text(encoding="utf-8")):
        words = shlex.split(match["words"])
        if match["line"] is None:
            assert main(words) == 0
            continue
        given = run_command.make_context("run", words[1:]).params
        stream = io.BytesIO(match["line"].encode())
        assert (
            run(
                load_catalog(house),
                house.parent,
                LineRequest(given["task"], given["model"], {}),
                stream,
                answers.append,
            )
            == 0
        )
    assert len(answers) == 1
    assert sorted(load_catalog(house).model("mini").heads) == ["classifier", "embed", "queues"]
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    Path("example.py").write_text(example[1], encoding="utf-8")
    monkeypatch.syspath_prepend(".")  # and sys.path is as before after the test
    capsys.readouterr()
    runpy.run_path("example.py")
    assert capsys.readouterr().out in {"['a']\n", "['b']\n"}
