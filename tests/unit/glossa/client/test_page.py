"""Every Python snippet of docs/python-client.md runs, in its order, against the API on this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.unit.glossa.client.http_server import serving_api

PAGE = ROOT / "docs" / "python-client.md"
REVIEWS = "nr;body\n7;The team won.\n8;Prices rise.\n9;It rains.\n".replace(";", ",")
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_snippet_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, with the names of those before, as a reader types them."""
    (tmp_path / "reviews.csv").write_text(REVIEWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLOSSA_API_KEY", raising=False)
    snippets = SNIPPET.findall(PAGE.read_text(encoding="utf-8"))
    assert len(snippets) == 6
    names: dict[str, object] = {}
    with serving_api() as url:
        monkeypatch.setenv("GLOSSA_API_URL", url)
        for snippet in snippets:
            exec(compile(snippet, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
    said = capsys.readouterr().out
    assert "3 answered, 0 failed\n7 The team won.\n8 Prices rise.\n9 It rains.\n" in said
    assert "404 not-found no model 'nope'" in said
    assert said.endswith("True True\n")
