"""`glossa call-keys`: makes and replaces the keys that sign calls to replicas, and copies them into the cluster.

    glossa call-keys create --environment NAME                              fills a secret that is empty
    glossa call-keys status --environment NAME                              prints the ids, the next step, and its wait
    glossa call-keys rotate --environment NAME [--step add|sign|retire]     takes the next step

`--environment` finds the secret, and the cluster if there is one. `--secret ARN` names the secret instead, with
`--kubeconfig FILE` for a cluster. The secret alone says which step comes next, so a rotation goes on after any
interruption. Prints no key. Must not know when a step is safe: glossa.deployment.call_keys does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from glossa.commands.arguments import F, examples
from glossa.deployment.account import Account, AwsAccount
from glossa.deployment.call_keys import (
    WAIT_S,
    Cluster,
    Step,
    Stored,
    create,
    next_step,
    read_stored,
    rotate,
    wait_left_s,
)
from glossa.deployment.environment import Environment, load_environment
from glossa.deployment.kubernetes import kubeconfig, kubeconfig_command
from glossa.deployment.programs.cluster_secrets import STANDARD_ERROR, CallKeyCopy
from glossa.deployment.runner import CommandRunner
from glossa.deployment.steps import Command
from shared.call_keys import read_call_keys

ROOT = Path(__file__).parents[3]
SECRET = "CallKeysSecretArn"  # noqa: S105 - the name of an output
OPTIONS = (
    click.option("--environment", metavar="NAME", help="A file of infra/environments, without its end."),
    click.option("--secret", metavar="ARN", help=f"Without an environment: the secret, the output {SECRET}."),
    click.option("--kubeconfig", "config", metavar="FILE", help="Beside --secret: the cluster that gets a copy."),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the call keys of an installation are: their secret, and how to sign in to the cluster if there is one."""

    region: str | None
    secret: str
    config: str | None

    @property
    def cluster(self) -> Cluster | None:
        """The copy in the cluster."""
        return None if self.config is None else CallKeyCopy(self.config)


class Quiet:
    """Runs commands on this machine. What they say goes to standard error, because ours is an answer in JSON."""

    def run(self, command: Command, folder: Path) -> int:
        """Run one command. Raises OSError when the program is missing."""
        env = {**os.environ, **command.env}
        return subprocess.run(list(command.words), cwd=folder, env=env, stdout=STANDARD_ERROR, check=False).returncode


def place_of(environment: Environment, account: Account, runner: CommandRunner, root: Path = ROOT) -> Place:
    """Return where the keys of an environment are, after signing in to its cluster. Raises ValueError."""
    region, platform = environment.deploy.region, environment.deploy.platform
    if not region:
        raise ValueError(f"got the environment {environment.name} without a region, expected one under [deploy]")
    try:
        outputs = account.outputs(environment.stack_name(platform))
    except LookupError as error:
        raise ValueError(f"{error}; deploy the environment first") from None
    if platform != "cluster":
        return Place(region, outputs[SECRET], None)
    if runner.run(kubeconfig_command(environment).filled(outputs), root):
        raise ValueError(f"aws cannot sign in to the cluster {outputs['ClusterName']}: see what it says above")
    return Place(region, outputs[SECRET], str(root / kubeconfig(environment)))


@click.group("call-keys", help="Make and replace the keys that sign calls to model servers.")
def call_keys_group() -> None:
    """Hold the commands of call keys."""


def _place_options(command: F) -> F:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@call_keys_group.command(
    "create",
    help="Fill the secret with a first key, unless it has keys. A cluster gets a copy.",
    epilog=examples("glossa call-keys create --environment dev"),
)
@_place_options
def create_command(*, environment: str | None, secret: str | None, config: str | None) -> int:
    """Run the command; return its exit code."""
    place = _place(environment, secret, config)
    stored = create(_open(place), place.secret)
    if place.cluster is not None:
        place.cluster.copy(stored.text, stored.now_s)
    _print(stored, place)
    return 0


@call_keys_group.command(
    "status",
    help="Print the ids of the keys, the next step and how long it must wait, as JSON.",
    epilog=examples("glossa call-keys status --environment dev"),
)
@_place_options
def status_command(*, environment: str | None, secret: str | None, config: str | None) -> int:
    """Run the command; return its exit code."""
    place = _place(environment, secret, config)
    _print(read_stored(_open(place), place.secret), place)
    return 0


@call_keys_group.command(
    "rotate",
    help="Take the next step of a rotation: add a key, sign with it, retire the old one. None comes too early.",
    epilog=examples("glossa call-keys rotate --environment dev"),
)
@_place_options
@click.option("--instances", is_flag=True, help="Beside --secret: no cluster reads it, so there is nothing to copy.")
@click.option("--step", type=click.Choice(["add", "sign", "retire"]), help="Only if this is the next step.")
def rotate_command(
    *, environment: str | None, secret: str | None, config: str | None, instances: bool, step: Step | None
) -> int:
    """Run the command; return its exit code."""
    if secret and bool(config) == instances:
        raise ValueError(
            "got --secret, expected --kubeconfig FILE or --instances too: the pods of a cluster read a copy"
        )
    place = _place(environment, secret, config)
    taken, stored = rotate(_open(place), place.secret, place.cluster, step)
    _print(stored, place)
    then = "the rotation is done" if taken == "retire" else f"repeat this after {WAIT_S / 60:.0f} minutes"
    print(f"done: {taken}; {then}", file=sys.stderr)
    return 0


def _print(stored: Stored, place: Place) -> None:
    keys = read_call_keys(stored.text)
    facts = {"signing": keys.signing, "keys": list(keys.keys), "next_step": next_step(keys)}
    print(json.dumps({**facts, "wait_s": round(wait_left_s(stored, place.cluster))}))


def _place(name: str | None, secret: str | None, config: str | None) -> Place:
    """Return where the keys are. Raises ValueError for options that do not fit together."""
    if bool(name) == bool(secret) or (name and config):
        raise ValueError("got other options, expected --environment NAME alone, or --secret ARN")
    if not name:
        return Place(None, secret or "", config)
    environment = load_environment(ROOT / "infra" / "environments" / f"{name}.toml")
    return place_of(environment, AwsAccount(environment.deploy.region), Quiet())


def _open(place: Place) -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, and only these commands need it

    return boto3.client("secretsmanager", region_name=place.region)
