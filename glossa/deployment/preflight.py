"""Names everything that a deployment would miss, before anything is created.

All of it is named at once, each with a way forward. It is pure, except that it looks for programs and asks the account.
Must not know steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from glossa.deployment.account import Account
from glossa.deployment.environment import Environment
from glossa.deployment.templates import Link
from shared.catalog import Catalog

G_QUOTA = "Running On-Demand G and VT instances"  # in vCPUs; the name that Service Quotas shows
GPU_VCPUS = 4  # the vCPUs of the smallest machine with one GPU of infra/kubernetes, g6.xlarge and g6e.xlarge
TOOLS = {
    "cluster": {
        "aws": "the AWS command line, version 2: kubectl signs in to the cluster with it",
        "kubectl": "kubectl: it applies the manifests",
        "helm": "helm, version 3: it installs the operator of Ray",
    },
    "instances": {},
}
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that a deployment would miss: what was found, what is expected, and what to do."""

    found: str
    expected: str
    way_forward: str

    def __str__(self) -> str:
        """Return it as one sentence."""
        return f"got {self.found}, expected {self.expected}; {self.way_forward}"


def preflight(
    environment: Environment,
    links: Mapping[str, Link],
    catalog: Catalog,
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
    file = f"infra/environments/{environment.name}.toml"
    found = [*_tools(environment, which), *_region(environment, file)]
    if environment.deploy.region:
        found += _account(environment, account)
    found += _parameters(links, file)
    found += _image(environment, file)
    found += [
        Missing(f"no value for {name}, which a manifest asks for", "one", f"write it into [deploy.values] of {file}")
        for name in sorted(unfilled)
    ]
    found += [
        Missing(f"${{{name}}} in a value", "the name of an output of an earlier stack", f"mend the value in {file}")
        for name in sorted(unknown)
    ]
    return found + (_quotas(catalog, account) if environment.deploy.region else [])


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
    if account.account_id() is not None:
        return []
    region = environment.deploy.region
    return [
        Missing(
            "no AWS credentials that work",
            f"those of a role that may create stacks in {region}",
            "sign in, for example with `aws sso login`, or set AWS_PROFILE",
        )
    ]


def _parameters(links: Mapping[str, Link], file: str) -> list[Missing]:
    found = []
    for stack, linked in links.items():
        found += [
            Missing(f"no value for {stack}.{name}", "one", f"write it into [{stack}] of {file}")
            for name in linked.missing
        ]
        found += [
            Missing(f"{stack}.{name}", "a parameter of the template", f"take it out of [{stack}] in {file}")
            for name in linked.unknown
        ]
    return found


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


def needed_gpus(catalog: Catalog) -> int:
    """Return how many GPUs the catalog's replicas take at most."""
    return sum(math.ceil(model.replicas.max * model.replicas.num_gpus) for model in catalog.models.values())


def _quotas(catalog: Catalog, account: Account) -> list[Missing]:
    """Compare the vCPUs of the GPU machines with the quota, where the quota can be read."""
    vcpus = needed_gpus(catalog) * GPU_VCPUS
    quota = account.quota(G_QUOTA) if vcpus else None
    if quota is None or quota >= vcpus:
        return []
    return [
        Missing(
            f"a quota of {quota:g} vCPUs for G instances",
            f"{vcpus} or more for the GPUs of the catalog",
            f"ask for more in Service Quotas, at EC2, {G_QUOTA}",
        )
    ]
