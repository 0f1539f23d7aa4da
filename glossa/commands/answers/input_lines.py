"""Reads texts line by line: from standard input or files, as batches of lines, and each line as an input of a task.

A thread reads ahead. A batch holds the lines that have arrived when the model is free. So a slow pipe is answered line
by line, and a file in large batches. Must not know models.
"""

from __future__ import annotations

import json
import os
import queue
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from functions.messages import TextInput
from functions.tasks.parse import parse_input
from shared.errors import BadRequest, TooLarge

STDIN = 0
STDIN_NAME = "-"
MAX_LINE_BYTES = 4_000_000
MAX_BATCH_LINES = 256
MAX_BATCH_BYTES = 400_000
Format = Literal["auto", "text", "jsonl"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line end. `data` is None when the line was too long.

    `number` counts the lines of its file from 1. `file` is the name of that file; "" when there is only one input.
    """

    number: int
    data: bytes | None
    file: str = ""

    @property
    def n_bytes(self) -> int:
        """The number of bytes in `data`."""
        return len(self.data or b"")


END = Line(0, None)


def open_stdin() -> BinaryIO:
    """Open standard input as a stream of bytes; tell a person at a terminal how to end it."""
    if os.isatty(STDIN):
        print("reading lines from the terminal; end with Ctrl-D", file=sys.stderr)
    return open(STDIN, "rb", closefd=False)


def write_stdout(data: bytes) -> None:
    """Write to standard output at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class Source(Protocol):
    """Where lines come from."""

    def lines(self) -> Iterator[Line]:
        """Yield the lines. To be called once."""
        ...

    def total_bytes(self) -> int | None:
        """Return how many bytes there are, None when nobody can know."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of bytes."""

    stream: BinaryIO

    def lines(self) -> Iterator[Line]:
        """Yield its lines."""
        return lines_of(self.stream)

    def total_bytes(self) -> int | None:
        """Return None."""
        return None


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of the command line. Each is one line, whatever line ends it has."""

    texts: Sequence[str]

    def lines(self) -> Iterator[Line]:
        """Yield a line for each text."""
        return (Line(number, os.fsencode(text)) for number, text in enumerate(self.texts, 1))

    def total_bytes(self) -> int | None:
        """Return their bytes, with one for each line end."""
        return sum(len(os.fsencode(text)) + 1 for text in self.texts)


@dataclass(frozen=True, slots=True)
class Files:
    """Files by their names, one after the other. `-` is standard input."""

    names: Sequence[str]

    def lines(self) -> Iterator[Line]:
        """Yield the lines of all files. Those of several files have the names of their files."""
        for name in self.names:
            with open_stdin() if name == STDIN_NAME else Path(name).open("rb") as stream:
                yield from lines_of(stream, name if len(self.names) > 1 else "")

    def total_bytes(self) -> int | None:
        """Return the size of all files, None when one of them is a pipe or a terminal."""
        found = [os.fstat(STDIN) if name == STDIN_NAME else Path(name).stat() for name in self.names]
        return sum(each.st_size for each in found) if all(stat.S_ISREG(each.st_mode) for each in found) else None


def source_of(files: Sequence[str], texts: Sequence[str]) -> Source:
    """Return the source that the caller names: files or texts, and standard input without them.

    Raises ValueError for both, and for a name that is no file.
    """
    if files and texts:
        raise ValueError("got files and --text, expected one of them")
    for name in files:
        if name != STDIN_NAME and (not Path(name).exists() or Path(name).is_dir()):
            found = "a folder" if Path(name).is_dir() else "not there"
            raise ValueError(f"got {name!r}, which is {found}; expected a file, - for standard input, or --text TEXT")
    return Texts(texts) if texts else Files(files or [STDIN_NAME])


def lines_of(stream: BinaryIO, file: str = "") -> Iterator[Line]:
    """Yield the lines of a stream. Of a line that is too long no more than its number is held."""
    number = 0
    while data := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        whole = len(data) <= MAX_LINE_BYTES or data.endswith(b"\n")
        while not data.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
            data = rest  # skips the rest of a line that is too long
        yield Line(number, data.removesuffix(b"\n").removesuffix(b"\r") if whole else None, file)


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines in order, in batches. A batch is taken when the caller asks for it.

    Raises OSError when the stream breaks, after all lines that were read before.
    """
    arrived: queue.Queue[Line] = queue.Queue(maxsize=2 * MAX_BATCH_LINES)
    broken: list[OSError] = []
    threading.Thread(target=_read, args=(lines, arrived, broken), daemon=True, name="glossa-lines").start()
    ended = False
    while not ended:
        batch = [arrived.get()]
        n_bytes = batch[0].n_bytes
        while batch[-1] is not END and len(batch) < MAX_BATCH_LINES and n_bytes < MAX_BATCH_BYTES:
            try:
                batch.append(arrived.get_nowait())
            except queue.Empty:
                break
            n_bytes += batch[-1].n_bytes
        if ended := batch[-1] is END:
            batch.pop()
        if batch:
            yield batch
    if broken:
        raise broken[0]


def read_line(line: Line, task: str, form: Format = "auto") -> TextInput:
    """Return the input that a line holds.

    With the form `auto`, a line that is a JSON object or a JSON string is read as JSON, and any other line is a text.
    Raises BadRequest (not UTF-8, not JSON), TooLarge, Unprocessable.
    """
    where = f"line {line.number}"
    text = text_of_line(line)
    if form == "text":
        return parse_input(text, where, task)
    value: object = None
    if form == "jsonl" or text.lstrip()[:1] in {"{", '"'}:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if form == "jsonl":
                raise BadRequest(f"{where}: got no JSON ({error}), expected a string or an object") from None
    if form == "jsonl" or isinstance(value, str | dict):
        return parse_input(value, where, task)
    return parse_input(text, where, task)


def text_of_line(line: Line) -> str:
    """Return a line as text. Raises BadRequest (not UTF-8), TooLarge."""
    where = f"line {line.number}"
    if line.data is None:
        raise TooLarge(f"{where}: got more than {MAX_LINE_BYTES} bytes, at most that in one line")
    try:
        text = line.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{where}: got a byte that is not UTF-8 at {error.start}, expected UTF-8") from None
    return text.removeprefix("\ufeff") if line.number == 1 else text


def _read(lines: Iterable[Line], arrived: queue.Queue[Line], broken: list[OSError]) -> None:
    try:
        for line in lines:
            arrived.put(line)
    except OSError as error:
        broken.append(error)
    finally:
        arrived.put(END)
