"""Lines are read in order, in batches of those that have arrived, and each is one input."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.messages import TextInput
from glossa.commands.answers.input_lines import (
    MAX_BATCH_LINES,
    MAX_LINE_BYTES,
    Format,
    Line,
    batches,
    lines_of,
    read_line,
    source_of,
)
from shared.errors import BadRequest, GlossaError, TooLarge, Unprocessable

TASK = "text-classification"


def read(data: bytes | None, form: Format = "auto", number: int = 2) -> TextInput:
    """Read one line."""
    return read_line(Line(number, data), TASK, form)


@given(lines=st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=700))
def test_every_line_arrives_once_in_order(lines: list[bytes]) -> None:
    """Lines of any bytes keep their number, order and bytes; no batch is empty or too large."""
    data = b"".join(line + b"\n" for line in lines)
    found = list(batches(lines_of(io.BytesIO(data))))
    assert all(0 < len(batch) <= MAX_BATCH_LINES for batch in found)
    flat = [line for batch in found for line in batch]
    assert [line.data for line in flat] == [line.removesuffix(b"\r") for line in lines]
    assert [line.number for line in flat] == list(range(1, len(lines) + 1))


def test_a_last_line_without_an_end_counts() -> None:
    """The end of the stream ends a line."""
    assert [line.data for batch in batches(lines_of(io.BytesIO(b"a\nb"))) for line in batch] == [b"a", b"b"]


def test_a_line_that_is_too_long_is_dropped_alone() -> None:
    """A huge line is not held in memory; the lines around it are read."""
    data = b"a\n" + b"x" * (MAX_LINE_BYTES + 1) + b"\n" + b"y" * MAX_LINE_BYTES + b"\nb"
    found = [line for batch in batches(lines_of(io.BytesIO(data))) for line in batch]
    assert [line.n_bytes for line in found] == [1, 0, MAX_LINE_BYTES, 1]
    assert found[1].data is None


class _Broken(io.BytesIO):
    def readline(self, size: int | None = -1, /) -> bytes:
        """Give what there is, then fail as a lost disk does."""
        data = super().readline(size)
        if not data:
            raise OSError(5, "Input/output error")
        return data


def test_a_broken_stream_is_not_the_end_of_it() -> None:
    """The lines before a read error arrive, and then the error. Half an input is never a success."""
    found = []
    with pytest.raises(OSError, match="Input/output error"):
        found.extend(line.data for batch in batches(lines_of(_Broken(b"a\nb\n"))) for line in batch)
    assert found == [b"a", b"b"]


def test_a_line_is_given_while_the_pipe_stays_open() -> None:
    """A line of a pipe is given as soon as it was written, before the pipe ends."""
    out, into = os.pipe()
    with os.fdopen(out, "rb") as stream, os.fdopen(into, "wb", buffering=0) as pipe:
        found = batches(lines_of(stream))
        for text in (b"one", b"two"):
            pipe.write(text + b"\n")
            assert [line.data for line in next(found)] == [text]
        pipe.close()
        assert list(found) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b" plain text ", TextInput(" plain text ")),
        (b'"json \\u00e9"', TextInput("json é")),
        (b'"Hello," she said.', TextInput('"Hello," she said.')),
        (b'{"text": "a", "text_pair": "b"}', TextInput("a", "b")),
        (b"{not json}", TextInput("{not json}")),
        (b"[1]", TextInput("[1]")),
        (b"{" * 100_000, TextInput("{" * 100_000)),
    ],
)
def test_auto_reads_json_strings_and_objects(data: bytes, expected: TextInput) -> None:
    """A line that is a JSON string or object is read as JSON; any other line is a text."""
    assert read(data) == expected


def test_a_byte_order_mark_is_no_text() -> None:
    """A mark at the start of the stream is removed; in another line it is a character."""
    assert read(b"\xef\xbb\xbfa", number=1) == TextInput("a")
    assert read(b"\xef\xbb\xbfa", number=2) == TextInput("\ufeffa")


def test_forms_can_be_forced() -> None:
    """`text` takes every line as a text, and `jsonl` takes only JSON."""
    assert read(b'"a"', "text") == TextInput('"a"')
    with pytest.raises(BadRequest, match="line 2: got no JSON"):
        read(b"a", "jsonl")
    with pytest.raises(Unprocessable, match="line 2: got a number"):
        read(b"1", "jsonl")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (None, TooLarge, "line 2: got more than 4000000 bytes"),
        (b"a\xff", BadRequest, "line 2: got a byte that is not UTF-8 at 1"),
        (b"", Unprocessable, "line 2: got an empty text"),
        (b'"\\ud800"', Unprocessable, r"line 2: got the lone surrogate U\+D800"),
        (b'{"txt": 1}', Unprocessable, "unknown field 'txt'"),
    ],
)
def test_a_bad_line_is_named(data: bytes | None, error: type[GlossaError], message: str) -> None:
    """Each kind of bad line raises its own error, which names the number of the line."""
    with pytest.raises(error, match=message):
        read(data)


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    """Each file counts its lines from 1. Lines have the name of their file when there are several."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(f"{name}1\n{name}2\n".encode())
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    both = source_of([a, b], [])
    assert list(both.lines()) == [Line(1, b"a1", a), Line(2, b"a2", a), Line(1, b"b1", b), Line(2, b"b2", b)]
    assert both.total_bytes() == 12
    assert list(source_of([a], []).lines()) == [Line(1, b"a1"), Line(2, b"a2")]


def test_texts_of_the_command_line_are_lines() -> None:
    """A text may have line ends, and is read as any other line."""
    texts = source_of([], ["a\nb", '{"text": "c"}'])
    assert [read_line(line, TASK) for line in texts.lines()] == [TextInput("a\nb"), TextInput("c")]
    assert texts.total_bytes() == 18


@pytest.mark.parametrize(
    ("files", "texts", "message"),
    [
        (["x"], ["y"], "got files and --text, expected one of them"),
        (["/nowhere"], [], "got '/nowhere', which is not there; expected a file"),
        (["/"], [], "got '/', which is a folder; expected a file"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_at_once(files: list[str], texts: list[str], message: str) -> None:
    """Before a model is loaded."""
    with pytest.raises(ValueError, match=message):
        source_of(files, texts)
