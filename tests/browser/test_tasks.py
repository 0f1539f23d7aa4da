"""Each task on the playground: an example is answered, and its result is shown as it should be."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served, Watched
from tests.browser.steps import choose, results, run, take_example

Open = Callable[..., Watched]
# what the result of a task consists of
SHOWN = {
    "Classification": ".bars li",
    "Entities": "mark .tag",
    "Questions": ".answer",
    "Choices": ".bars li",
    "Your own labels": ".bars li",
    "Fill in": ".bars li",
    "Continue": ".reading",
    "Neighbours": ".bars li",
    "Similarity matrix": "td.cell",
    "Similarity": ".bars li",
    "Ranking": ".bars li",
}


@pytest.mark.parametrize("task", SHOWN)
def test_an_example_of_each_task_is_answered(open_page: Open, task: str) -> None:
    """Its result is shown, with the tokens and the stages; no host but that of the API is asked."""
    watched = open_page()
    page = watched.page
    choose(page, task)
    take_example(page)
    expect(results(page).locator(SHOWN[task]).first).to_be_visible()
    expect(page.locator("#usage")).to_contain_text("token")
    assert {"tokenize", "infer", "assemble"} <= set(page.locator(".stages dt").all_inner_texts())
    assert len(watched.hosts()) == 1


def test_the_tasks_are_those_that_models_can_do(open_page: Open, served: Served) -> None:
    """Each task of /v1/models has its entry, and each model with a head for it can be chosen."""
    with urllib.request.urlopen(f"{served.api}/v1/models") as reply:  # noqa: S310 - http on loopback
        models = json.load(reply)
    tasks = {task for model in models["models"] for task in model["tasks"]}
    page = open_page().page
    names = page.get_by_role("navigation", name="Tasks").get_by_role("link")
    expect(names).to_have_count(len(SHOWN) + 1)  # and batch jobs
    assert len(tasks) == len(SHOWN) - 1  # vectors have two views
    offered = page.get_by_label("Model").locator("option").all_inner_texts()
    assert offered[0] == models["defaults"]["text-classification"]
    assert {"mini:topic", "mini:sentiment", "plain:topic"} <= set(offered)


def test_a_task_that_the_page_does_not_know_takes_and_shows_json(open_page: Open) -> None:
    """A model of tomorrow is not hidden."""
    page = open_page("/docs").page

    def with_another_task(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        body["models"][0]["heads"]["new"] = {"task": "new-task", "tasks": ["new-task"], "labels": [], "default": True}
        route.fulfill(response=answer, json=body)

    page.route("**/v1/models", with_another_task)
    page.route("**/v1/new-task", lambda route: route.fulfill(json={"model": "mini", "head": "new", "results": [42]}))
    page.goto(page.url.removesuffix("docs"))
    choose(page, "new-task")
    page.get_by_label("inputs, as JSON").fill('["a"]')
    run(page)
    expect(results(page).locator("pre").first).to_contain_text("42")


def test_text_from_right_to_left_is_shown_so(open_page: Open) -> None:
    """Fields and results take the direction of their text, and the numbers beside keep theirs."""
    page = open_page().page
    choose(page, "Entities")
    take_example(page, 3)
    assert "أم كلثوم" in page.get_by_label("Text", exact=True).input_value()
    for shown in (page.get_by_label("Text", exact=True), results(page).locator(".reading")):
        assert shown.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.evaluate("getComputedStyle(document.body).direction") == "ltr"


@pytest.mark.parametrize(
    ("text", "strategy"),
    [("Anna lives in Turku.", "first"), ("安娜住在图尔库。", "simple"), ("แอนนาอยู่ที่กรุงเทพ", "simple")],
)
def test_names_are_whole_words_where_there_are_spaces(open_page: Open, text: str, strategy: str) -> None:
    """In a script without spaces a word of the API would be the whole sentence."""
    page = open_page().page
    choose(page, "Entities")
    page.get_by_label("Text", exact=True).fill(text)
    with page.expect_request("**/v1/token-classification") as asked:
        run(page)
    assert asked.value.post_data_json["parameters"] == {"aggregation_strategy": strategy}


@pytest.mark.parametrize(
    "text",
    ["Anna 😀👩‍👩‍👧 lives in Turku.", "\N{MATHEMATICAL BOLD CAPITAL A}nna met Élodie in Zürich \N{GRINNING FACE}."],
)
def test_marks_stand_on_the_characters_that_the_api_names(open_page: Open, text: str) -> None:
    """Offsets count code points, and some characters here are two units of a JavaScript string."""
    page = open_page().page
    choose(page, "Entities")
    page.get_by_label("Text", exact=True).fill(text)
    with page.expect_response("**/v1/token-classification") as answered:
        run(page)
    entities = answered.value.json()["results"][0]
    assert entities
    marks = results(page).locator("mark").evaluate_all("marks => marks.map((mark) => mark.firstChild.textContent)")
    assert marks == [text[entity["start"] : entity["end"]] for entity in entities]
    assert results(page).locator("tbody tr > :first-child").all_inner_texts() == marks  # not without its spaces


def test_text_of_a_model_is_never_markup(open_page: Open) -> None:
    """A tag in a text is shown as its characters, in every place."""
    page = open_page().page
    tag = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    for task, label in (("Continue", "Beginning"), ("Entities", "Text"), ("Neighbours", "A sentence in any language")):
        choose(page, task)
        page.get_by_label(label, exact=True).fill(tag)
        run(page)
        assert page.locator("main img, main script").count() == 0
        page.get_by_role("tab", name="JSON").click()
    choose(page, "Continue")
    page.get_by_label("Beginning").fill(tag)
    run(page)
    expect(results(page).locator(".reading")).to_contain_text(tag)


def test_several_gaps_have_a_list_each(open_page: Open) -> None:
    """Underscores become the mask of the model."""
    page = open_page().page
    choose(page, "Fill in")
    with page.expect_request("**/v1/fill-mask") as sent:
        take_example(page, 7)
    assert sent.value.post_data_json["inputs"].count("<mask>") == 2
    expect(results(page).get_by_role("heading", name="Gap 2")).to_be_visible()


def test_neighbours_are_compared_in_the_browser(open_page: Open) -> None:
    """A sentence of the list is its own closest neighbour."""
    page = open_page().page
    choose(page, "Neighbours")
    page.get_by_label("A sentence in any language").fill("Parliament voted on the new tax law.")
    run(page)
    best = results(page).locator(".bars li").first
    expect(best).to_contain_text("1.000")


def test_the_request_stands_beside_in_code(open_page: Open, served: Served) -> None:
    """As a curl line, as Python, with the client that people have, and the answer as JSON; arrow keys change tabs."""
    page = open_page().page
    choose(page, "Neighbours")
    take_example(page)
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text(f'curl "{served.api}/v1/feature-extraction"')
    page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(panel).to_contain_text("import requests")
    page.get_by_role("tab", name="Python").press("ArrowRight")
    expect(panel).to_contain_text(f'OpenAI(base_url="{served.api}/v1"')
    page.get_by_role("tab", name="openai").press("End")
    expect(panel).to_contain_text('"results"')


def test_a_link_leads_to_a_task_and_a_model_and_holds_no_text(open_page: Open) -> None:
    """The address names both, and never what was typed."""
    watched = open_page("/#text-classification/mini:sentiment")
    page = watched.page
    expect(page.get_by_label("Model")).to_have_value("mini:sentiment")
    take_example(page)
    page.get_by_label("Model").select_option("plain:topic")
    assert page.url.endswith("#text-classification/plain:topic")
    run(page)
    expect(page.locator("#usage")).to_contain_text("plain:topic")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("plain:topic")
    expect(page.get_by_label("Text", exact=True)).to_have_value("")


def test_numbers_have_the_digits_that_people_read(open_page: Open) -> None:
    """A score is a percentage, never 0 when it is more; JSON has six digits, and all of them when it is copied."""
    page = open_page().page
    scores = [{"label": "sports", "score": 0.9412345671234567}, {"label": "travel", "score": 0.00001234567890123}]
    answer = {"model": "mini", "head": "topic", "results": [scores]}
    page.route("**/v1/text-classification", lambda route: route.fulfill(json=answer))
    take_example(page)
    assert results(page).locator(".figure").all_inner_texts() == ["94.1 %", "< 0.1 %"]
    page.get_by_role("tab", name="JSON").click()
    shown = page.get_by_role("tabpanel").locator("code").inner_text()
    assert "0.941235" in shown
    assert "0.94123456" not in shown
    assert "0.0000123457" in shown
