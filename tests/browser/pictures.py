"""Takes pictures of the playground, for people to look at and for the docs.

    .venv-browser/bin/python -m tests.browser.pictures OUT [--url URL]

Without `--url` the API of the tests answers, over the models of the checkout's catalog. It prints how long the first
paint took and how many bytes came, as Chromium measures them. Must not know what is right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import browser_path
from tests.browser.steps import choose, take_example

ROOT = Path(__file__).parents[2]
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
WAIT_MS = 60_000
MEASURES = """() => {
  const files = performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter((one) => !/v1|openapi/.test(one.name));
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const sum = (name) => files.reduce((all, one) => all + one[name], 0);
  return {first_contentful_paint_ms: Math.round(paint.startTime), n_files: files.length,
    sent_bytes: sum('transferSize'), whole_bytes: sum('decodedBodySize')};
}"""


def entities(page: Page) -> None:
    """Show names in an English text."""
    choose(page, "Entities")
    take_example(page)


def arabic(page: Page) -> None:
    """Show names in an Arabic text."""
    choose(page, "Entities")
    take_example(page, 3)


def answers(page: Page) -> None:
    """Show an answer in a German text to an English question."""
    choose(page, "Questions")
    take_example(page, 1)


def matrix(page: Page) -> None:
    """Show how close nine sentences are."""
    choose(page, "Similarity matrix")
    take_example(page)


def neighbours(page: Page) -> None:
    """Show the neighbours of a sentence."""
    choose(page, "Neighbours")
    take_example(page)


def classes(page: Page) -> None:
    """Show the topic of a Greek text."""
    choose(page, "Classification")
    take_example(page, 1)


def error(page: Page) -> None:
    """Show a request that is refused."""
    choose(page, "Fill in")
    page.get_by_label("Text with a gap").fill("There is no gap in this sentence.")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_be_visible()


def job(page: Page) -> None:
    """Show a batch job that has ended."""
    page.get_by_role("link", name="Batch job").click()
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()


def reference(page: Page) -> None:
    """Show the API reference."""
    page.get_by_role("link", name="API reference").click()
    expect(page.locator("details.operation").first).to_be_visible()
    page.locator("details.operation summary").nth(3).click()


SCENES: tuple[tuple[str, str, Callable[[Page], None] | None, bool], ...] = (
    ("start", "light", None, False),
    ("entities", "light", entities, False),
    ("entities-dark", "dark", entities, False),
    ("arabic", "light", arabic, False),
    ("answers", "light", answers, False),
    ("matrix-dark", "dark", matrix, False),
    ("neighbours", "light", neighbours, False),
    ("classes", "dark", classes, False),
    ("error", "light", error, False),
    ("job", "light", job, False),
    ("reference", "light", reference, False),
    ("reference-dark", "dark", reference, False),
    ("phone", "light", arabic, True),
    ("phone-dark", "dark", arabic, True),
)


@contextmanager
def api(url: str | None) -> Iterator[str]:
    """Yield the address of an API; start one if none was given."""
    if url:
        yield url.rstrip("/") + "/"
        return
    command = [ROOT / ".venv/bin/python", "-m", "tests.browser.server", "--catalog", ROOT / "catalog.toml"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["api"] + "/"  # type: ignore[union-attr] # it is a pipe
        finally:
            process.terminate()


def take(browser: Browser, url: str, out: Path, scene: tuple[str, str, Callable[[Page], None] | None, bool]) -> None:
    """Take one picture, and print the measures of its page."""
    name, scheme, act, small = scene
    context = browser.new_context(color_scheme=scheme, viewport=PHONE if small else WIDE)  # type: ignore[arg-type] # one of two
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    expect(page.locator("main h2").first).to_be_visible()
    measures = page.evaluate(MEASURES)
    if act:
        act(page)
    page.mouse.move(0, 0)
    page.screenshot(path=out / f"{name}.png", full_page=small)
    sys.stdout.write(f"{name}: {json.dumps(measures)}\n")
    context.close()


def main() -> None:
    """Take every picture, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", help="address of an API that runs, with its stage")
    parser.add_argument("--only", nargs="*", help="names of pictures")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=WAIT_MS)
    with api(chosen.url) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path())
        for scene in SCENES:
            if not chosen.only or scene[0] in chosen.only:
                take(browser, url, chosen.out, scene)
        browser.close()


if __name__ == "__main__":
    main()
