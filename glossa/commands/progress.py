"""A job's status as one line for a person, and watching it until it ends: a live bar on a terminal, else lines.

Must not know HTTP or arguments.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any, TextIO

ENDED = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"})
PAUSE_S = 2.0
MIN_BAR, MAX_BAR = 10, 40
EIGHTHS = " ▏▎▍▌▋▊▉█"
MINUTE_S, HOUR_S = 60, 3600


def line_of(shown: Mapping[str, Any], width: int) -> str:
    """Return a job's status in at most `width` characters: state, bar, records, rate, time left, failures."""
    counts, share = shown["counts"], shown["progress"]
    done = counts["succeeded"] + counts["failed"]
    words = [f"{done:,} of {counts['records']:,}" if share is not None else f"{counts['records']:,} records found"]
    if shown["records_per_s"]:
        words.append(f"{shown['records_per_s']:,.0f}/s")
    if shown["eta_s"]:
        words.append(f"{_time(shown['eta_s'])} left")
    if counts["failed"]:
        words.append(f"{counts['failed']:,} failed")
    if counts["unreadable_inputs"]:
        words.append(f"{counts['unreadable_inputs']:,} files unreadable")
    text = " · ".join(words)
    if share is not None:
        room = min(MAX_BAR, width - len(text) - len(shown["state"]) - 8)
        bar = f"{_bar(share, room)} " if room >= MIN_BAR else ""
        text = f"{bar}{share:4.0%} {text}"
    return f"{shown['state']} {text}"[:width]


def watch(
    status: Callable[[], Mapping[str, Any]], out: TextIO, pause: Callable[[float], object], *, width: int | None = None
) -> Mapping[str, Any]:
    """Show a job until it has ended; return its last status. On what is no terminal, a line when its state changes."""
    live, before = out.isatty(), ""
    while True:
        shown = status()
        columns = width or shutil.get_terminal_size().columns
        ended = shown["state"] in ENDED
        if live:
            out.write("\r\x1b[K" + line_of(shown, columns - 1) + ("\n" if ended else ""))
        elif shown["state"] != before:
            out.write(line_of(shown, 200) + "\n")
        out.flush()
        if ended:
            return shown
        before = shown["state"]
        pause(PAUSE_S)


def _bar(share: float, room: int) -> str:
    eighths = round(max(0.0, min(1.0, share)) * room * 8)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (EIGHTHS[part] if part else "")).ljust(room, "░")


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // HOUR_S, whole % HOUR_S // MINUTE_S
    return f"{hours}:{minutes:02d}:{whole % MINUTE_S:02d}" if hours else f"{minutes}:{whole % MINUTE_S:02d}"
