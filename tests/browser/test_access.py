"""Who cannot use a mouse, see colours or afford a wide screen: axe, keys alone, 320 pixels, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, WIDE, Watched
from tests.browser.steps import choose, results, take_example, wait_for_answer

Open = Callable[..., Watched]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
LOOKS = [(scheme, size) for scheme in ("light", "dark") for size in ("wide", "phone")]
SIZES = {"wide": WIDE, "phone": PHONE}


def faults(page: Page) -> list[str]:
    """Return what axe finds on a page: the rule, and the element."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found["violations"] for node in rule["nodes"]]


def overflow(page: Page) -> int:
    """Return how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def show_error(page: Page) -> None:
    """Show an error with a word that is wider than a phone."""
    said = {"status": 422, "detail": f"got a word without any place to break: {'x' * 120}", "code": "a"}
    page.route("**/v1/text-classification", lambda route: route.fulfill(status=422, json=said))
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_the_playground_shuts_nobody_out(open_page: Open, scheme: str, size: str) -> None:
    """At the start, with results of several forms and with an error, axe finds nothing and nothing is cut off."""
    page = open_page(color_scheme=scheme, viewport=SIZES[size], may_be_refused=True).page
    expect(results(page)).to_be_visible()
    assert faults(page) == []
    for task, number in (
        ("Entities", 3),
        ("Questions", 3),
        ("Similarity matrix", 0),
        ("Classification", 7),
        ("Ranking", 0),
    ):
        choose(page, task)
        take_example(page, number)
        assert faults(page) == [], task
        assert overflow(page) == 0, task
    page.get_by_text("API key", exact=True).click()
    choose(page, "Classification")
    show_error(page)
    assert faults(page) == []
    assert overflow(page) == 0


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_batch_jobs_shut_nobody_out(open_page: Open, scheme: str, size: str) -> None:
    """With the results of a job."""
    page = open_page("/#batch", color_scheme=scheme, viewport=SIZES[size]).page
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    page.get_by_text("Recent jobs").click()
    assert faults(page) == []
    assert overflow(page) == 0


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_the_reference_shuts_nobody_out(open_page: Open, scheme: str, size: str) -> None:
    """With some operations open, and their fields."""
    page = open_page("/docs", color_scheme=scheme, viewport=SIZES[size]).page
    expect(page.locator("details.operation").first).to_be_visible()
    for box in page.locator("details.operation").all()[:3]:
        box.locator("summary").first.click()
    for inner in page.locator("details.operation[open] details > summary").all()[:6]:
        if inner.is_visible():
            inner.click()
    assert faults(page) == []
    assert overflow(page) == 0


def press(page: Page, *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, wanted: Any) -> None:
    """Press Tab until an element has the focus; each stop on the way must be visible."""
    for _ in range(60):
        press(page, "Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            style = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
            assert style != "none"
            return
    raise AssertionError("60 presses of Tab did not reach it")


def test_keys_alone_are_enough(open_page: Open) -> None:
    """From the top to a task, an example, its answer, and the code beside; the focus is always seen."""
    page = open_page().page
    expect(results(page)).to_be_visible()
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the form")).to_be_focused()
    tab_to(page, page.get_by_role("link", name="Entities"))
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Entities")).to_be_visible()
    expect(page.get_by_role("link", name="Entities")).to_be_focused()
    tab_to(page, page.get_by_label("Text", exact=True))
    page.keyboard.type("Anna lives in Turku.")
    press(page, "Control+Enter")
    wait_for_answer(page)
    tab_to(page, page.get_by_label("Model"))
    tab_to(page, page.get_by_role("button", name="Run"))
    press(page, "Enter")
    wait_for_answer(page)
    tab_to(page, page.get_by_role("tab", name="curl"))
    press(page, "ArrowRight", "ArrowRight")
    expect(page.get_by_role("tab", name="JSON")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Copy"))


def test_the_skip_link_keeps_the_task(open_page: Open) -> None:
    """It leads to the form of the task that is shown, and the address still names that."""
    page = open_page("/#rerank").page
    expect(page.get_by_role("heading", name="Ranking")).to_be_visible()
    press(page, "Tab", "Enter")
    expect(page.locator("#work")).to_be_focused()
    assert page.url.endswith("#rerank")
    press(page, "Tab")
    expect(page.get_by_role("group", name="Examples").get_by_role("button").first).to_be_focused()


def test_code_beside_keeps_the_focus_when_an_answer_comes(open_page: Open) -> None:
    """Who has moved on to the code while the answer is made stays there."""
    page = open_page().page
    held: list[Any] = []
    page.route("**/v1/text-classification", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.locator("#status")).to_contain_text("Asking")
    page.get_by_role("tab", name="Python").click()
    held[0].continue_()
    wait_for_answer(page)
    expect(page.get_by_role("tab", name="JSON")).to_be_visible()
    expect(page.get_by_role("tab", name="Python")).to_be_focused()


def test_languages_are_named(open_page: Open) -> None:
    """Texts say their language, so that they are read and drawn as they should be, until somebody types."""
    page = open_page().page
    choose(page, "Classification")
    take_example(page, 2)
    text = page.get_by_label("Text", exact=True)
    expect(text).to_have_attribute("lang", "ar")
    expect(page.get_by_role("button", name="日本語")).to_have_attribute("lang", "ja")
    text.press_sequentially("a")
    assert text.get_attribute("lang") is None


def test_keys_alone_run_a_job(open_page: Open) -> None:
    """The sample needs no window for files."""
    page = open_page("/#batch").page
    expect(page.get_by_role("button", name="Take a sample file")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Take a sample file"))
    press(page, "Enter")
    tab_to(page, page.get_by_role("button", name="Start the job"))
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Results")).to_be_visible()


def test_a_model_changes_without_losing_the_focus(open_page: Open) -> None:
    """Arrow keys in the list of models stay in it."""
    page = open_page().page
    expect(results(page)).to_be_visible()
    page.get_by_label("Model").focus()
    press(page, "ArrowDown")
    expect(page.get_by_label("Model")).to_be_focused()
    expect(page.get_by_label("Model")).not_to_have_value("mini:topic")
