"""A batch job from the playground: upload, watch, results; with the bucket on the same host and on another."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, Watched

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


def test_a_job_may_be_cancelled(open_page: Open) -> None:
    """While it runs there is a button."""
    page = open_page("/#batch").page
    page.route("**/v1/jobs/*/start", lambda route: route.fulfill(status=202, json={"state": "SUBMITTED"}))
    page.get_by_role("button", name="Take a sample file").click()
    page.get_by_role("button", name="Start the job").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("heading", name="cancelled")).to_be_visible()
