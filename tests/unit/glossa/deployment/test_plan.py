"""Checks the plan of a deployment over the templates and environments of the repository."""

from __future__ import annotations

import json
import subprocess

import pytest

from glossa.deployment.environment import Environment, load_environment
from glossa.deployment.fake import FakeRunner
from glossa.deployment.plan import first_facts, links, override, plan, unknown_facts
from glossa.deployment.steps import Step, names_in
from glossa.deployment.target import Target
from glossa.deployment.templates import read_template
from tests.unit.template import ROOT

ENVIRONMENTS = ROOT / "infra" / "environments"
NOTED = {
    "Root",
    "ImageUri",
    "GpuImageUri",
    "CatalogKey",
    "AccountConcurrency",
    "S3PrefixListId",
    "DynamoDbPrefixListId",
}


def on(platform: str, name: str = "prod") -> Environment:
    """Return an environment of the repository, on a platform."""
    found = load_environment(ENVIRONMENTS / f"{name}.toml")
    deploy = found.deploy.model_copy(update={"platform": platform, "region": "eu-central-1"})
    return found.model_copy(update={"deploy": deploy})


def steps_of(platform: str, *, gpu: bool = False) -> list[Step]:
    """Return the plan of an environment on a platform."""
    environment = on(platform)
    return plan(Target(environment, gpu, "tag", "v1", "10.0.0.0/16"), links(ROOT, environment))


@pytest.mark.parametrize("platform", ["cluster", "instances"])
def test_every_fact_that_a_step_asks_for_comes_from_a_step_before_it(platform: str) -> None:
    """No command waits for an output that only a later stack gives."""
    known = {*first_facts(on(platform)), *NOTED}
    for step in steps_of(platform):
        asked = {
            name
            for command in step.commands for word in command.words if word not in command.otherwise
            for name in names_in(word)
        }  # fmt: skip
        assert asked <= known, (step.name, asked - known)
        if step.stack:
            template = read_template(ROOT, step.stack)
            known |= template.outputs - template.conditional


@pytest.mark.parametrize("platform", ["cluster", "instances"])
def test_stacks_come_in_the_order_of_their_links(platform: str) -> None:
    """The functions come after the model servers that they call, and alarms after the functions."""
    names = [step.name for step in steps_of(platform)]
    order = ["weights", "network", platform, "service", "observability", "health"]
    assert [name for name in names if name in order] == order
    assert names.index("mirror") < names.index("service")
    assert names.index("image") < names.index("replicas" if platform == "cluster" else "instances")


def test_gpus_need_a_second_image_on_a_cluster_alone() -> None:
    """On a cluster CPU and GPU models have an image each; instances are of one kind."""
    tags = {
        (platform, gpu): [
            word for step in steps_of(platform, gpu=gpu) if step.name == "image"
            for command in step.commands if "--tag" in command.words for word in command.words if ":tag-" in word
        ]
        for platform in ("cluster", "instances") for gpu in (False, True)
    }  # fmt: skip
    address = "${ImageRepositoryUri}:tag-"
    assert tags == {
        ("cluster", False): [f"{address}cpu"],
        ("cluster", True): [f"{address}cpu", f"{address}cuda"],
        ("instances", False): [f"{address}cpu"],
        ("instances", True): [f"{address}cuda"],
    }


def with_settings(deploy: dict[str, str], **stacks: dict[str, str]) -> list[Step]:
    """Return the plan of a cluster with other settings and parameters."""
    environment = on("cluster")
    parameters = {**environment.parameters, **stacks}
    changed = environment.model_copy(
        update={"deploy": environment.deploy.model_copy(update=deploy), "parameters": parameters}
    )
    return plan(Target(changed, False, "tag", "v1", "10.0.0.0/16"), links(ROOT, changed))


def words_of(steps: list[Step], name: str) -> list[str]:
    """Return all words of a step's commands."""
    return [word for step in steps if step.name == name for command in step.commands for word in command.words]


def test_torch_for_cpus_reaches_the_build_of_the_image() -> None:
    """Both arguments are given together; without them the Dockerfile takes torch for CUDA."""
    given = {"torch_index_url": "https://torch.example/cpu", "torch_sha256": "a" * 64}
    words = words_of(with_settings(given), "image")
    assert {"TORCH_INDEX_URL=https://torch.example/cpu", f"TORCH_SHA256={'a' * 64}"} <= set(words)
    assert not [word for word in words_of(with_settings({}), "image") if word.startswith("TORCH")]


def test_kubectl_takes_the_role_that_the_cluster_admits() -> None:
    """Any other credentials would be refused by the cluster."""
    role = "arn:aws:iam::123456789012:role/admin"
    words = words_of(with_settings({}, cluster={"AdminRoleArn": role}), "kubeconfig")
    assert words[words.index("--role-arn") + 1] == role


@pytest.mark.parametrize(("given", "auth"), [({}, "iam"), ({"Auth": "key"}, "key")])
def test_the_last_call_is_made_as_the_api_expects(given: dict[str, str], auth: str) -> None:
    """Health is told how callers are verified."""
    words = words_of(with_settings({}, service=given), "health")
    assert words[words.index("--auth") + 1] == auth


def test_lambdas_limit_and_what_functions_reserve_reach_the_alarms() -> None:
    """The account fills its own limit, and the choice between reserved and shared is made once."""
    assert "AccountConcurrency=${AccountConcurrency}" in words_of(with_settings({}), "observability")
    changed = on("cluster").model_copy(update={"parameters": {"service": {"Concurrency": "shared"}}})
    assert first_facts(changed)["Concurrency"] == "shared"


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_an_environment_of_the_repository_gives_no_unknown_parameter(name: str) -> None:
    """Every key of an environment file is a parameter of its stack."""
    for stack, linked in links(ROOT, load_environment(ENVIRONMENTS / f"{name}.toml")).items():
        assert linked.unknown == (), stack


def test_no_command_holds_a_secret_or_runs_a_shell_line() -> None:
    """Every command is a list of words for one program; a secret is read by the program that needs it."""
    for step in steps_of("cluster", gpu=True):
        for command in step.commands:
            assert not {"-c", "|", "&&", "--password"} & set(command.words), step.name


def test_a_fake_deployment_runs_every_step_once() -> None:
    """The runner that tests use takes every command of the plan."""
    runner = FakeRunner()
    steps = steps_of("cluster")
    for step in steps:
        for command in step.commands:
            assert runner.run(command, ROOT) == 0
    assert len(runner.lines) == sum(len(step.commands) for step in steps)


def test_sam_reads_every_parameter_as_it_was_written() -> None:
    """Values with quotes, spaces and commas come out of SAM's own parser unchanged, such as the JSON of issuers."""
    issuers = json.dumps([{"name": "okta", "issuer": "https://a.example/x", "audience": "my api"}])
    values = {
        "Auth": "jwt",
        "Empty": "",
        "Issuers": issuers,
        "RolesAsTenants": "a,b",
        "Text": "it's a = b",
        "Number": 4,
    }
    program = (
        "import json, sys; from samcli.cli.types import CfnParameterOverridesType as Type\n"
        "print(json.dumps(Type().convert(tuple(sys.argv[1:]), None, None)))"
    )
    words = [override(name, value) for name, value in values.items()]
    python = ROOT / ".venv-sam/bin/python"
    done = subprocess.run([python, "-I", "-c", program, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: str(value) for name, value in values.items()}


def test_a_name_in_a_value_that_no_stack_gives_is_found() -> None:
    """The plan of the repository asks for none; a value of the environment may."""
    environment = on("cluster")
    assert unknown_facts(ROOT, environment, steps_of("cluster")) == set()
    wrong = {**environment.parameters, "network": {**environment.parameters["network"], "VpcCidr": "${Nope}"}}
    changed = environment.model_copy(update={"parameters": wrong})
    steps = plan(Target(changed, False, "tag", "v1", "10.0.0.0/16"), links(ROOT, changed))
    assert unknown_facts(ROOT, changed, steps) == {"Nope"}
