"""The playground while it waits, when something is missing, and when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.steps import choose, results, run, take_example

Open = Callable[..., Watched]
MODELS, TASK = "**/v1/models", "**/v1/text-classification"


def problem(status: int, code: str, **more: Any) -> dict[str, Any]:
    """Return problem details as the API writes them."""
    return {"status": status, "title": code, "code": code, "detail": f"got {code}", "retryable": status >= 429, **more}


def hold(page: Page, address: str) -> list[Any]:
    """Let an address wait; return the requests that came so far. Each goes on with its `continue_`."""
    held: list[Any] = []

    def keep(route: Any) -> None:
        held.append(route)

    page.route(address, keep)
    return held


def refuse(page: Page, address: str, status: int, code: str, **more: Any) -> None:
    """Let an address answer with an error from now on."""
    page.route(address, lambda route: route.fulfill(status=status, json=problem(status, code, **more)))


def test_nothing_is_asked_before_there_is_a_text(open_page: Open) -> None:
    """At first the page says what to do. An empty form says what is missing, and leads there."""
    watched = open_page()
    page = watched.page
    expect(results(page)).to_contain_text("Pick an example, or type a text")
    page.get_by_role("button", name="Run").click()
    expect(results(page)).to_contain_text("“Text” is empty")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    text = page.get_by_label("Text", exact=True)
    expect(text).to_have_attribute("aria-invalid", "true")
    expect(text).to_have_accessible_description("“Text” is empty. Pick an example, or type something.")
    text.press_sequentially("a")
    expect(text).to_have_accessible_description("")
    assert not [url for url in watched.requested if url.endswith("/v1/text-classification")]


def test_waiting_is_said(open_page: Open) -> None:
    """While models are read, and while an answer is made."""
    page = open_page("/docs").page
    models = hold(page, MODELS)
    page.goto(page.url.removesuffix("docs"))
    expect(page.locator("#tasks")).to_contain_text("Reading which models are served")
    models.pop().continue_()
    expect(results(page)).to_be_visible()
    answers = hold(page, TASK)
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.locator("#status")).to_have_text("Asking mini:topic …")
    expect(results(page)).to_have_attribute("aria-busy", "true")
    answers.pop().continue_()
    expect(page.locator("#status")).to_contain_text("Answered in")
    assert results(page).get_attribute("aria-busy") is None


def test_a_newer_request_ends_an_older_one(open_page: Open) -> None:
    """The answer of the older one is not shown over that of the newer one."""
    page = open_page().page
    held: list[Any] = []
    page.route(TASK, lambda route: held.append(route) if not held else route.continue_())
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.locator("#status")).to_contain_text("Asking")
    take_example(page, 1)
    assert results(page).get_attribute("aria-busy") is None


def test_a_request_that_does_not_fit_is_explained(open_page: Open) -> None:
    """An error of the API itself: what came, and what was expected."""
    page = open_page(may_be_refused=True).page
    choose(page, "Your own labels")
    page.get_by_label("Text", exact=True).fill("The team won.")
    page.get_by_label("Labels, with commas between").fill("sport, health")
    page.get_by_label("Sentence around a label").fill("no place for a label")
    page.get_by_role("button", name="Run").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Something in the request does not fit")
    expect(alert).to_contain_text("hypothesis_template")
    expect(alert).to_contain_text("HTTP 422")
    page.get_by_role("tab", name="JSON").click()
    expect(page.get_by_role("tabpanel")).to_contain_text('"code": "unprocessable"')


@pytest.mark.parametrize(
    ("status", "code", "more", "said"),
    [
        (413, "too-large", {"hint": "send fewer"}, ["Too much for one request", "Send fewer."]),
        (429, "overloaded", {"retry_after_s": 3}, ["Busy", "Try again in 3 s"]),
        (500, "internal", {}, ["The service failed"]),
        (503, "unavailable", {"retry_after_s": 5}, ["Not ready", "Try again in 5 s"]),
    ],
)
def test_each_error_says_what_to_do(open_page: Open, status: int, code: str, more: Any, said: list[str]) -> None:
    """Those that may pass have a button that asks again."""
    page = open_page(may_be_refused=True).page
    refuse(page, TASK, status, code, **more)
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    for words in said:
        expect(page.get_by_role("alert")).to_contain_text(words)
    again = page.get_by_role("button", name="Try again")
    assert again.count() == (status >= 429)
    page.unroute(TASK)
    if status >= 429:
        again.click()
        expect(page.locator("#status")).to_contain_text("Answered in")


@pytest.mark.parametrize(("status", "title"), [(429, "Busy"), (503, "Not ready")])
def test_an_error_of_the_gateway_says_when_to_try_again(open_page: Open, status: int, title: str) -> None:
    """Its body is not ours, and its wait stands in a header alone. The focus stays where the answer will be."""
    page = open_page(may_be_refused=True).page
    said = {"message": "Too Many Requests"}
    page.route(TASK, lambda route: route.fulfill(status=status, json=said, headers={"Retry-After": "7"}))
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    for words in (title, "Too Many Requests", "Try again in 7 s."):
        expect(page.get_by_role("alert")).to_contain_text(words)
    page.unroute(TASK)
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.locator("#status")).to_contain_text("Answered in")
    expect(results(page)).to_be_focused()


def test_an_answer_that_is_no_json_is_said(open_page: Open) -> None:
    """Something on the way may answer in the place of the API."""
    page = open_page().page
    page.route(TASK, lambda route: route.fulfill(status=200, content_type="text/html", body="<p>Sign in</p>"))
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("The answer cannot be read")
    expect(page.get_by_role("alert")).to_contain_text("<p>Sign in</p>")


def test_no_answer_at_all_is_said(open_page: Open) -> None:
    """A network that fails is told from a service that fails."""
    page = open_page(may_be_refused=True).page
    page.route(TASK, lambda route: route.abort())
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("No answer")


def test_an_api_without_models_says_so(open_page: Open) -> None:
    """An empty catalog is not an error."""
    page = open_page("/docs").page
    page.route(MODELS, lambda route: route.fulfill(json={"models": [], "defaults": {}}))
    page.goto(page.url.removesuffix("docs"))
    expect(page.locator("#work")).to_contain_text("No model is served here")


def test_an_api_that_takes_signatures_alone_says_so(open_page: Open) -> None:
    """A browser has no AWS credentials."""
    page = open_page("/docs", may_be_refused=True).page
    refuse(page, MODELS, 403, "forbidden")
    page.goto(page.url.removesuffix("docs"))
    expect(page.get_by_role("alert")).to_contain_text("Auth=key")


def test_a_key_is_asked_for_and_kept_in_memory_alone(open_page: Open) -> None:
    """It goes into the header of calls, never into storage, cookies or the address, and is gone after a reload."""
    page = open_page("/docs", may_be_refused=True).page

    def ask_for_key(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer glossa_0123":
            route.continue_()
        else:
            route.fulfill(status=401, json=problem(401, "unauthorized"))

    page.route("**/v1/**", ask_for_key)
    page.goto(page.url.removesuffix("docs"))
    expect(page.get_by_role("alert")).to_contain_text("This API asks for a key")
    expect(page.get_by_label("API key or token")).to_be_focused()
    page.get_by_label("API key or token").fill("glossa_0123")
    page.get_by_label("API key or token").press("Enter")
    take_example(page)
    expect(page.get_by_role("tabpanel")).to_contain_text("Bearer $GLOSSA_API_KEY")
    kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
    assert kept[:3] == [0, 0, ""]
    assert "glossa_0123" not in kept[3]
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("This API asks for a key")
    expect(page.get_by_label("API key or token")).to_have_value("")


def test_the_form_of_the_key_is_left_by_escape(open_page: Open) -> None:
    """The focus goes back to what opened it."""
    page = open_page().page
    opener = page.get_by_text("API key", exact=True)
    opener.click()
    page.get_by_label("API key or token").press("Escape")
    expect(page.get_by_label("API key or token")).to_be_hidden()
    expect(opener).to_be_focused()


def test_a_task_is_left_while_it_is_answered(open_page: Open) -> None:
    """The answer that comes late changes nothing of the next task."""
    page = open_page().page
    hold(page, TASK)
    page.get_by_role("group", name="Examples").get_by_role("button").first.click()
    expect(page.locator("#status")).to_contain_text("Asking")
    choose(page, "Ranking")
    expect(results(page)).to_contain_text("Pick an example")
    expect(page.get_by_role("tab", name="JSON")).to_have_count(0)
    take_example(page)
    run(page)
