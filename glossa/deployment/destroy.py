"""The plan that removes an environment: the reverse of its deployment. What holds data is retained by its template.

Must not know how a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from glossa.deployment.environment import Environment
from glossa.deployment.kubernetes import kubeconfig_command, removal_commands
from glossa.deployment.names import PYTHON
from glossa.deployment.steps import Command, Step

PROTECTED, PROTECTION = ("cluster", "instances"), "DeletionProtection"  # the stacks that have this parameter
# What stays, by the type of its resource: a test compares this with the policies of the templates.
STAYS = {
    "AWS::S3::Bucket": "buckets",
    "AWS::DynamoDB::Table": "tables",
    "AWS::KMS::Key": "KMS keys",
    "AWS::ECR::Repository": "the repository of the model servers' images",
    "AWS::ApiGateway::Account": "API Gateway's setting for access logs",
    "AWS::IAM::Role": "the role of that setting",
}
GOES = {
    "AWS::Logs::LogGroup": "all logs in CloudWatch",
    "AWS::SecretsManager::Secret": "call keys and the password of Redis",
}


def what_stays() -> str:
    """Return what is left after everything ran, and what is not, as two sentences."""
    stays = ", ".join(STAYS.values())
    return f"What stays: {stays}. Everything else goes, with {', '.join(GOES.values())}."


def protections(environment: Environment, parameters: Callable[[str], Mapping[str, str]]) -> list[str]:
    """Return a sentence for each stack that refuses to be deleted.

    `parameters` returns those of a stack of the plan; it raises LookupError when the stack is not there.
    """
    found = []
    for stack in environment.stacks:
        try:
            given = parameters(stack) if stack in PROTECTED else {}
        except LookupError:
            continue
        if given.get(PROTECTION) == "true":
            found.append(
                f"got {stack}.{PROTECTION} true in stack {environment.stack_name(stack)}, expected false; write "
                f'{PROTECTION} = "false" into [{stack}] of {environment.file} and deploy it first'
            )
    return found


def destroy_steps(environment: Environment, standing: Collection[str] | None = None) -> list[Step]:
    """Return the steps: every stack, the last one first, and before the cluster what runs in it.

    `standing` are the stacks that are still there, None for all. Without the stack of the cluster nothing runs in it.
    The record of the replicas' name goes first: no stack knows it, and a zone with a record cannot be deleted.
    """
    there = environment.stacks if standing is None else standing
    steps = []
    if environment.deploy.platform == "cluster" and "network" in there:
        steps.append(Step("name", "the private name of the model servers", (_unname(environment),)))
    for stack in reversed(environment.stacks):
        if stack == "cluster" and "cluster" in there:
            commands = (kubeconfig_command(environment), *removal_commands(environment))
            steps.append(Step("manifests", "what runs in the cluster, and its load balancer", commands, 10))
        steps.append(Step(stack, f"stack {stack}", (_delete(environment, stack),), 20))
    return steps


def _unname(environment: Environment) -> Command:
    words = (PYTHON, "-m", "glossa.deployment.programs.replica_name", "--region", environment.deploy.region)
    return Command((*words, "--zone", "${ReplicaZoneId}", "--host", "${ReplicaHostName}", "--remove"))


def _delete(environment: Environment, stack: str) -> Command:
    words = (PYTHON, "-m", "glossa.deployment.programs.delete_stack", "--stack", environment.stack_name(stack))
    return Command((*words, "--region", environment.deploy.region))
