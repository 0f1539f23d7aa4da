"""What a person does on the playground, as functions. Must not know what should come of it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

FIRST = 0


def choose(page: Page, task: str) -> None:
    """Choose a task by its name in the list of tasks."""
    page.get_by_role("navigation", name="Tasks").get_by_role("link", name=task, exact=True).click()
    expect(page.get_by_role("heading", level=2, name=task, exact=True)).to_be_visible()


def take_example(page: Page, number: int = FIRST) -> None:
    """Press an example, and wait for its answer."""
    page.get_by_role("group", name="Examples").get_by_role("button").nth(number).click()
    wait_for_answer(page)


def run(page: Page) -> None:
    """Press Run, and wait for the answer."""
    page.get_by_role("button", name="Run").click()
    wait_for_answer(page)


def wait_for_answer(page: Page) -> None:
    """Wait until the page says how long the answer took."""
    expect(page.locator("#status")).to_contain_text("Answered in")


def results(page: Page) -> Locator:
    """Return where results are shown."""
    return page.locator("#results")
