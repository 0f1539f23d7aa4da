"""One browser and one API for the tests of this folder, and a page for each test that must stay quiet.

Without Chromium the tests are skipped and say so; in continuous integration they fail. `.venv-browser` has Playwright;
in another environment these files are not collected.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import browser_path

try:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
except ImportError:
    collect_ignore_glob = ["test_*.py"]

ROOT = Path(__file__).parents[2]
WAIT_MS = 30_000  # a machine may be busy
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
# what Chromium writes for every answer above 399, which some tests ask for
REFUSED = "Failed to load resource"


@dataclass(frozen=True)
class Served:
    """The addresses of an API with its buckets on its own host, and of one with them on another."""

    api: str
    far: str


@dataclass
class Watched:
    """A page, and everything that it should not have done."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def note_console(self, message: ConsoleMessage) -> None:
        """Keep what the console calls an error or a warning."""
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def note_request(self, request: Request) -> None:
        """Keep every address that was asked for."""
        self.requested.append(request.url)

    def hosts(self) -> set[str]:
        """Return every host that was asked."""
        return {urlsplit(url).netloc for url in self.requested if not url.startswith("blob:")}


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Start the API in a process of its own."""
    command = [ROOT / ".venv/bin/python", "-m", "tests.browser.server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the API did not start; its message is above"
            yield Served(**json.loads(line))
        finally:
            process.stdin.close()
            process.terminate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium. It can reach this machine alone."""
    path = browser_path()
    if path is None:
        said = "no Chromium on this machine; `make chromium` installs it"
        pytest.fail(said) if os.environ.get("CI") else pytest.skip(f"SKIPPED LOUDLY: {said}")
    expect.set_options(timeout=WAIT_MS)
    flags = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Callable[..., Watched]]:
    """Return what opens a page: its path, and the options of a context. At the end, no page may have complained."""
    opened: list[tuple[Any, Watched, bool]] = []

    def open_it(path: str = "/", *, base: str = "", may_be_refused: bool = False, **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": WIDE, **options})
        watched = Watched(context.new_page())
        opened.append((context, watched, may_be_refused))
        watched.page.set_default_timeout(WAIT_MS)
        watched.page.on("console", watched.note_console)
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on("request", watched.note_request)
        watched.page.goto((base or served.api) + path)
        return watched

    yield open_it
    complaints = [
        text for _, watched, refused in opened for text in watched.complaints
        if not (refused and text.startswith(REFUSED))
    ]  # fmt: skip
    for context, _, _ in opened:
        context.close()
    assert complaints == []
