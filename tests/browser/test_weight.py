"""What a visit costs: few requests, few bytes, and nothing a second time."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched

Open = Callable[..., Watched]
MAX_BYTES = 150_000
FILES = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"


# the last part of every address that a first visit asks for: four files, and one call of the API
ASKED = {
    "/": ["", "icon.svg", "models", "page.css", "page.js"],
    "/docs": ["docs", "docs.js", "icon.svg", "openapi.json", "page.css"],
}


def names(watched: Watched) -> list[str]:
    """Return the last part of every address that was asked for, sorted, each once: a browser has kept its icon."""
    return sorted({urlsplit(url).path.rpartition("/")[2] for url in watched.requested})


def of_the_page(page: Page, size: str) -> list[int]:
    """Return a size of each file of the page itself, not of what it asks of the API."""
    found: list[int] = page.evaluate(f"{FILES}.filter((one) => !/v1|openapi/.test(one.name)).map((one) => one.{size})")
    return found


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_visit_is_light(open_page: Open, path: str) -> None:
    """A page with its style, script and icon is four files, of less than 150 kB even without compression."""
    watched = open_page(path)
    page = watched.page
    expect(page.locator("main h2").first).to_be_visible()
    assert names(watched) == ASKED[path]
    whole, sent = of_the_page(page, "decodedBodySize"), of_the_page(page, "transferSize")
    assert len([size for size in sent if size]) == 4  # the icon of the tab is that of the page, and not sent again
    assert sum(whole) < MAX_BYTES
    assert sum(sent) < sum(whole) / 2  # compressed


def test_a_second_visit_asks_for_the_page_alone(open_page: Open) -> None:
    """Its files are kept, and the page itself is answered by 304."""
    watched = open_page("/")
    expect(watched.page.locator("main h2").first).to_be_visible()
    with watched.page.expect_response(lambda response: response.url.endswith("/")) as answered:
        watched.page.goto(watched.page.url)
    assert answered.value.status in {200, 304}  # Chromium shows a page that it has kept as 200
    expect(watched.page.locator("main h2").first).to_be_visible()
    assert max(of_the_page(watched.page, "transferSize")) < 1_000


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_policy_holds(open_page: Open, path: str) -> None:
    """Even a script of the page itself cannot make markup of a text, run text as code, or call another host."""
    watched = open_page(path)
    expect(watched.page.locator("main h2").first).to_be_visible()
    tried = watched.page.evaluate(
        """async () => {
          const attempt = async (what) => { try { await what(); return 'done'; } catch (error) { return error.name; } };
          return [
            await attempt(() => { document.createElement('p').innerHTML = '<b>a</b>'; }),
            await attempt(() => fetch('http://127.0.0.2:9/')),
          ];
        }"""
    )
    assert tried == ["TypeError", "TypeError"]
    refused = [text for text in watched.complaints if "Content Security Policy" in text or "TrustedHTML" in text]
    assert refused
    watched.complaints.clear()
