"""A batch job from the playground: upload, watch, results; with the bucket on the same host and on another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Served, Watched
from tests.browser.steps import choose

Open = Callable[..., Watched]
ROWS = b'{"text": "The team won."}\n{"no-text": 1}\n{"text": "Doctors test a vaccine."}\n'


def start(page: Page) -> None:
    """Start the job of the form, and wait for its end."""
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()


def test_a_sample_becomes_results(open_page: Open) -> None:
    """The steps are shown, then the state, the first rows, and links to every file."""
    watched = open_page("/#batch")
    page = watched.page
    page.get_by_role("button", name="Take a sample file").click()
    start(page)
    job = page.locator("#job")
    for said in ("is made", "sample.jsonl is uploaded", "The job is started", "succeeded: done", "12 of 12 records"):
        expect(job).to_contain_text(said)
    expect(job.get_by_role("region", name="First rows").get_by_role("row")).to_have_count(9)
    with page.expect_download() as loading:
        job.get_by_role("link", name="part 1").click()
    assert loading.value.path().read_bytes().count(b"\n") == 12
    assert len(watched.hosts()) == 1
    page.get_by_text("Recent jobs").click()
    expect(page.locator("#recent li")).not_to_have_count(0)


def test_error_rows_are_shown(open_page: Open) -> None:
    """A record that cannot be answered is told, with its code."""
    page = open_page("/#batch").page
    page.get_by_label("Files", exact=True).set_input_files({"name": "rows.jsonl", "mimeType": "", "buffer": ROWS})
    page.get_by_label("Task", exact=True).select_option("Entities")
    start(page)
    expect(page.locator("#job")).to_contain_text("partially succeeded")
    expect(page.get_by_role("region", name="Error rows").get_by_role("row")).to_have_count(2)


def test_a_bucket_on_another_host_takes_files_too(open_page: Open, served: Served) -> None:
    """Signed forms need no CORS. Results are links there: no page may read such a bucket."""
    watched = open_page("/#batch", base=served.far)
    page = watched.page
    page.get_by_role("button", name="Take a sample file").click()
    start(page)
    expect(page.locator("#job")).to_contain_text("12 of 12 records")
    expect(page.locator("#job")).to_contain_text("The bucket is on another host")
    expect(page.get_by_role("link", name="part 1")).to_be_visible()
    assert len(watched.hosts()) == 2


def test_a_job_without_files_is_not_made(open_page: Open) -> None:
    """The page says what is missing."""
    watched = open_page("/#batch")
    watched.page.get_by_role("button", name="Start the job").click()
    expect(watched.page.locator("#job")).to_contain_text("No file is chosen yet")
    assert not [url for url in watched.requested if url.endswith("/v1/jobs")]


def test_an_upload_that_fails_is_said(open_page: Open) -> None:
    """The step that failed is marked, and may be tried again."""
    page = open_page("/#batch", may_be_refused=True).page
    page.route("**/bucket/**", lambda route: route.fulfill(status=403))
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("alert")).to_contain_text("The bucket refused sample.jsonl (403)")
    expect(page.locator(".steps .failed")).to_have_count(1)


def never_started(open_page: Open) -> Page:
    """Return a page with a job that nobody starts, although the page believes so."""
    page = open_page("/#batch").page
    page.route("**/v1/jobs/*/start", lambda route: route.fulfill(status=202, json={"state": "SUBMITTED"}))
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("button", name="Cancel the job")).to_be_visible()
    return page


def test_a_job_may_be_cancelled(open_page: Open) -> None:
    """While it runs there is a button. When it goes, the focus is on the state."""
    page = never_started(open_page)
    page.get_by_role("button", name="Cancel the job").press("Enter")
    expect(page.get_by_role("heading", name="cancelled")).to_be_focused()
    expect(page.get_by_role("button", name="Cancel the job")).to_have_count(0)
    expect(page.locator(".heard").first).to_have_text("Job cancelled: stopped before its end")


def test_a_poll_moves_no_focus_and_says_nothing_again(open_page: Open) -> None:
    """The page changes in place, and only a change of state is said."""
    page = never_started(open_page)
    cancel = page.get_by_role("button", name="Cancel the job")
    cancel.focus()
    with page.expect_response("**/v1/jobs/*"):
        pass
    page.evaluate(
        """() => {
          window.n_said = 0;
          const watch = new MutationObserver(() => { window.n_said += 1; });
          for (const each of document.querySelectorAll('[role=status], [aria-live]')) {
            watch.observe(each, {childList: true, characterData: true, subtree: true});
          }
        }"""
    )
    for _ in range(3):
        with page.expect_response("**/v1/jobs/*"):
            pass
    expect(cancel).to_be_focused()
    assert page.evaluate("window.n_said") == 0


def test_a_poll_without_an_answer_is_repeated(open_page: Open) -> None:
    """A job goes on while the page cannot reach the API for a moment."""
    page = open_page("/#batch", may_be_refused=True).page
    status = re.compile(r"/v1/jobs/[0-9a-f]{32}$")
    page.route(status, lambda route: route.fulfill(status=503, json={"detail": "got no answer"}))
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#job")).to_contain_text("Asking again in 3.00 s")
    page.unroute(status)
    expect(page.get_by_role("heading", name="Results")).to_be_visible()


def held_upload(open_page: Open) -> Watched:
    """Return a page that uploads for ever."""
    watched = open_page("/#batch")
    held: list[Any] = []
    watched.page.route("**/bucket/**", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    watched.page.get_by_role("button", name="Take a sample file").click()
    watched.page.get_by_role("button", name="Start the job").click()
    expect(watched.page.locator(".steps .going")).to_contain_text("Uploading sample.jsonl")
    return watched


def test_leaving_the_view_ends_an_upload(open_page: Open) -> None:
    """Nothing is started afterwards, and the view can be used again."""
    watched = held_upload(open_page)
    page = watched.page
    with page.expect_event("requestfailed", lambda request: "/bucket/" in request.url):
        choose(page, "Entities")
    page.get_by_role("link", name="Batch job").click()
    page.get_by_role("button", name="Take a sample file").click()
    page.unroute("**/bucket/**")
    start(page)
    assert len([url for url in watched.requested if url.endswith("/start")]) == 1


def test_leaving_the_view_ends_the_watching(open_page: Open) -> None:
    """A poll that waits for its answer is given up."""
    page = never_started(open_page)
    held: list[Any] = []
    page.route("**/v1/jobs/*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    with page.expect_request("**/v1/jobs/*"):
        pass
    with page.expect_event("requestfailed", lambda request: "/v1/jobs/" in request.url):
        choose(page, "Entities")


def test_a_second_press_makes_no_second_job(open_page: Open) -> None:
    """While a job is made, uploaded and started, the button does nothing and keeps the focus."""
    watched = held_upload(open_page)
    button: Locator = watched.page.get_by_role("button", name="Start the job")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.focus()
    watched.page.keyboard.press("Enter")
    watched.page.keyboard.press("Enter")
    expect(button).to_be_focused()
    assert len([url for url in watched.requested if url.endswith("/v1/jobs")]) == 1


def keys_sent(page: Page) -> list[str]:
    """Return the idempotency keys of the jobs that a page makes from now on."""
    keys: list[str] = []

    def keep(request: Any) -> None:
        if request.method == "POST" and request.url.endswith("/v1/jobs"):
            keys.append(request.headers["idempotency-key"])

    page.on("request", keep)
    return keys


def test_the_same_submission_has_the_same_key(open_page: Open) -> None:
    """However it is tried again. A changed form has another key, and so has the next job after one was started."""
    page = open_page("/#batch", may_be_refused=True).page
    keys = keys_sent(page)
    page.route("**/bucket/**", lambda route: route.fulfill(status=403))
    page.get_by_role("button", name="Take a sample file").click()

    def fail(name: str) -> None:
        with page.expect_response("**/bucket/**"):
            page.get_by_role("button", name=name).click()
        expect(page.get_by_role("alert")).to_contain_text("The bucket refused")

    for name in ("Start the job", "Try again", "Start the job"):
        fail(name)
    page.get_by_label("Results as").select_option("csv")
    fail("Start the job")
    page.unroute("**/bucket/**")
    for _ in range(2):
        start(page)
        expect(page.locator("#job")).to_contain_text("succeeded")
        page.locator("#job").evaluate("place => place.replaceChildren()")
    assert len(keys) == 6
    assert keys[0] == keys[1] == keys[2] != keys[3] == keys[4] != keys[5]


def test_a_lost_answer_makes_no_second_job(open_page: Open) -> None:
    """The job was started, and the page did not hear of it. Trying again finds that job, and uploads nothing."""
    watched = open_page("/#batch", may_be_refused=True)
    page = watched.page

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/jobs/*/start", lose)
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("alert")).to_contain_text("No answer")
    expect(page.locator(".steps .failed")).to_have_text("Starting the job failed.")
    page.unroute("**/v1/jobs/*/start")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    uploads = [url for url in watched.requested if "/bucket/" in url and "signed" not in url]
    assert len(uploads) == 1
