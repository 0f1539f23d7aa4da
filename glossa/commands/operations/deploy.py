"""`glossa deploy` and `glossa destroy`: bring an environment into an AWS account, and take it out again.

Must not know the steps: glossa.deployment has them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from glossa.commands.arguments import examples
from glossa.deployment.account import Account, AwsAccount, account_facts
from glossa.deployment.choices import Value, choices, values_of, warnings
from glossa.deployment.environment import Environment, Missing, load_environment
from glossa.deployment.kubernetes import MANIFESTS
from glossa.deployment.preflight import preflight
from glossa.deployment.programs.manifests import placeholders
from glossa.deployment.quotas import needed_gpus, quotas
from glossa.deployment.runner import Deployment, Shell, State, StepFailed
from glossa.deployment.steps import Step
from glossa.deployment.templates import read_template
from shared.catalog import Catalog, load_catalog

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / "infra" / "environments"
environment_option = click.option(
    "--environment", "name", default="dev", show_default=True, help="A file of infra/environments, without its end."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print every command, and run none.")


@click.command(
    "deploy",
    help="Create or update an environment in your AWS account.",
    epilog=examples("glossa deploy --environment dev --dry-run", "glossa deploy --environment dev"),
)
@environment_option
@dry_run_option
@yes_option
@click.option("--again", is_flag=True, help="Run every step, also those that are done.")
def deploy_command(*, name: str, dry_run: bool, yes: bool, again: bool) -> int:
    """Run the command; return its exit code."""
    from glossa.deployment.plan import first_facts, links, plan, target_of, unknown_facts  # noqa: PLC0415 - reads every template

    environment = load_environment(ENVIRONMENTS / f"{name}.toml")
    catalog = None
    if environment.deploy.catalog == Path():  # an empty text: preflight asks for it, and the plan shows its place
        deploy = environment.deploy.model_copy(update={"catalog": Path("CATALOG.toml")})
        environment = environment.model_copy(update={"deploy": deploy})
    else:
        catalog = load_catalog(ROOT / environment.deploy.catalog)
    linked = links(ROOT, environment)
    account = AwsAccount(environment.deploy.region)
    target = target_of(ROOT, environment, gpu=catalog is not None and needed_gpus(catalog) > 0)
    filled = {name for name, value in target.manifest_values.items() if value}
    asked = placeholders(ROOT / MANIFESTS) if environment.deploy.platform == "cluster" else set()
    steps = plan(target, linked)
    missing = preflight(
        environment, linked, account=account, which=shutil.which, unfilled=asked - filled,
        unknown=unknown_facts(ROOT, environment, steps),
    )  # fmt: skip
    missing += _unfit(environment, catalog, account)
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
            steps, {**first_facts(environment), **account_facts(account), "Root": str(ROOT)}, again=again
        )
    except (StepFailed, LookupError) as error:
        raise ValueError(str(error)) from None
    print_addresses(environment, facts)
    return 0


@click.command(
    "destroy",
    help="Remove an environment from your AWS account; buckets, tables and KMS keys stay.",
    short_help="Remove an environment from your AWS account.",
    epilog=examples("glossa destroy --environment dev --dry-run", "glossa destroy --environment dev --yes"),
)
@environment_option
@dry_run_option
@yes_option
def destroy_command(*, name: str, dry_run: bool, yes: bool) -> int:
    """Run the command; return its exit code."""
    from glossa.deployment.destroy import PROTECTION, destroy_steps, protections, what_stays  # noqa: PLC0415 - keeps `--help` fast

    environment = load_environment(ENVIRONMENTS / f"{name}.toml")
    if not environment.deploy.region and not dry_run:
        raise ValueError(f"got no region, expected that of the stacks: write it into [deploy] of {name}.toml")
    account = AwsAccount(environment.deploy.region)
    standing = {} if dry_run else _standing(environment, account)
    facts = {name: value for outputs in standing.values() for name, value in outputs.items()}
    steps = destroy_steps(environment, None if dry_run else standing)
    show(environment, steps, facts, commands=True)
    click.echo(f"{what_stays()} docs/deploy.md says how to remove the rest.")
    if dry_run:
        value = _values(environment)
        for refusal in protections(environment, lambda stack: {PROTECTION: value(stack, PROTECTION)}):
            click.echo(f"warning: {refusal}", err=True)
        return 0
    if refusals := protections(environment, lambda stack: account.parameters(environment.stack_name(stack))):
        raise ValueError("; ".join(refusals))
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


def _values(environment: Environment) -> Value:
    return values_of({stack: read_template(ROOT, stack) for stack in environment.stacks}, environment)


def _unfit(environment: Environment, catalog: Catalog | None, account: Account) -> list[Missing]:
    """Return the values that do not fit together or the account, and print what is allowed and unwise."""
    value = _values(environment)
    for warning in warnings(environment, catalog) if catalog else ():
        click.echo(f"warning: {warning}", err=True)
    limits = quotas(environment, catalog, value, account) if environment.deploy.region else []
    return [*choices(environment, catalog, value, os.environ), *limits]


def _standing(environment: Environment, account: Account) -> dict[str, Mapping[str, str]]:
    """Return the outputs of each stack before the functions that is still there."""
    found = {}
    for stack in ("network", "cluster"):
        with suppress(LookupError):
            found[stack] = account.outputs(environment.stack_name(stack))
    return found


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
