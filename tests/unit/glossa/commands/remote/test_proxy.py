"""`glossa proxy` prints its token once, and refuses to start where it would not be safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.client.signing import aws_credentials
from glossa.commands.remote.proxy import TOKEN_VARIABLE, print_start, proxy_command, read_token
from glossa.proxy.upstream import Upstream

API = "https://abc1.execute-api.eu-central-1.amazonaws.com/live"


def test_a_token_is_made_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file or a variable each start has a new token of 43 characters."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    (first, is_new), (second, _) = read_token(None), read_token(None)
    assert is_new
    assert first != second
    assert len(first) == 43
    monkeypatch.setenv(TOKEN_VARIABLE, "of-the-environment")
    assert read_token(None) == ("of-the-environment", False)
    (tmp_path / "token").write_text("of-the-file\n", encoding="utf-8")
    assert read_token(tmp_path / "token") == ("of-the-file", False)


def test_a_token_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A new token goes to standard output, one that the caller gave nowhere."""
    upstream = Upstream.at(API, None, object)
    print_start("http://127.0.0.1:8788", upstream, "the-token")
    printed = capsys.readouterr()
    assert printed.out == "export GLOSSA_API_URL=http://127.0.0.1:8788\nexport GLOSSA_API_KEY=the-token\n"
    assert "the-token" not in printed.err
    print_start("http://127.0.0.1:8788", upstream, None)
    assert "GLOSSA_API_KEY" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--url", API, "--host", "192.168.1.1"], "expected one of this machine alone"),
     (["--url", "http://api.example"], "https://HOST"), (["--url", "https://nlp.example.com"], "expected --region")],
)  # fmt: skip
def test_it_does_not_start_where_it_is_not_safe(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address to listen on, an API in the clear and one without a region end the command at once."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    aws_credentials.cache_clear()
    with proxy_command.make_context("proxy", arguments) as context, pytest.raises(ValueError, match=message):
        proxy_command.invoke(context)
    aws_credentials.cache_clear()
