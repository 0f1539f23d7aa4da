"""Reads standard input line by line: as batches of lines, and each line as an input of a task.

A thread reads ahead. A batch holds the lines that have arrived when the model is free. So a slow pipe is answered line
by line, and a file in large batches. Must not know models.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from functions.messages import TextInput
from functions.tasks.parse import parse_input
from shared.errors import BadRequest, TooLarge

STDIN = 0
MAX_LINE_BYTES = 4_000_000
MAX_BATCH_LINES = 256
MAX_BATCH_BYTES = 400_000
Format = Literal["auto", "text", "jsonl"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line end. `data` is None when the line was too long."""

    number: int
    data: bytes | None

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


def batches(stream: BinaryIO) -> Iterator[list[Line]]:
    """Yield the lines of a stream in order. A batch is taken when the caller asks for it.

    Raises OSError when the stream breaks, after all lines that were read before.
    """
    arrived: queue.Queue[Line] = queue.Queue(maxsize=2 * MAX_BATCH_LINES)
    broken: list[OSError] = []
    threading.Thread(target=_read, args=(stream, arrived, broken), daemon=True, name="glossa-lines").start()
    ended = False
    while not ended:
        batch = [arrived.get()]
        while batch[-1] is not END and not _full(batch):
            try:
                batch.append(arrived.get_nowait())
            except queue.Empty:
                break
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


def _full(batch: list[Line]) -> bool:
    return len(batch) >= MAX_BATCH_LINES or sum(line.n_bytes for line in batch) >= MAX_BATCH_BYTES


def _read(stream: BinaryIO, arrived: queue.Queue[Line], broken: list[OSError]) -> None:
    number = 0
    try:
        while data := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            whole = len(data) <= MAX_LINE_BYTES or data.endswith(b"\n")
            while not data.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
                data = rest  # skips the rest of a line that is too long
            arrived.put(Line(number, data.removesuffix(b"\n").removesuffix(b"\r") if whole else None))
    except OSError as error:
        broken.append(error)
    finally:
        arrived.put(END)
