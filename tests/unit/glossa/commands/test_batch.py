"""`glossa batch` against the jobs API in this process, with signed links that lead into memory."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.client.errors import ApiError, BadAnswer, NotFound, Unavailable
from glossa.client.jobs_client import JobsClient, MultipartBody, Response, _signed
from glossa.commands.batch import batch_group
from shared.errors import GlossaError, Unprocessable
from tests.unit.functions.jobs.world import World, texts

URL = "http://api.example/live"
TASK = ["--task", "text-classification"]


@dataclass
class MemoryWeb:
    """Routes the API's requests to a world's resolver and signed links to its objects; time passes as it is asked."""

    world: World
    runs: bool = True
    spoil: Callable[[bytes], bytes] = bytes
    seen: list[tuple[str, str]] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Response:
        """Answer as the world does; its log goes elsewhere."""
        self.seen.append((method, url))
        with redirect_stdout(io.StringIO()):
            return self._send(method, url, headers, body)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> Response:
        parts = urlsplit(url)
        if parts.scheme == "memory":
            return self._object(method, parts.netloc, parts.path[1:], headers, body)
        if parts.path.endswith("/start") and self.runs:
            status, answer = self._ask(method, url, headers, body)
            self.world.run()
            return Response(status, [json.dumps(answer).encode()])
        status, answer = self._ask(method, url, headers, body)
        return Response(status, [json.dumps(answer).encode()])

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> tuple[int, Any]:
        parts = urlsplit(url)
        asked = json.loads(body) if body else None
        query = dict(parse_qsl(parts.query)) or None
        path = parts.path.removeprefix("/live")
        return self.world.ask(method, path, asked, headers=dict(headers), queryStringParameters=query)

    def _object(self, method: str, bucket: str, key: str, headers: Mapping[str, str], body: Any) -> Response:
        if method == "GET":
            return Response(200, [self.spoil(b"".join(self.world.objects.read(bucket, key)))])
        raw = b"".join(iter(lambda: body.read(7), b""))
        assert len(raw) == int(headers["content-length"])
        form = fields_of(headers["content-type"], raw)
        self.world.objects.put(bucket, form["key"].decode(), form["file"])
        return Response(204, [])


def fields_of(content_type: str, raw: bytes) -> dict[str, bytes]:
    """Read a form as a server does."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw)
    parts: Any = message.get_payload()
    found: dict[str, bytes] = {}
    for part in parts:
        assert isinstance(part, Message)
        found[str(part.get_param("name", header="content-disposition"))] = bytes(part.get_payload(decode=True))  # type: ignore[arg-type] # no part of ours is multipart
    return found


@pytest.fixture
def web() -> MemoryWeb:
    """Return the web around an empty world."""
    return MemoryWeb(World(max_records=2))


def run(web: MemoryWeb, *arguments: str) -> int:
    """Run one command of `glossa batch`."""
    words = list(arguments) if "--url" in arguments else [*arguments, "--url", URL]
    with batch_group.make_context("batch", words, obj=lambda url: JobsClient(url, web)) as context:
        return int(batch_group.invoke(context))


def submitted(web: MemoryWeb, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Submit and return the job's id."""
    assert run(web, "submit", *TASK, *arguments) == 0
    return capsys.readouterr().out.split()[-1]


def test_from_files_to_rows(web: MemoryWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files go up, the job runs, its rows come down in order, checked."""
    (tmp_path / 'a "b" ü.csv').write_text("nr,body\n1,first\n2,second\n3,third\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("fourth\nfifth\n", encoding="utf-8")
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    job = submitted(web, capsys, *files, "--text-field", "body", "--id-field", "nr", "--lines", "--param", "top_k=1")
    assert run(web, "results", job) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert texts(rows) == ["first", "second", "third", "fourth", "fifth"]
    assert [row.get("id") for row in rows] == ["1", "2", "3", None, None]
    assert run(web, "status", job) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "SUCCEEDED"
    assert run(web, "list") == 0
    assert capsys.readouterr().out.startswith(f"{job}  ")


@pytest.mark.parametrize("output", ["csv", "jsonl.gz"])
def test_parts_of_other_forms_are_one_file(
    web: MemoryWeb, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table has one header, packed parts follow each other; the file appears when it is whole."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": ""}\n{"text": "c"}\n', encoding="utf-8")
    job = submitted(web, capsys, str(tmp_path / "in.jsonl"), "--output", output)
    out = tmp_path / "out"
    assert run(web, "results", job, "--out", str(out)) == 0
    lines = (gzip.decompress(out.read_bytes()) if output == "jsonl.gz" else out.read_bytes()).decode().splitlines()
    assert len(lines) == 3 + (output == "csv")
    assert not (tmp_path / "out.part").exists()
    assert run(web, "results", job, "--errors") == 0
    assert [json.loads(line)["index"] for line in capsys.readouterr().out.splitlines()] == [1]


def test_a_part_that_is_not_what_its_digest_says_is_not_written(
    web: MemoryWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it reaches the file or the screen."""
    (tmp_path / "in.txt").write_text("text", encoding="utf-8")
    job = submitted(web, capsys, str(tmp_path / "in.txt"))
    web.spoil = lambda data: data[:-1]
    with pytest.raises(BadAnswer, match="expected"):
        run(web, "results", job, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadAnswer):
        run(web, "results", job)
    assert capsys.readouterr().out == ""


def test_the_same_key_is_the_same_job(web: MemoryWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key each command makes a job of its own."""
    (tmp_path / "in.txt").write_text("text", encoding="utf-8")
    web.runs = False
    first, again, other = (
        submitted(web, capsys, str(tmp_path / "in.txt"), *more) for more in (["--key", "k"], ["--key", "k"], [])
    )
    assert first == again != other


def test_a_prefix(web: MemoryWeb, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is not uploaded."""
    web.world.objects.put("input", "t/local/data/2026/a.txt", b"text")
    job = submitted(web, capsys, "--prefix", "2026/", "--watch")
    assert texts(web.world.rows(job)) == ["text"]


def test_files_that_could_not_be_read_are_named(web: MemoryWeb, capsys: pytest.CaptureFixture[str]) -> None:
    """Watching, rows and error rows name the first ten with their reason, and say how many more there are."""
    for i in range(12):
        web.world.objects.put("input", f"t/local/data/x/{i:02}.csv", b"")
    web.world.objects.put("input", "t/local/data/x/a.txt", b"text")
    assert run(web, "submit", *TASK, "--prefix", "x/", "--watch") == 1
    watched = capsys.readouterr()
    job = watched.out.split()[-1]
    said = [line for line in watched.err.splitlines() if line.startswith("glossa: ")]
    assert [line.partition(": got ")[0] for line in said[:10]] == [f"glossa: x/{i:02}.csv" for i in range(10)]
    assert said[10:] == ["glossa: and 2 more files that could not be read; see the job's manifest"]
    for more in (["--errors"], []):
        assert run(web, "results", job, *more) == 0
        assert capsys.readouterr().err.splitlines() == said


def test_cancel_redrive_and_delete(web: MemoryWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what the job became; watching one that failed in part is exit code 1."""
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n{"text": "bad"}\n', encoding="utf-8")
    echo = web.world.echo
    echo.poison, echo.poison_error = "bad", lambda: Unprocessable("no")
    job = submitted(web, capsys, str(tmp_path / "in.jsonl"))
    assert run(web, "watch", job) == 1
    assert "PARTIALLY_SUCCEEDED" in capsys.readouterr().err
    echo.poison_error = None
    assert run(web, "redrive", job) == 0
    with redirect_stdout(io.StringIO()):
        web.world.run()
    assert run(web, "watch", job) == 0
    assert capsys.readouterr().out.startswith("REDRIVING generation 1")
    assert run(web, "delete", job) == 0
    web.runs = False
    other = submitted(web, capsys, str(tmp_path / "in.jsonl"))
    assert run(web, "cancel", other) == 0
    assert capsys.readouterr().out == "CANCELLING\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", *TASK], "expected one of them"),
        (["submit", *TASK, "a/x.txt", "b/x.txt"], "2 files of 1 names"),
        (["submit", *TASK, "nowhere.txt"], "expected a file"),
        (["submit", *TASK, "--prefix", "x", "--webhook", "https://e.example/"], "GLOSSA_WEBHOOK_SECRET"),
        (["status", "0" * 32], "no job"),
        (["results", "0" * 32], "no job"),
        (["status", "0" * 32, "--url", "nonsense"], "GLOSSA_API_URL"),
        (["submit", "--task", "nosuch", "--prefix", "x"], "no task"),
        (["submit", *TASK, "--prefix", "x", "--key", ""], "got an Idempotency-Key of 0 characters"),
    ],
)
def test_trouble_is_said(web: MemoryWeb, arguments: list[str], message: str) -> None:
    """What cannot be done as asked is a sentence that names the value, or the API's own."""
    with pytest.raises((ValueError, ApiError, GlossaError), match=message):
        run(web, *arguments)


@dataclass
class CannedWeb:
    """Answers everything alike."""

    reply: Response

    def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Response:
        """Answer."""
        return self.reply


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"<html>", BadAnswer), (403, b'{"message": "Forbidden"}', ApiError), (404, b"{}", NotFound),
     (503, b'{"code": "unavailable", "detail": "down"}', Unavailable)],
)  # fmt: skip
def test_other_servers_answers_are_told_apart(status: int, body: bytes, error: type[ApiError]) -> None:
    """A page that is not ours, the gateway's own refusal and our problems each become an error in words."""
    with pytest.raises(error):
        JobsClient(URL, CannedWeb(Response(status, [body]))).status("x")


@given(
    st.dictionaries(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), st.from_regex(r"[ -~]{0,20}", fullmatch=True)),
    st.binary(max_size=60),
    st.integers(1, 50),
)
def test_a_form_is_read_back_whatever_the_reads(fields: dict[str, str], data: bytes, size: int) -> None:
    """Reads of any size give the length that was said, and a server finds fields and file in it."""
    fields.pop("file", None)
    body = MultipartBody(fields, "a.bin", io.BytesIO(data), len(data))
    raw = b"".join(iter(lambda: body.read(size), b""))
    assert len(raw) == body.n_bytes
    assert b'name="file"; filename="a.bin"\r\n\r\n' + data + b"\r\n--" in raw
    for name, value in fields.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in raw


def test_only_the_gateway_gets_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to API Gateway carries Authorization for its region and no key; others go as they are."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    signed = _signed("GET", "https://abc1.execute-api.eu-central-1.amazonaws.com/live/v1/jobs?a=b", {"x": "y"}, b"")
    assert "/eu-central-1/execute-api/aws4_request" in signed["Authorization"]
    assert _signed("GET", "http://127.0.0.1:4566/live", {"x": "y"}, b"") == {"x": "y"}
    assert _signed("GET", "https://abc1.execute-api.eu-central-1.amazonaws.com.evil.example/", {}, b"") == {}
