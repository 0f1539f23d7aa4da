"""Pages read alike on GitHub and in the site: links are replaced, and lists are where GitHub sees them."""

from __future__ import annotations

import pytest

from local.documentation.markdown import links, with_links, with_lists


def test_links_to_files_are_found() -> None:
    """Addresses, places on the page, code and fences are no links to files; the text of a link may be code."""
    text = (
        "[a](b.md) [`c`](d.py#e) [f](https://example.org) [g](#h) `[i](j.md)`\n"
        "![k](l.png)\n```\n[m](n.md)\n```\n[o](p/q.md#r)\n"
    )
    assert links(text) == ["b.md", "d.py", "l.png", "p/q.md"]


def test_a_link_keeps_its_place_on_the_page() -> None:
    """The target alone is replaced."""
    assert with_links("[a](b.md#c), [d](b.md)", lambda _: "x/y.md") == "[a](x/y.md#c), [d](x/y.md)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("A line:\n- one\n  more\n- two\n", "A line:\n\n- one\n    more\n- two\n"),
        ("Under\n404. It is no list.\n", "Under\n404. It is no list.\n"),
        ("1. one\n   - inner\n2. two\n", "1. one\n    - inner\n2. two\n"),
        ("1. one\n\n   more\n2. two\n", "1. one\n\n    more\n\n2. two\n"),
        ("1. one\n\n   ```sh\n   a\n     b\n   ```\n", "1. one\n\n    ```sh\n    a\n      b\n    ```\n"),
        ("- one\n\ntext\n  wrapped\n", "- one\n\ntext\n  wrapped\n"),
        ("```\nA:\n- no item\n```\n", "```\nA:\n- no item\n```\n"),
    ],
    ids=["after a line", "a number", "inner", "a paragraph within", "a fence within", "after a list", "a fence"],
)
def test_lists_are_seen(given: str, expected: str) -> None:
    """An empty line stands before a list, and what belongs to an item is four spaces in."""
    assert with_lists(given) == expected
