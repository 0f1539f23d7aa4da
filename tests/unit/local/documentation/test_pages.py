"""The pages of the site: those of `docs/`, and what they link to."""

from __future__ import annotations

from pathlib import Path

from local.documentation.__main__ import from_other_hosts
from local.documentation.pages import lay_out


def _write(root: Path, **texts: str) -> None:
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def test_what_a_page_links_to_is_in_the_site(tmp_path: Path) -> None:
    """A file of code becomes a page that shows it, a folder the page of it, and links lead there and back."""
    _write(
        tmp_path,
        **{
            "docs/README.md": "[a](../serve/app.py) [b](../infra) [c](../tests) ![x](x.svg) [gone](gone.md)\n",
            "docs/x.svg": "<svg/>",
            "serve/app.py": "a = 1\n",
            "serve/other.py": "b = 2\n",
            "infra/README.md": "[back](../docs/README.md) [first](../README.md)\n",
            "README.md": "[docs](docs/README.md)\n",
            "tests/test_a.py": "c = 3\n",
        },
    )
    places = lay_out(tmp_path, tmp_path / "out")
    assert places == [
        "README.md",
        "repository/README.md",
        "repository/infra/README.md",
        "repository/serve/app.py.md",
        "repository/tests/index.md",
        "x.svg",
    ]
    texts = {place: (tmp_path / "out" / place).read_text(encoding="utf-8") for place in places}
    assert texts["README.md"] == (
        "[a](repository/serve/app.py.md) [b](repository/infra/README.md) [c](repository/tests/index.md)"
        " ![x](x.svg) [gone](gone.md)\n"
    )
    assert texts["repository/infra/README.md"] == "[back](../../README.md) [first](../README.md)\n"
    assert "a = 1" in texts["repository/serve/app.py.md"]
    assert "`test_a.py`" in texts["repository/tests/index.md"]


def test_what_another_host_would_serve_is_found(tmp_path: Path) -> None:
    """Scripts, styles and pictures of other hosts are named; links for people are not loaded."""
    text = (
        '<link rel="canonical" href="https://a.example/"><link href=style.css rel=stylesheet>'
        '<a href="https://b.example/">b</a><script src="//c.example/x.js"></script><img src="https://d.example/y.png">'
    )
    _write(tmp_path, **{"page/index.html": text})
    assert list(from_other_hosts(tmp_path)) == [
        "page/index.html: //c.example/x.js",
        "page/index.html: https://d.example/y.png",
    ]
