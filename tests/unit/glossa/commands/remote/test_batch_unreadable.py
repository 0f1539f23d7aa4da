"""`glossa batch` when the names of unreadable files cannot be read: rows and exit codes stay the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.unit.functions.jobs.world import World
from tests.unit.glossa.client.served import JobsServer
from tests.unit.glossa.commands.remote.test_batch import TASK, run

PAGE = "/results?page_size=1"
CONFLICT = {"code": "conflict", "detail": "job x is REDRIVING; results can be had when it has ended"}


@dataclass
class WithoutNames(JobsServer):
    """Fails on the requests that only the names of unreadable files need: the manifest, or the page with its link."""

    where: str = "/manifest"
    lose: Callable[[], httpx2.Response] = lambda: httpx2.Response(404, content=b"gone")

    def __call__(self, sent: httpx2.Request) -> httpx2.Response:
        """Answer all else as the world does."""
        url = str(sent.url)
        if self.where in url and (self.where != PAGE or url.endswith(PAGE)):
            return self.lose()
        return super().__call__(sent)


def _no_answer() -> httpx2.Response:
    raise httpx2.ReadTimeout("late")


LOSSES = [
    ("/manifest", lambda: httpx2.Response(404, content=b"gone"), "answered 404: gone; links are good for an hour"),
    ("/manifest", lambda: httpx2.Response(200, content=b"{}"), "manifest.json with sha256 "),
    ("/manifest", _no_answer, "no answer from output: ReadTimeout"),
    (PAGE, lambda: httpx2.Response(409, json=CONFLICT), "job x is REDRIVING"),
    (PAGE, lambda: httpx2.Response(200, content=b"{}"), "KeyError('counts')"),
]


@pytest.mark.parametrize(("where", "lose", "said"), LOSSES)
def test_names_that_cannot_be_read_cost_nothing_else(
    where: str, lose: Callable[[], httpx2.Response], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rows are written, exit codes stay, and the job's own error and the reason for missing names are printed."""
    web = WithoutNames(World(max_records=2), where=where, lose=lose)
    web.world.objects.put("input", "t/local/data/x/a.csv", b"")
    web.world.objects.put("input", "t/local/data/x/b.txt", b"text")
    assert run(web, "submit", *TASK, "--prefix", "x/", "--watch") == 1
    watched = capsys.readouterr()
    job = watched.out.split()[-1]
    why, own = [line for line in watched.err.splitlines() if line.startswith("glossa: ")]
    assert why.startswith("glossa: could not read which files were unreadable")
    assert said in why
    assert own.startswith("glossa: x/a.csv: got ")
    for more, n_rows in (["--errors"], 0), ([], 1):
        out = tmp_path / f"rows{n_rows}"
        assert run(web, "results", job, "--out", str(out), *more) == 0
        assert out.read_bytes().count(b"\n") == n_rows
        assert (said in capsys.readouterr().err) == (where == "/manifest" or more == ["--errors"])


def test_the_page_that_links_the_manifest_is_asked_for_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows and names are read from one page of results. Error rows alone need one request more."""
    web = JobsServer(World(max_records=2))
    web.world.objects.put("input", "t/local/data/x/a.csv", b"")
    web.world.objects.put("input", "t/local/data/x/b.txt", b"text")
    assert run(web, "submit", *TASK, "--prefix", "x/") == 0
    job = capsys.readouterr().out.split()[-1]
    for more in ([], ["--errors"]):
        web.seen.clear()
        assert run(web, "results", job, *more) == 0
        assert capsys.readouterr().err.startswith("glossa: x/a.csv: got ")
        assert len([url for _, url in web.seen if f"{job}/results" in url]) == 1


def test_a_name_is_shown_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Names under a long prefix are not shortened, so that they can be told apart."""
    web = JobsServer(World(max_records=2))
    names = [f"{'folder/' * 70}{i}.csv" for i in range(2)]
    for name in names:
        web.world.objects.put("input", f"t/local/data/{name}", b"")
    assert run(web, "submit", *TASK, "--prefix", "folder/", "--watch") == 1
    shown = capsys.readouterr()
    said = [line for line in shown.err.splitlines() if line.startswith("glossa: ")]
    assert [line.partition(": got ")[0] for line in said] == [f"glossa: {name}" for name in names]
    assert web.world.job(shown.out.split()[-1]).detail.startswith(f"{names[0]}: got ")
