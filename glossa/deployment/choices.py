"""Names values that do not fit together: each is right by itself, and a deployment would fail after machines run.

Pure. Must not know steps, or what an account allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from glossa.deployment.environment import Environment, Missing
from glossa.deployment.programs.health import API_KEY, BEARERS
from glossa.deployment.templates import Template
from shared.catalog import Catalog

Value = Callable[[str, str], str]  # of a stack and a parameter: what the environment gives, else the template's default
# Families of Graviton have a g after the digit: docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
_GRAVITON = re.compile(r"(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)\..+")
_ZEROS = "0" * 64
SAFE_REPLICAS = 2


def values_of(templates: Mapping[str, Template], environment: Environment) -> Value:
    """Return what finds a parameter's value; one that the template lacks is empty."""

    def value(stack: str, name: str) -> str:
        return environment.value(stack, name, templates[stack].parameters.get(name) or "")

    return value


def number(value: Value, stack: str, name: str) -> int:
    """Return a parameter that is a whole number. Raises ValueError that names it."""
    text = value(stack, name)
    if not text.isdecimal():
        raise ValueError(f"got {stack}.{name} {text!r}, expected a whole number")
    return int(text)


def choices(
    environment: Environment, catalog: Catalog | None, value: Value, environ: Mapping[str, str]
) -> list[Missing]:
    """Return the values that do not fit together. Without a catalog it is asked for."""
    found = [*_catalog(environment, catalog), *_torch(environment), *_callers(environment, value, environ)]
    platform = {"cluster": _cluster, "instances": _instances}[environment.deploy.platform]
    return [*found, *platform(environment, value)]


def warnings(environment: Environment, catalog: Catalog) -> Iterator[str]:
    """Yield a sentence for each model of a cluster that the loss of one replica stops."""
    if environment.deploy.platform != "cluster":
        return
    for name, model in catalog.models.items():
        if model.replicas.min < SAFE_REPLICAS:
            yield (
                f"{name} keeps {model.replicas.min} replicas, and gives no answer while one starts; "
                f"for production set replicas.min to {SAFE_REPLICAS} or more"
            )


def _catalog(environment: Environment, catalog: Catalog | None) -> Iterator[Missing]:
    if catalog is None:
        yield Missing(
            "no catalog",
            "the file that lists your models",
            f"copy one of examples/catalogs, fill it, and write its path into [deploy] of {environment.file}",
        )
        return
    for name, model in catalog.models.items():
        if _ZEROS in (model.weights_sha256, model.tokenizer_sha256):
            yield Missing(
                f"digests of zeros for model {name}",
                "those of its checkpoint",
                f"name it there, then run `glossa catalog refresh {name} --catalog {environment.deploy.catalog}`",
            )


def _torch(environment: Environment) -> Iterator[Missing]:
    deploy = environment.deploy
    if bool(deploy.torch_index_url) != bool(deploy.torch_sha256):
        yield Missing("one of torch_index_url and torch_sha256", "both or none", f"mend [deploy] of {environment.file}")


def _callers(environment: Environment, value: Value, environ: Mapping[str, str]) -> Iterator[Missing]:
    """Compare how callers are verified with what the last step and the canary send."""
    auth = value("service", "Auth")
    if auth not in BEARERS:
        return
    how = (
        "export a token of one of the Issuers"
        if auth == "jwt"
        else f'deploy once with Auth = "iam", then `glossa keys create --stack {environment.stack_name("service")}`'
    )
    if not environ.get(API_KEY):
        yield Missing(f"no {API_KEY} with Auth={auth}", "a token with which the last step asks the API", how)
    if not value("observability", "CanaryKeySecretArn"):
        yield Missing(
            f"no value for observability.CanaryKeySecretArn with Auth={auth}",
            "the ARN of a secret that holds a token with the scope tasks:text-classification",
            f"make the secret, and write its ARN into [observability] of {environment.file}",
        )


def _cluster(environment: Environment, value: Value) -> Iterator[Missing]:
    if not value("cluster", "PublicAccessCidrs") and not value("cluster", "AdminCidr"):
        yield Missing(
            "neither cluster.PublicAccessCidrs nor cluster.AdminCidr",
            "the addresses from which kubectl and helm reach the Kubernetes API",
            f"write one of them into [cluster] of {environment.file}",
        )


def _instances(environment: Environment, value: Value) -> Iterator[Missing]:
    kind = value("instances", "InstanceType")
    if _GRAVITON.fullmatch(kind):
        yield Missing(
            f"instances.InstanceType {kind}, which has an Arm processor",
            "one with an x86 processor, because the image is built for linux/amd64",
            f"choose another in [instances] of {environment.file}",
        )
    least, most = (number(value, "instances", name) for name in ("MinInstances", "MaxInstances"))
    if most <= least:
        yield Missing(
            f"instances.MaxInstances {most} with MinInstances {least}",
            f"{least + 1} or more: an update starts a new instance before an old one ends",
            f"write it into [instances] of {environment.file}",
        )
