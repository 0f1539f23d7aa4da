"""Names everything that a deployment would miss, before anything is created.

All of it is named at once, each with a way forward. It is pure, except that it looks for programs and asks the account.
Must not know steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from glossa.deployment.account import Account
from glossa.deployment.environment import Environment, Missing
from glossa.deployment.templates import Link

TOOLS = {
    "cluster": {
        "aws": "the AWS command line, version 2: kubectl signs in to the cluster with it",
        "kubectl": "kubectl: it applies the manifests",
        "helm": "helm, version 3: it installs the operator of Ray",
    },
    "instances": {},
}
SETTINGS = {"CertificateArn": "certificate_arn"}  # what manifests and stacks ask for, and its key in [deploy]
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def preflight(
    environment: Environment,
    links: Mapping[str, Link],
    *,
    account: Account,
    which: Callable[[str], str | None],
    unfilled: Collection[str] = (),
    unknown: Collection[str] = (),
) -> list[Missing]:
    """Return what is missing, in the order in which a reader would mend it.

    `which` finds a program by its name. `unfilled` are names of manifests that nothing fills, and `unknown` those that
    values ask for as `${Name}` and that no stack gives.
    """
    file = environment.file
    found = [*_tools(environment, which), *_region(environment, file)]
    if environment.deploy.region:
        found += _account(environment, account)
    found += _parameters(links, file)
    found += _image(environment, file)
    found += [
        Missing(f"no value for {name}, which a manifest asks for", "one", _place(name, "deploy.values", file))
        for name in sorted(unfilled)
    ]
    found += [
        Missing(f"${{{name}}} in a value", "the name of an output of an earlier stack", f"mend the value in {file}")
        for name in sorted(unknown)
    ]
    return found


def _tools(environment: Environment, which: Callable[[str], str | None]) -> list[Missing]:
    builder = environment.deploy.image_builder
    tools = {**TOOLS[environment.deploy.platform], builder: f"{builder}: it builds and pushes the image"}
    return [
        Missing(f"no program {name}", why, "install it and put it on the PATH")
        for name, why in tools.items()
        if which(name) is None
    ]


def _region(environment: Environment, file: str) -> list[Missing]:
    if environment.deploy.region:
        return []
    return [Missing("no region", "one, such as eu-central-1", f"write it into [deploy] of {file}")]


def _account(environment: Environment, account: Account) -> list[Missing]:
    region = environment.deploy.region
    if account.account_id() is not None:
        return _administrator(environment, account)
    return [
        Missing(
            "no AWS credentials that work",
            f"those of a role that may create stacks in {region}",
            "sign in, for example with `aws sso login`, or set AWS_PROFILE",
        )
    ]


def _administrator(environment: Environment, account: Account) -> list[Missing]:
    """Return what is missing when the caller cannot take the one role that the cluster admits."""
    role = environment.value("cluster", "AdminRoleArn")
    if environment.deploy.platform != "cluster" or not role or account.can_assume(role):
        return []
    return [
        Missing(
            f"credentials that cannot take the role {role}",
            "some that can, because the cluster admits this role alone",
            "let its trust policy name you, the role itself too if you sign in with it, or change cluster.AdminRoleArn",
        )
    ]


def _parameters(links: Mapping[str, Link], file: str) -> list[Missing]:
    found = []
    for stack, linked in links.items():
        found += [Missing(f"no value for {stack}.{name}", "one", _place(name, stack, file)) for name in linked.missing]
        found += [
            Missing(f"{stack}.{name}", "a parameter of the template", f"take it out of [{stack}] in {file}")
            for name in linked.unknown
        ]
    return found


def _place(name: str, table: str, file: str) -> str:
    """Return where a value belongs. The certificate is one key, whatever asks for it."""
    key = SETTINGS.get(name)
    return f"write {key} into [deploy] of {file}" if key else f"write it into [{table}] of {file}"


def _image(environment: Environment, file: str) -> list[Missing]:
    digest = environment.deploy.base_digest
    if SHA256.fullmatch(digest):
        return []
    shown = repr(digest) if digest else "no base_digest"
    return [
        Missing(
            shown,
            "sha256:… of the image that ours starts from",
            f"choose one that you trust, see infra/image/Dockerfile, and write it into [deploy] of {file}",
        )
    ]
