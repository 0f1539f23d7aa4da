"""Compares what a deployment takes with the limits of an account: vCPUs of EC2, and Lambda's concurrency.

A quota that cannot be read stops nobody. Must not know steps, or how an account is asked.
"""

from __future__ import annotations

import math

from glossa.deployment.account import Account
from glossa.deployment.choices import Value, number
from glossa.deployment.environment import Environment, Missing
from shared.catalog import Catalog

# In vCPUs; the names that Service Quotas shows, as in docs.aws.amazon.com/cli/latest/userguide, Service Quotas examples
G_QUOTA = "Running On-Demand G and VT instances"
STANDARD_QUOTA = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
GPU_VCPUS = 4  # the vCPUs of the smallest machine with one GPU of infra/kubernetes, g6.xlarge and g6e.xlarge
CPU_VCPUS, CPU_CPUS = 8, 7  # the smallest machine of the pool `base`, and how many CPUs replicas get there
HEAD_VCPUS = 4  # Ray's head asks for 2 CPUs, and its operator and the system need some
# How many functions of template.yaml reserve each parameter. The authorizer and the smoke test are there by condition.
RESERVED = {"InferConcurrency": 1, "JobsConcurrency": 1, "WorkConcurrency": 1, "StepConcurrency": 3}
SWEEP, SMOKE, CANARY = 1, 1, 1  # the functions that reserve one
UNRESERVED = 100  # what Lambda keeps for functions without a reservation, as template.yaml says of Concurrency
SERVED_BY_AUTHORIZER = ("jwt", "key", "bearer")


def quotas(environment: Environment, catalog: Catalog | None, value: Value, account: Account) -> list[Missing]:
    """Return what the account's limits do not allow."""
    found = _concurrency(environment, value, account)
    if catalog is not None:
        found += _vcpus(account, G_QUOTA, "the GPUs of the catalog", needed_gpus(catalog) * GPU_VCPUS)
        if environment.deploy.platform == "cluster":
            found += _vcpus(account, STANDARD_QUOTA, "Ray's head and the models on CPUs", needed_cpu_vcpus(catalog))
    return found


def needed_gpus(catalog: Catalog) -> int:
    """Return how many GPUs the catalog's replicas take at most."""
    return sum(math.ceil(model.replicas.max * model.replicas.num_gpus) for model in catalog.models.values())


def needed_cpu_vcpus(catalog: Catalog) -> int:
    """Return the vCPUs of a cluster's machines without GPUs when every replica runs. An update takes more."""
    replicas = [model.replicas for model in catalog.models.values() if not model.replicas.num_gpus]
    n_cpus = sum(each.max * each.num_cpus for each in replicas)
    return HEAD_VCPUS + math.ceil(n_cpus / CPU_CPUS) * CPU_VCPUS


def reserved_concurrency(value: Value) -> int:
    """Return how much of Lambda's concurrency the functions take for themselves alone, the canary's included."""
    if value("service", "Concurrency") != "reserved":
        return 0 if value("observability", "Concurrency") else CANARY
    total = sum(n * number(value, "service", name) for name, n in RESERVED.items()) + SWEEP + CANARY
    if value("service", "Auth") in SERVED_BY_AUTHORIZER:
        total += number(value, "service", "AuthorizeConcurrency")
    return total + (SMOKE if value("service", "Canary") == "true" else 0)


def _concurrency(environment: Environment, value: Value, account: Account) -> list[Missing]:
    limit, reserved = account.concurrency(), reserved_concurrency(value)
    if limit is None and not value("observability", "AccountConcurrency"):
        return [
            Missing(
                "no limit of concurrent executions of Lambda that you may read",
                "the one that Service Quotas shows, because an alarm is a part of it",
                f"write it as AccountConcurrency into [observability] of {environment.file}",
            )
        ]
    if limit is None or not reserved or limit >= reserved + UNRESERVED:
        return []
    return [
        Missing(
            f"a limit of {limit} concurrent executions of Lambda",
            f"{reserved + UNRESERVED} or more: {reserved} are reserved, and Lambda keeps {UNRESERVED} for others",
            "ask for more in Service Quotas, at AWS Lambda, Concurrent executions, or write smaller numbers or "
            f'Concurrency = "shared" into [service] of {environment.file}',
        )
    ]


def _vcpus(account: Account, name: str, whose: str, vcpus: int) -> list[Missing]:
    quota = account.quota(name) if vcpus else None
    if quota is None or quota >= vcpus:
        return []
    return [
        Missing(
            f"a quota of {quota:g} vCPUs for {name}",
            f"{vcpus} or more for {whose}",
            "ask for more in Service Quotas, at EC2",
        )
    ]
