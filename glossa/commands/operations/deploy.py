"""`glossa deploy` and `glossa destroy`: bring an environment into an AWS account, and take it out again.

Must not know the steps: glossa.deployment has them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from glossa.deployment.account import Account, AwsAccount
from glossa.deployment.environment import Environment, load_environment
from glossa.deployment.kubernetes import MANIFESTS
from glossa.deployment.preflight import needed_gpus, preflight
from glossa.deployment.programs.manifests import placeholders
from glossa.deployment.runner import Deployment, Shell, State, StepFailed
from glossa.deployment.steps import Step
from shared.catalog import load_catalog

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / "infra" / "environments"
environment_option = click.option(
    "--environment", "name", default="dev", show_default=True, help="A file of infra/environments, without its end."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print every command, and run none.")


@click.command("deploy", help="Create or update an environment in your AWS account.")
@environment_option
@dry_run_option
@yes_option
@click.option("--again", is_flag=True, help="Run every step, also those that are done.")
def deploy_command(*, name: str, dry_run: bool, yes: bool, again: bool) -> int:
    """Run the command; return its exit code."""
    from glossa.deployment.plan import first_facts, links, plan, target_of, unknown_facts  # noqa: PLC0415 - reads every template

    environment = load_environment(ENVIRONMENTS / f"{name}.toml")
    catalog = load_catalog(ROOT / environment.deploy.catalog)
    linked = links(ROOT, environment)
    account = AwsAccount(environment.deploy.region)
    target = target_of(ROOT, environment, gpu=needed_gpus(catalog) > 0)
    filled = {name for name, value in target.manifest_values.items() if value}
    asked = placeholders(ROOT / MANIFESTS) if environment.deploy.platform == "cluster" else set()
    steps = plan(target, linked)
    missing = preflight(
        environment, linked, catalog, account=account, which=shutil.which, unfilled=asked - filled,
        unknown=unknown_facts(ROOT, environment, steps),
    )  # fmt: skip
    for each in missing:
        click.echo(f"missing: {each}", err=True)
    show(environment, steps, first_facts(environment), commands=dry_run)
    if dry_run:
        return 0
    if missing:
        raise ValueError(f"got an environment that lacks {len(missing)} things, expected none: see the lines above")
    if not yes and not click.confirm(f"Deploy {name} to account {account.account_id()}?"):
        return 1
    deployment = Deployment(
        ROOT,
        Shell(os.environ),
        lambda stack: account.outputs(environment.stack_name(stack)),
        state_of(name),
        target.notes,
        click.echo,
    )
    try:
        facts = deployment.run(
            steps, {**first_facts(environment), **account.prefix_lists(), "Root": str(ROOT)}, again=again
        )
    except (StepFailed, LookupError) as error:
        raise ValueError(str(error)) from None
    print_addresses(environment, facts)
    return 0


@click.command("destroy", help="Remove an environment from your AWS account; buckets, tables and keys stay.")
@environment_option
@dry_run_option
@yes_option
def destroy_command(*, name: str, dry_run: bool, yes: bool) -> int:
    """Run the command; return its exit code."""
    from glossa.deployment.destroy import destroy_steps  # noqa: PLC0415 - keeps `--help` fast

    environment = load_environment(ENVIRONMENTS / f"{name}.toml")
    if not environment.deploy.region and not dry_run:
        raise ValueError(f"got no region, expected that of the stacks: write it into [deploy] of {name}.toml")
    facts = {} if dry_run else _cluster_facts(environment, AwsAccount(environment.deploy.region))
    steps = destroy_steps(environment, has_cluster=dry_run or bool(facts))
    show(environment, steps, facts, commands=True)
    click.echo(
        "Buckets, tables, keys and logs stay: their templates retain them. docs/deploy.md says how to remove them."
    )
    if dry_run:
        return 0
    if not yes and click.prompt(f"Type {name} to remove its stacks") != name:
        click.echo("nothing was removed", err=True)
        return 1
    nothing = Path("build") / "none"
    deployment = Deployment(ROOT, Shell(os.environ), lambda _: {}, state_of(f"{name}-destroy"), nothing, click.echo)
    try:
        deployment.run(steps, facts, again=True)
    except StepFailed as error:
        raise ValueError(str(error)) from None
    state_of(name).forget()
    return 0


def _cluster_facts(environment: Environment, account: Account) -> dict[str, str]:
    """Return what the stack of the cluster gives, nothing when there is no cluster."""
    if environment.deploy.platform != "cluster":
        return {}
    try:
        return dict(account.outputs(environment.stack_name("cluster")))
    except LookupError:
        return {}


def show(environment: Environment, steps: list[Step], facts: dict[str, str], *, commands: bool) -> None:
    """Print the plan, with `commands` every command of it."""
    click.echo(f"environment {environment.name}: {environment.deploy.platform} in {environment.deploy.region}")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number:>3}. {step.title} (up to {step.minutes} min)")
        for command in step.commands if commands else ():
            click.echo(f"     $ {command.shown(facts)}")


def state_of(name: str) -> State:
    """Return the note of which steps of an environment are done."""
    return State(ROOT / ".local" / "deployments" / f"{name}.json")


def print_addresses(environment: Environment, facts: dict[str, str]) -> None:
    """Print what the reader needs next."""
    for title, fact in (
        ("API", "ApiUrl"),
        ("model servers, inside the network", "ReplicaUrl"),
        ("inbox bucket", "InputBucketName"),
        ("results bucket", "OutputBucketName"),
    ):
        if fact in facts:
            click.echo(f"{title:<36} {facts[fact]}")
    click.echo(f"\nexport GLOSSA_API_URL={facts.get('ApiUrl', '')} AWS_DEFAULT_REGION={environment.deploy.region}")
