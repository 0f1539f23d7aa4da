"""How the stacks fit together: each parameter has a value, each output a reader, and the pages say the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from glossa.deployment.preflight import SETTINGS
from tests.unit.infra.stacks import INFRA, OURS, PLATFORMS, TEMPLATES, chain, environment, environments, path, stack
from tests.unit.template import ROOT, Values

READERS = {"glossa deploy", "manifests", "people who subscribe to it"}  # besides stacks
README = (INFRA / "README.md").read_text(encoding="utf-8")
PLACES = [(platform, name) for platform in PLATFORMS for name in environments()]


def unfed(templates: Mapping[str, Values], given: Mapping[str, Values]) -> list[str]:
    """Return `stack.Parameter` for each one without a default that neither the file nor an earlier stack gives."""
    known = {parameter for parameter, key in SETTINGS.items() if key in given.get("deploy", {})}
    lacking = []
    for name, template in templates.items():
        for parameter, facts in template.get("Parameters", {}).items():
            if "Default" not in facts and parameter not in given.get(name, {}) and parameter not in known:
                lacking.append(f"{name}.{parameter}")
        known |= _sure_outputs(template)
    return lacking


def _sure_outputs(template: Values) -> set[str]:
    """Return the outputs that a stack has under every condition."""
    return {output for output, facts in template.get("Outputs", {}).items() if "Condition" not in facts}


def strangers(templates: Mapping[str, Values], given: Mapping[str, Values]) -> list[str]:
    """Return `stack.Key` for each key of an environment file that is no parameter of its stack."""
    return [
        f"{name}.{key}"
        for name, values in given.items() if name != "deploy"
        for key in values if key not in templates[name].get("Parameters", {})
    ]  # fmt: skip


def readers(output: str, of: str, templates: Mapping[str, Values]) -> set[str]:
    """Return the later stacks that take an output."""
    later = list(templates)[list(templates).index(of) + 1 :]
    return {name for name in later if output in templates[name].get("Parameters", {})}


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of each row of the table under a heading, without backticks."""
    part = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def _templates(names: Iterable[str]) -> dict[str, Any]:
    return {name: stack(name) for name in names}


@pytest.mark.parametrize(("platform", "name"), PLACES)
def test_every_parameter_has_a_value(platform: str, name: str) -> None:
    """The file of an environment, the outputs of earlier stacks and defaults give every parameter its value."""
    assert unfed(_templates(chain(platform)), environment(name)) == []


@pytest.mark.parametrize("name", environments())
def test_environment_files_hold_parameters_alone(name: str) -> None:
    """A misspelt parameter in an environment file is found here, and not by CloudFormation."""
    assert strangers(_templates((*OURS, "service")), environment(name)) == []
    assert environment(name)["deploy"]["platform"] == environment(name)["network"]["Platform"]
    assert environment(name)["observability"]["EnvironmentName"] == name


def test_a_parameter_without_a_value_and_a_misspelt_key_are_found() -> None:
    """Negative case: an output counts only for later stacks, and a key only for its own stack."""
    first: Values = {"Parameters": {"Name": {}, "Zone": {}}, "Outputs": {"Key": {}, "Kind": {"Condition": "Sometimes"}}}
    second: Values = {"Parameters": {"Key": {}, "Kind": {"Default": 1}}}
    templates = {"first": first, "second": second}
    assert unfed(templates, {"first": {"Name": "x"}}) == ["first.Zone"]
    assert unfed({"second": second, "first": first}, {}) == ["second.Key", "first.Name", "first.Zone"]
    assert unfed({"first": {"Outputs": first["Outputs"]}, "third": {"Parameters": {"Kind": {}}}}, {}) == ["third.Kind"]
    assert strangers(templates, {"second": {"Nmae": "x"}, "deploy": {"region": ""}}) == ["second.Nmae"]


def test_a_parameter_of_one_name_means_one_thing() -> None:
    """A parameter that an earlier stack feeds has no default, so that a missing output is an error."""
    for name in OURS:
        fed = _earlier_outputs(name) - _unsure_outputs(name)
        for parameter, facts in stack(name)["Parameters"].items():
            assert not (parameter in fed and "Default" in facts), f"{name}.{parameter}"


def test_the_page_lists_every_output_and_who_reads_it() -> None:
    """infra/README.md names each output of our stacks, with exactly the stacks that take it."""
    listed = {(where, output): by for output, where, by in rows(README, "Outputs")}
    assert set(listed) == {(name, output) for name in OURS for output in stack(name).get("Outputs", {})}
    for (where, output), by in listed.items():
        said = set(re.split(r", ", by))
        taken = set().union(*(readers(output, where, _templates(chain(p))) for p in PLATFORMS if where in chain(p)))
        assert {name for name in said if name in TEMPLATES} == taken, f"{where}.{output}"
        assert said, f"nobody reads {where}.{output}"
        assert said <= READERS | set(TEMPLATES), f"{where}.{output}: no such reader among {sorted(said)}"


def test_outputs_of_the_service_are_taken_or_written_about() -> None:
    """An output of template.yaml is a parameter of a later stack, or stands on a page."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")) + README
    templates = _templates(chain("cluster"))
    for output in stack("service")["Outputs"]:
        assert readers(output, "service", templates) or output in pages, output


def test_the_page_lists_every_parameter_with_its_default() -> None:
    """infra/README.md names each parameter that no earlier stack gives, with the default of the template."""
    listed = {(where, name): default for where, name, default, _ in rows(README, "Parameters")}
    fed = {(name, output) for name in TEMPLATES for output in _earlier_outputs(name)}
    assert listed == {
        (where, name): _shown(facts)
        for where in OURS
        for name, facts in stack(where)["Parameters"].items()
        if (where, name) not in fed
    }


def _earlier_outputs(name: str) -> set[str]:
    """Return the outputs of all stacks that come before one."""
    before = [other for p in PLATFORMS if name in chain(p) for other in chain(p)[: chain(p).index(name)]]
    return {output for other in before for output in stack(other).get("Outputs", {})}


def _unsure_outputs(name: str) -> set[str]:
    """Return the outputs of earlier stacks that are there under a condition alone, or on one platform alone."""
    given = [
        {output for other in chain(p)[: chain(p).index(name)] for output in _sure_outputs(stack(other))}
        for p in PLATFORMS if name in chain(p)
    ]  # fmt: skip
    return _earlier_outputs(name) - set.intersection(*given)


def _shown(facts: Values) -> str:
    if "Default" not in facts:
        return "none"
    return "empty" if facts["Default"] == "" else str(facts["Default"])


def test_rows_are_read() -> None:
    """Negative case: a table under another heading is not read, and backticks go."""
    table = "| a | b |\n|---|---|\n"
    page = f"## Other\n{table}| x | y |\n## Outputs\n{table}| `p` | q, r |\n\n## Next\n{table}| z | z |\n"
    assert rows(page, "Outputs") == [["p", "q, r"]]


def invented(text: str, parameters: Mapping[str, Values]) -> list[str]:
    """Return the versions that a template writes down itself, and the defaults of versions that name no source."""
    found = re.findall(r"(?m)^ *(?:Version|EngineVersion|ImageId|InstanceType): *(?!\!)\"?([\w.-]+)", text)
    said = [version for version in found if version != "2012-10-17"]  # the language of policies
    for parameter, facts in parameters.items():
        if "Default" in facts and re.search(r"(Version|AmiId|InstanceType|NodeType|ImageUri)$", parameter):
            before = text[: text.index(f"  {parameter}:")].splitlines()[-3:]
            if not any(re.search(r"#.*(awslabs/|https://)", line) for line in before):
                said.append(parameter)
    return said


@pytest.mark.parametrize("name", OURS)
def test_no_stack_invents_a_version(name: str) -> None:
    """A version in a template is a parameter without a default, or stands under a comment that names its source."""
    assert invented(path(name).read_text(encoding="utf-8"), stack(name)["Parameters"]) == []


def test_an_invented_version_is_found() -> None:
    """Negative case: a version in a resource, and a default that nobody can trace."""
    text = (
        'Parameters:\n  RedisVersion: {Default: "9"}\nResources:\n  EngineVersion: 1.2\n  Version: !Ref RedisVersion\n'
    )
    assert invented(text, {"RedisVersion": {"Default": "9"}, "KubernetesVersion": {}}) == ["1.2", "RedisVersion"]
    assert invented(f"# https://example.com\n{text}".replace("1.2", "!Ref X"), {"RedisVersion": {"Default": "9"}}) == []
