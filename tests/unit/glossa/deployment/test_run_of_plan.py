"""Runs whole plans with a runner that runs nothing, with the outputs that the stacks have for each way to sign in."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from glossa.deployment.account import account_facts
from glossa.deployment.environment import Environment, load_environment
from glossa.deployment.fake import FakeAccount, FakeRunner
from glossa.deployment.plan import first_facts, image_tag, links, plan, target_of
from glossa.deployment.runner import Deployment, State, note
from glossa.deployment.steps import Command
from glossa.deployment.target import Target
from glossa.deployment.templates import read_template
from tests.unit.template import ROOT, condition, templates

AUTHS = templates()["source"]["Parameters"]["Auth"]["AllowedValues"]
DIGEST = "sha256:" + "0" * 64
GIVEN = {**account_facts(FakeAccount()), "Root": "/checkout"}
NOTED = {"ImageUri": "image@sha256:1", "GpuImageUri": "image@sha256:2", "CatalogKey": "catalogs/1.toml"}


def environment(platform: str = "cluster", auth: str = "iam", base_digest: str = DIGEST, **more: str) -> Environment:
    """Return the environment prod on a platform, with a way to sign in and further parameters of the service."""
    found = load_environment(ROOT / "infra" / "environments" / "prod.toml")
    update = {"platform": platform, "region": "eu-central-1", "base_digest": base_digest, "catalog": Path("mine.toml")}
    service = {**found.parameters["service"], "Auth": auth, **more}
    deploy = found.deploy.model_copy(update=update)
    return found.model_copy(update={"deploy": deploy, "parameters": {**found.parameters, "service": service}})


@functools.cache
def outputs(stack: str, auth: str) -> Mapping[str, str]:
    """Return the outputs of a stack, those of the service under the conditions of a way to sign in."""
    template = read_template(ROOT, stack)
    if stack != "service":
        assert template.conditional == frozenset(), "a condition in this template, which this test does not evaluate"
        return dict.fromkeys(template.outputs, "x")
    written = templates()["source"]["Outputs"]
    account = {"Auth": auth, "AWS::AccountId": "123456789012", "DomainName": ""}
    return {
        name: "x" for name in template.outputs
        if "Condition" not in written[name] or condition(written[name]["Condition"], account)
    }  # fmt: skip


def run(folder: Path, where: Environment, auth: str) -> FakeRunner:
    """Run the plan of an environment to its end; return the runner."""
    runner = FakeRunner()
    target = Target(where, gpu=True, tag="tag", operator_tag="v1", vpc_cidr="10.0.0.0/16")
    note(folder / "notes.json", NOTED)
    notes, state = Path("notes.json"), State(folder / "state.json")
    made = Deployment(folder, runner, lambda stack: outputs(stack, auth), state, notes, lambda _: None)
    made.run(plan(target, links(ROOT, where)), {**first_facts(where), **GIVEN})
    return runner


def line(runner: FakeRunner, word: str) -> Command | None:
    """Return the only command that holds a word, None when there is none."""
    found = [command for command in runner.ran if any(word in each for each in command.words)]
    assert len(found) <= 1, found
    return found[0] if found else None


def observability(runner: FakeRunner) -> tuple[str, ...]:
    """Return the command that deploys the stack of alarms."""
    found = line(runner, "infra/observability.yaml")
    assert found is not None
    return found.words


@pytest.mark.parametrize("platform", ["cluster", "instances"])
@pytest.mark.parametrize("auth", AUTHS)
def test_a_deployment_reaches_its_last_step_with_every_way_to_sign_in(tmp_path: Path, platform: str, auth: str) -> None:
    """A stack gives other outputs with each way to sign in, and the plan asks for none that is lacking."""
    runner = run(tmp_path, environment(platform, auth), auth)
    assert "glossa.deployment.programs.health" in runner.ran[-1].words
    there = "AuthorizeFunctionName" in outputs("service", auth)
    assert ("AuthorizeFunctionName=x" in observability(runner)) == there
    assert ('AuthorizeFunctionName=""' in observability(runner)) != there


def test_both_cases_of_the_conditional_output_are_run() -> None:
    """Negative case: without a way that has it and one that has not, the test above could not fail."""
    assert {"AuthorizeFunctionName" in outputs("service", auth) for auth in AUTHS} == {True, False}


def test_packages_and_functions_are_made_in_every_deployment(tmp_path: Path) -> None:
    """Packages may have been removed or built for this machine since, and no list of sources can tell."""
    run(tmp_path, environment(), "iam")
    again = run(tmp_path, environment(), "iam")
    (build,) = [command for command in again.ran if command.words == ("make", "build")]
    assert build.env["GLOSSA_CATALOG"] == "mine.toml"
    assert line(again, ".aws-sam/build/template.yaml") is not None
    assert line(again, "infra/network.yaml") is None


def test_what_a_failed_creation_left_goes_before_each_stack(tmp_path: Path) -> None:
    """Such a stack could never be updated, so the same command again would fail for ever."""
    runner = run(tmp_path, environment(), "iam")
    stacks = [command.words for command in runner.ran if "--stack-name" in command.words]
    cleared = [command.words for command in runner.ran if "--only-failed-creation" in command.words]
    names = [words[words.index("--stack-name") + 1] for words in stacks]
    assert [words[words.index("--stack") + 1] for words in cleared] == names
    assert len(names) == len(set(names)) == len(environment().stacks)


def test_the_tag_covers_what_the_image_starts_from() -> None:
    """A patched base image is another image: under the old tag it would be built, and never pushed."""
    tags = {image_tag(ROOT, environment(base_digest=digest)) for digest in (DIGEST, DIGEST.replace("0", "1"))}
    assert len(tags) == 2
    assert target_of(ROOT, environment(), gpu=False).tag in tags
