"""Shows the status of a batch job: as one line, and as a line that is drawn again until the job has ended.

Must not know HTTP or arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rich.bar import Bar
from rich.console import Console
from rich.live import Live
from rich.text import Text

from glossa.client import JobStatus

PAUSE_S = 2.0
MIN_BAR, MAX_BAR = 10, 40  # columns
FILE_COLUMNS = 200
MINUTE_S, HOUR_S = 60, 3600


def line_of(shown: JobStatus, width: int) -> str:
    """Return a job's status in at most `width` columns: state, bar, records, rate, time left and failures."""
    share, done = shown.progress, shown.succeeded + shown.failed
    words = [f"{done:,} of {shown.records:,}" if share is not None else f"{shown.records:,} records found"]
    if shown.records_per_s:
        words.append(f"{shown.records_per_s:,.0f}/s")
    if shown.eta_s:
        words.append(f"{_time(shown.eta_s)} left")
    if shown.failed:
        words.append(f"{shown.failed:,} failed")
    if shown.unreadable_inputs:
        words.append(f"{shown.unreadable_inputs:,} files unreadable")
    text = " · ".join(words)
    if share is not None:
        room = min(MAX_BAR, width - len(text) - len(shown.state) - 8)
        bar = f"{_bar(share, room)} " if room >= MIN_BAR else ""
        text = f"{bar}{share:4.0%} {text}"
    return f"{shown.state} {text}"[:width]


def watch(
    status: Callable[[], JobStatus], out: TextIO, pause: Callable[[float], object], *, width: int | None = None
) -> JobStatus:
    """Show a job until it has ended; return its last status.

    A terminal gets one line that is drawn again. Any other output gets a line when the state changes.
    """
    if out.isatty():
        return _watch_on_terminal(status, Console(file=out, width=width), pause)
    before = ""
    while True:
        shown = status()
        if shown.state != before:
            out.write(line_of(shown, FILE_COLUMNS) + "\n")
            out.flush()
        if shown.ended:
            return shown
        before = shown.state
        pause(PAUSE_S)


def _watch_on_terminal(
    status: Callable[[], JobStatus], console: Console, pause: Callable[[float], object]
) -> JobStatus:
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            shown = status()
            live.update(Text(line_of(shown, console.width - 1), no_wrap=True), refresh=True)
            if shown.ended:
                return shown
            pause(PAUSE_S)


def _bar(share: float, room: int) -> str:
    console = Console(width=room, color_system=None)
    drawn = "".join(segment.text for segment in console.render(Bar(1.0, 0.0, share, width=room)))
    return drawn.rstrip("\n").replace(" ", "░")


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // HOUR_S, whole % HOUR_S // MINUTE_S
    return f"{hours}:{minutes:02d}:{whole % MINUTE_S:02d}" if hours else f"{minutes}:{whole % MINUTE_S:02d}"
