"""The API reference: every operation of the service's own description, found and shown."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Served, Watched

Open = Callable[..., Watched]


def document(served: Served) -> dict[str, Any]:
    """Return the description that the API gives of itself."""
    with urllib.request.urlopen(f"{served.api}/openapi.json") as reply:  # noqa: S310 - http on loopback
        found: dict[str, Any] = json.load(reply)
    return found


def test_every_operation_is_there(open_page: Open, served: Served) -> None:
    """Each once, with its summary; no other host is asked."""
    watched = open_page("/docs")
    wanted = [
        (method, path) for path, methods in document(served)["paths"].items() for method in methods
        if method in {"get", "post", "delete"}
    ]  # fmt: skip
    operations = watched.page.locator("details.operation > summary")
    expect(operations).to_have_count(len(wanted))
    shown = operations.evaluate_all(
        "all => all.map((one) => [...one.children].slice(0, 2).map((part) => part.textContent))"
    )
    assert sorted(map(tuple, shown)) == sorted(wanted)
    assert len(watched.hosts()) == 1


def test_every_operation_opens(open_page: Open) -> None:
    """Fields, answers and a command are drawn for each, without an error."""
    page = open_page("/docs").page
    boxes = page.locator("details.operation")
    expect(boxes.first).to_be_visible()
    boxes.evaluate_all("all => all.forEach((box) => { box.open = true; })")
    commands = page.locator("details.operation > div > pre")
    expect(commands).to_have_count(boxes.count())
    assert all(text.startswith("curl ") for text in commands.all_inner_texts())


def test_a_route_is_found_by_its_words(open_page: Open) -> None:
    """The list is shortened while one types; a link opens the operation, and its fields are there."""
    page = open_page("/docs").page
    page.get_by_label("Find a route").fill("token-class")
    links = page.get_by_role("navigation", name="Routes").get_by_role("link")
    expect(links).to_have_count(1)
    links.first.click()
    box = page.locator("details.operation[open]")
    expect(box).to_have_count(1)
    expect(box).to_contain_text("aggregation_strategy")
    page.get_by_label("Find a route").fill("no such route")
    expect(page.get_by_role("navigation", name="Routes")).to_contain_text("No route has these words")


def test_a_link_leads_to_one_operation(open_page: Open) -> None:
    """The address after # names it."""
    page = open_page("/docs#post-v1-fill-mask").page
    expect(page.locator("#post-v1-fill-mask[open]")).to_be_visible()


def test_a_description_behind_a_key_is_asked_for_with_one(open_page: Open) -> None:
    """Without it the page says what is missing."""
    page = open_page("/", may_be_refused=True).page

    def ask_for_key(route: Any) -> None:
        if route.request.headers.get("authorization"):
            route.continue_()
        else:
            route.fulfill(status=401, json={"status": 401, "detail": "got no key", "code": "unauthorized"})

    page.route("**/openapi.json", ask_for_key)
    page.get_by_role("link", name="API reference").click()
    expect(page.get_by_role("alert")).to_contain_text("This API asks for a key")
    page.get_by_label("API key or token").fill("glossa_0123")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("details.operation").first).to_be_visible()


def test_each_command_has_the_key_that_was_given(open_page: Open) -> None:
    """With a body and without one. Its address has examples where the description has a place for a name."""
    page = open_page("/docs").page
    boxes = page.locator("details.operation")
    expect(boxes.first).to_be_visible()
    page.get_by_text("API key", exact=True).click()
    page.get_by_label("API key or token").fill("glossa_0123")
    page.get_by_label("API key or token").press("Enter")
    expect(boxes.first).to_be_visible()
    boxes.evaluate_all("all => all.forEach((box) => { box.open = true; })")
    commands = page.locator("details.operation > div > pre")
    expect(commands).to_have_count(boxes.count())
    texts = commands.all_inner_texts()
    assert [text for text in texts if '-H "Authorization: Bearer $GLOSSA_API_KEY"' not in text] == []
    assert [text for text in texts if "{" in text.splitlines()[0]] == []
    assert any(text.startswith("curl -X DELETE ") for text in texts)
    assert "glossa_0123" not in "".join(texts)
