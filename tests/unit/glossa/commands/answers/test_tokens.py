"""`glossa tokenize` and `glossa detokenize` undo each other, line by line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glossa.cli import main
from glossa.commands.answers.tokens import detokenize_lines, tokenize_lines
from shared.catalog import load_catalog

Command = Callable[..., int]


def lines_of(command: Command, catalog_path: Path, data: bytes, **flags: bool) -> tuple[int, list[Any]]:
    """Run a command over the lines of `data`; return its exit code and the JSON values it wrote."""
    written: list[bytes] = []
    catalog = load_catalog(catalog_path)
    code = command(catalog, catalog_path.parent, None, io.BytesIO(data), written.append, **flags)
    return code, [json.loads(line) for line in b"".join(written).splitlines()]


def test_what_was_tokenized_reads_as_text_again(catalog_path: Path) -> None:
    """Texts and pairs get the lists of `/v1/tokenize`, and their ids give the texts again."""
    data = 'Tous les êtres humains\n{"text": "all human", "text_pair": "beings"}\n'.encode()
    code, shown = lines_of(tokenize_lines, catalog_path, data)
    assert code == 0
    assert [set(value) for value in shown] == [
        {"ids", "tokens", "offsets", "special_tokens_mask", "token_type_ids", "count", "n_windows"}
    ] * 2
    again = "\n".join(json.dumps(value["ids"]) for value in shown).encode()
    assert lines_of(detokenize_lines, catalog_path, again, skip_special=True) == (
        0,
        [{"text": "Tous les êtres humains"}, {"text": "all human beings"}],
    )
    code, (bare, _) = lines_of(tokenize_lines, catalog_path, data, special=False)
    assert bare["ids"] == shown[0]["ids"][1:-1]
    as_written = json.dumps(shown[0]).encode()
    assert lines_of(detokenize_lines, catalog_path, as_written)[1][0]["text"].startswith("<s>")


@pytest.mark.parametrize(
    ("command", "line", "words"),
    [
        (tokenize_lines, b"\xff", "line 2: got a byte that is not UTF-8 at 0"),
        (tokenize_lines, b'{"text": "a", "lang": "fr"}', "line 2.lang: got 'fr', model moods expects none"),
        (detokenize_lines, b"nothing", "line 2: got no JSON"),
        (detokenize_lines, b"3", "line 2: got no list, expected a list of ids"),
        (detokenize_lines, b"[999999]", "line 2[0]: got 999999, expected an id from 0 to"),
    ],
)
def test_a_bad_line_is_named_and_the_others_answered(
    catalog_path: Path, command: Command, line: bytes, words: str
) -> None:
    """The exit code 1 tells that some line had no answer, and that line tells why."""
    good = b"human" if command is tokenize_lines else b"[5]"
    code, values = lines_of(command, catalog_path, b"\n".join([good, line, good]))
    assert code == 1
    assert words in values[1]["error"]
    assert values[1]["line"] == 2
    assert values[0] == values[2]


def test_help_lists_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of both commands lists their options."""
    for command, flag in [("tokenize", "--no-special-tokens"), ("detokenize", "--skip-special-tokens")]:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert flag in capsys.readouterr().out
