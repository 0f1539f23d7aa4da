"""The plan of a deployment: its steps, in order, as data.

Stacks come first, then weights and image, then what runs the replicas, then the functions that call them, then alarms.
Must not know how a command runs, or what an account holds now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from glossa.deployment.account import ACCOUNT_FACTS
from glossa.deployment.environment import Environment
from glossa.deployment.kubernetes import kubernetes_steps, registry_words
from glossa.deployment.names import IMAGE_PLATFORM, PYTHON
from glossa.deployment.steps import Command, Step, digest_of, names_in
from glossa.deployment.target import Target
from glossa.deployment.templates import Link, link, read_template, template_path

SAM = ".venv-sam/bin/sam"
TAG_CHARS = 16
OPERATOR_VALUES = "infra/kubernetes/operator/values.yaml"  # has the operator's version; install.sh reads it too
NOTED = ("ImageUri", "GpuImageUri", "CatalogKey")  # what the programs of steps find out
IMAGE_SOURCES = ("infra/image", "serve", "shared", "requirements")
MINUTES = {"weights": 2, "network": 5, "cluster": 25, "instances": 15, "service": 10, "observability": 5}
TITLES = {
    "weights": "stack weights: buckets and the image repository",
    "network": "stack network: VPC, subnets, endpoints, security groups",
    "cluster": "stack cluster: EKS, secrets, Redis",
    "instances": "stack instances: Auto Scaling group and load balancer",
    "service": "stack service: API, functions, queues, table, buckets",
    "observability": "stack observability: alarms, dashboards, canary, budget",
}


def target_of(root: Path, environment: Environment, *, gpu: bool) -> Target:
    """Return what is deployed. Raises OSError, ValueError."""
    cidr = (
        environment.parameters.get("network", {}).get("VpcCidr") or read_template(root, "network").parameters["VpcCidr"]
    )
    operator = yaml.safe_load((root / OPERATOR_VALUES).read_text(encoding="utf-8"))["image"]["tag"]
    return Target(environment, gpu, image_tag(root, environment), str(operator), str(cidr))


def image_tag(root: Path, environment: Environment) -> str:
    """Return the tag of the image: the digest of its sources and of every argument of its build. Raises OSError."""
    told = json.dumps(build_arguments(environment), sort_keys=True)
    return hashlib.sha256(f"{digest_of(root, IMAGE_SOURCES)}\0{told}".encode()).hexdigest()[:TAG_CHARS]


def build_arguments(environment: Environment) -> dict[str, str]:
    """Return the arguments of the image's build. All of them are in its tag, because a tag cannot be moved.

    Those of torch's small build are given together, or not at all.
    """
    deploy = environment.deploy
    torch = {"TORCH_INDEX_URL": deploy.torch_index_url, "TORCH_SHA256": deploy.torch_sha256}
    return {"BASE_DIGEST": deploy.base_digest, **(torch if deploy.torch_sha256 else {})}


def first_facts(environment: Environment) -> dict[str, str]:
    """Return what is known before the first step: outputs of no stack, which parameters may ask for all the same."""
    names = {"NamePrefix": environment.name_prefix, "Platform": environment.deploy.platform}
    given = {
        "CertificateArn": environment.deploy.certificate_arn,
        "Concurrency": environment.value("service", "Concurrency"),
    }
    return {**names, **{name: value for name, value in given.items() if value}}


def links(root: Path, environment: Environment) -> dict[str, Link]:
    """Return what each stack's parameters get. Raises OSError or ValueError when a template cannot be read."""
    known = {*first_facts(environment), *ACCOUNT_FACTS, *NOTED}
    unsure: set[str] = set()
    found = {}
    for stack in environment.stacks:
        template = read_template(root, stack)
        found[stack] = link(template, environment.parameters.get(stack, {}), known, unsure)
        known |= template.outputs
        unsure |= template.conditional
    return found


def unknown_facts(root: Path, environment: Environment, steps: Sequence[Step]) -> set[str]:
    """Return the names that commands ask for as `${Name}` and that no step gives, such as those of a wrong value."""
    known = {*first_facts(environment), *ACCOUNT_FACTS, *NOTED, "Root"}
    for stack in environment.stacks:
        known |= read_template(root, stack).outputs
    words = (word for step in steps for each in step.commands for word in (*each.words, *each.env.values()))
    return {name for word in words for name in names_in(word)} - known


def plan(target: Target, linked: Mapping[str, Link]) -> list[Step]:
    """Return all steps of a deployment, in order."""
    on_cluster = target.environment.deploy.platform == "cluster"
    replicas = ("cluster",) if on_cluster else ()
    return [
        *(_stack(target, stack, linked) for stack in ("weights", "network", *replicas)),
        _weights(target),
        _image(target),
        *(kubernetes_steps(target) if on_cluster else [_stack(target, "instances", linked), _call_key(target)]),
        _functions(target),
        _stack(target, "service", linked),
        _stack(target, "observability", linked),
        _health(target),
    ]


def _stack(target: Target, stack: str, linked: Mapping[str, Link]) -> Step:
    """Return the step that creates or updates a stack. SAM deploys plain templates too, and waits for the end.

    The stack `service` always runs: its source is what the step before it built. SAM changes nothing where nothing is
    new.
    """
    environment, values = target.environment, linked[stack].values
    path = Path(".aws-sam/build/template.yaml") if stack == "service" else template_path(stack)
    words = [SAM, "deploy", "--template-file", str(path), "--stack-name", environment.stack_name(stack)]
    words += ["--region", environment.deploy.region, "--resolve-s3", "--s3-prefix", environment.stack_name(stack)]
    words += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
    words += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    words += ["--tags", "service=glossa", f"environment={environment.name}"]
    if values:
        words += ["--parameter-overrides", *(override(name, value) for name, value in sorted(values.items()))]
    # Without a word for it, an updated stack would keep the value that it had: SAM asks for the previous one.
    otherwise = {override(name, values[name]): override(name, value) for name, value in linked[stack].otherwise.items()}
    deploy = Command(tuple(words), {"SAM_CLI_TELEMETRY": "0"}, otherwise)
    commands = (_clear(environment, stack), deploy)
    return Step(
        stack, TITLES[stack], commands, MINUTES[stack], (str(template_path(stack)),), stack, always=stack == "service"
    )


def _clear(environment: Environment, stack: str) -> Command:
    """Return the command that removes what a failed creation left of a stack: it could never be updated."""
    words = (PYTHON, "-m", "glossa.deployment.programs.delete_stack", "--stack", environment.stack_name(stack))
    return Command((*words, "--region", environment.deploy.region, "--only-failed-creation"))


def override(name: str, value: object) -> str:
    """Return a parameter as SAM reads it. Without quotes around it, a value would end at its first space or quote."""
    text = str(value)
    escaped = text.replace('"', '\\"')
    return f'{name}="{escaped}"' if not text or any(mark in text for mark in " \t\n\"'") else f"{name}={text}"


def _weights(target: Target) -> Step:
    """Return the step that mirrors the checkpoints: private subnets have no way to the hub."""
    deploy = target.environment.deploy
    words = (PYTHON, "-m", "glossa", "weights", "push", "--catalog", str(deploy.catalog), "--region", deploy.region)
    where = ("--bucket", "${WeightsBucketName}", "--out", str(target.catalog), "--notes", str(target.notes))
    sources = (str(deploy.catalog),)
    return Step(
        "mirror", "checkpoints into the bucket of weights", (Command((*words, *where)),), 30, sources, always=True
    )


def _image(target: Target) -> Step:
    """Return the step that builds and pushes the image. Its tag is the digest of all that decides it."""
    deploy = target.environment.deploy
    registry = registry_words(target.environment, "${ImageRepositoryUri}")
    commands, facts = [Command((*registry, "sign-in"))], []
    told = [word for pair in build_arguments(target.environment).items() for word in ("--build-arg", "=".join(pair))]
    for kind, address in target.images.items():
        build = (deploy.image_builder, "build", "--file", "infra/image/Dockerfile", "--target", kind)
        commands.append(Command((*build, *told, "--platform", IMAGE_PLATFORM, "--tag", address, ".")))
        fact = "ImageUri" if len(target.images) == 1 or kind == "cpu" else "GpuImageUri"
        commands.append(Command((*registry, "push", "--image", address, "--notes", str(target.notes), "--fact", fact)))
        facts.append(fact)
    return Step("image", "image of the model servers", tuple(commands), 30, IMAGE_SOURCES, gives=tuple(facts))


def _call_key(target: Target) -> Step:
    """Return the step that writes the first call key. Instances wait for it."""
    words = (PYTHON, "-m", "glossa.deployment.programs.cluster_secrets", "--region", target.environment.deploy.region)
    return Step("call-keys", "first call key", (Command((*words, "--call-keys", "${CallKeysSecretArn}")),))


def _functions(target: Target) -> Step:
    """Return the step that builds the packages of the functions, for the processors of Lambda.

    It always runs, because the packages may have been removed or built for this machine since.
    """
    architecture = target.environment.parameters.get("service", {}).get("Architecture", "arm64")
    catalog = str(target.environment.deploy.catalog)
    env = {"GLOSSA_TARGET": "lambda", "GLOSSA_ARCHITECTURE": architecture, "GLOSSA_CATALOG": catalog}
    command = Command(("make", "build"), env)
    return Step("functions", "packages of the functions", (command,), 10, always=True)


def _health(target: Target) -> Step:
    """Return the last step: the API answers that its model servers are ready."""
    words = (
        PYTHON,
        "-m",
        "glossa.deployment.programs.health",
        "--url",
        "${ApiUrl}",
        "--region",
        target.environment.deploy.region,
        "--auth",
        target.environment.value("service", "Auth", "iam"),
    )
    return Step("health", "the API and its model servers answer", (Command(words),), 10, always=True)
