"""Draws a confusion matrix as a picture in SVG. Must not know where its numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

MAX_LABELS = 40  # a larger matrix shows those that are confused most
CELL, GAP, LETTER = 26, 8, 7  # pixels: of a cell, around names, and of a letter's width
MAX_LETTERS = 24
DARK = 0.55  # of a row, above which the number is white


def confusion_svg(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return the picture: a row for each true label, a column for each guess, darker for a larger share of the row."""
    shown = _shown(counts)
    names = [labels[at] if len(labels[at]) <= MAX_LETTERS else f"{labels[at][: MAX_LETTERS - 1]}…" for at in shown]
    margin = GAP * 2 + LETTER * max(map(len, names), default=0)
    size = margin + CELL * len(shown) + GAP
    box = f'width="{size}" height="{size + CELL}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="11">',
        f'<rect {box} fill="white"/>',
        f'<text x="{margin}" y="{size + CELL // 2}">rows: what is right; columns: what the head says</text>',
    ]
    for row, truth in enumerate(shown):
        y = margin + CELL * row
        parts.append(f'<text x="{margin - GAP}" y="{y + 17}" text-anchor="end">{escape(names[row])}</text>')
        x = margin + CELL * row + 17
        parts.append(f'<text transform="translate({x},{margin - GAP}) rotate(-90)">{escape(names[row])}</text>')
        total = max(1, sum(counts[truth]))
        parts += [_cell(margin + CELL * column, y, counts[truth][guess], total) for column, guess in enumerate(shown)]
    return "\n".join([*parts, "</svg>\n"])


def _shown(counts: Sequence[Sequence[int]]) -> list[int]:
    """Return the labels to draw, in their order: all, or those with the most errors."""
    n_labels = len(counts)
    errors = {at: sum(counts[at]) + sum(row[at] for row in counts) - 2 * counts[at][at] for at in range(n_labels)}
    return sorted(sorted(errors, key=lambda at: -errors[at])[:MAX_LABELS])


def _cell(x: int, y: int, count: int, total: int) -> str:
    share = count / total
    box = f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="#1f4e8c" fill-opacity="{share:.3f}"/>'
    colour = "white" if share > DARK else "#333"
    number = f'<text x="{x + CELL // 2}" y="{y + 17}" text-anchor="middle" fill="{colour}">{count}</text>'
    return box + (number if count else "")
