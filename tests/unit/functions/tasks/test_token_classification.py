"""Where windows overlap, each token takes its label from one of them."""

from __future__ import annotations

from functions.messages import Window
from functions.tasks.token_classification import borders


def test_each_token_is_labelled_where_it_is_most_central() -> None:
    """The border between windows is the word start nearest to the middle of their overlap, or the middle."""

    def window(start: int, n: int, *, spaced: bool) -> Window:
        step = 2 if spaced else 1
        offsets = tuple(((start + i) * step, (start + i) * step + 1) for i in range(n))
        return Window(0, (0,) * (n + 2), ((0, 0), *offsets, (0, 0)), (True, *(False,) * n, True), start=start)

    assert borders([window(0, 10, spaced=True), window(4, 10, spaced=True)]) == [7, 14]
    assert borders([window(0, 10, spaced=False), window(4, 10, spaced=False)]) == [7, 14]
    assert borders([window(0, 10, spaced=True), window(10, 5, spaced=True)]) == [10, 15]
    assert borders([window(0, 10, spaced=True)]) == [10]


def test_a_word_is_labelled_by_one_window() -> None:
    """The border moves to the beginning of a word near the middle of the overlap."""
    spans = [(i, i + 1) for i in range(10)]
    spans[5] = (6, 7)  # a gap before token 5
    first = Window(0, (0,) * 12, ((0, 0), *spans, (0, 0)), (True, *(False,) * 10, True), start=0)
    second = Window(0, (0,) * 8, ((0, 0), *spans[4:], (0, 0)), (True, *(False,) * 6, True), start=4)
    assert borders([first, second]) == [5, 10]
