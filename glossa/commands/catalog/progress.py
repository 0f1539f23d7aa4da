"""Says on standard error what a command of the catalog does, while it does it. Must not know what that is."""

from __future__ import annotations

from typing import TextIO

CLEAR = "\r\x1b[K"  # to the start of the line, and empty it


class Progress:
    """One line that is drawn again on a terminal. Any other output gets a line for each stage."""

    def __init__(self, out: TextIO | None) -> None:
        """Write to `out`; None writes nothing."""
        self._out = out
        self._is_terminal = out is not None and out.isatty()
        self._stage = ""

    def stage(self, text: str) -> None:
        """Say what begins now."""
        self._stage = text
        if self._out is not None:
            self._out.write(f"{CLEAR}{text}" if self._is_terminal else f"{text}\n")
            self._out.flush()

    def detail(self, text: str) -> None:
        """Say how far the stage is; only a terminal shows it."""
        if self._is_terminal and self._out is not None:
            self._out.write(f"{CLEAR}{self._stage}: {text}")
            self._out.flush()

    def done(self) -> None:
        """Leave a terminal's line empty."""
        if self._is_terminal and self._out is not None:
            self._out.write(CLEAR)
            self._out.flush()


SILENT = Progress(None)
