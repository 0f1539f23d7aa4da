"""`glossa batch` against the jobs API in this process; signed links read and write objects in memory."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from glossa.client import ApiError, BadAnswer
from glossa.commands.remote.batch import batch_group
from shared.errors import Unprocessable
from tests.unit.functions.jobs.world import World, texts
from tests.unit.glossa.client.served import URL, JobsServer, client_of

TASK = ["--task", "text-classification"]


@pytest.fixture
def web() -> JobsServer:
    """Return a server of an empty world."""
    return JobsServer(World(max_records=2))


def run(web: JobsServer, *arguments: str) -> int:
    """Run one command of `glossa batch`."""
    words = list(arguments) if "--url" in arguments else [*arguments, "--url", URL]
    with batch_group.make_context("batch", words, obj=lambda url: client_of(web, url=url)) as context:
        return int(batch_group.invoke(context))


def submitted(web: JobsServer, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Submit a job and return its id."""
    assert run(web, "submit", *TASK, *arguments) == 0
    return capsys.readouterr().out.split()[-1]


def test_from_files_to_rows(web: JobsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are uploaded, the job runs, and its rows are downloaded in order."""
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
    web: JobsServer, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table has one header, gzip parts follow each other, and the file gets its name when it is complete."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": ""}\n{"text": "c"}\n', encoding="utf-8")
    job = submitted(web, capsys, str(tmp_path / "in.jsonl"), "--output", output)
    out = tmp_path / "out"
    assert run(web, "results", job, "--out", str(out)) == 0
    assert capsys.readouterr().err.endswith("out has 3 rows, 1 of them errors\n")
    lines = (gzip.decompress(out.read_bytes()) if output == "jsonl.gz" else out.read_bytes()).decode().splitlines()
    assert len(lines) == 3 + (output == "csv")
    assert not (tmp_path / "out.part").exists()
    assert run(web, "results", job, "--errors") == 0
    assert [json.loads(line)["index"] for line in capsys.readouterr().out.splitlines()] == [1]


def test_a_part_that_is_not_what_its_digest_says_is_not_written(
    web: JobsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of its bytes reach the file or the screen."""
    (tmp_path / "in.txt").write_text("text", encoding="utf-8")
    job = submitted(web, capsys, str(tmp_path / "in.txt"))
    web.spoil = lambda data: data[:-1]
    with pytest.raises(BadAnswer, match="expected"):
        run(web, "results", job, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadAnswer):
        run(web, "results", job)
    assert capsys.readouterr().out == ""


def test_the_same_key_is_the_same_job(web: JobsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two commands with one key make one job; without a key each makes its own."""
    (tmp_path / "in.txt").write_text("text", encoding="utf-8")
    web.runs = False
    first, again, other = (
        submitted(web, capsys, str(tmp_path / "in.txt"), *more) for more in (["--key", "k"], ["--key", "k"], [])
    )
    assert first == again != other


def test_a_prefix(web: JobsServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A job over a prefix reads the objects that are there, and uploads nothing."""
    web.world.objects.put("input", "t/local/data/2026/a.txt", b"text")
    job = submitted(web, capsys, "--prefix", "2026/", "--watch")
    assert texts(web.world.rows(job)) == ["text"]


def test_files_that_could_not_be_read_are_named(web: JobsServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`watch` and `results` name the first ten with their reason, and print how many more there are."""
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


def test_cancel_redrive_and_delete(web: JobsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each prints the new state of the job. Watching a job that failed in part ends with exit code 1."""
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
def test_a_mistake_is_named(web: JobsServer, arguments: list[str], message: str) -> None:
    """A wrong command raises an error that names the value, or the API's own error."""
    with pytest.raises((ValueError, ApiError), match=message):
        run(web, *arguments)
