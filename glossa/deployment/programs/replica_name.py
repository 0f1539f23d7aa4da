"""Points the private name of the replicas at the load balancer that the cluster made.

    python -m glossa.deployment.programs.replica_name --region R --zone ID --host NAME (--kubeconfig FILE | --remove)

Kubernetes makes the load balancer, so no template knows its address. Must not know what is behind it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from glossa.deployment.names import INGRESS, NAMESPACE

RESOURCE = f"ingress/{INGRESS}"
HOST_PATH = "{.status.loadBalancer.ingress[0].hostname}"  # where Kubernetes writes the load balancer's name
POLL_S, WITHIN_S = 10.0, 900.0


def balancer_host(kubeconfig: str) -> str:
    """Return the name of the load balancer, empty while the cluster makes it."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "--namespace", NAMESPACE, "get", RESOURCE]
    command += ["--output", f"jsonpath={HOST_PATH}"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def wait_for_host(ask: Callable[[], str], pause: Callable[[float], None], within_s: float = WITHIN_S) -> str:
    """Ask until there is a name. Raises TimeoutError after `within_s` seconds of pauses."""
    waited_s = 0.0
    while not (host := ask()):
        if waited_s >= within_s:
            raise TimeoutError(f"got no load balancer after {within_s:g} s, expected one: kubectl describe {RESOURCE}")
        pause(POLL_S)
        waited_s += POLL_S
    return host


def point(balancers: Any, names: Any, host: str, zone: str, name: str) -> None:
    """Make the record: an alias of the load balancer. `balancers` and `names` are clients of elbv2 and route53.

    Raises LookupError when the account has no such load balancer.
    """
    pages = balancers.get_paginator("describe_load_balancers").paginate()
    found = [each for page in pages for each in page["LoadBalancers"] if each["DNSName"].lower() == host.lower()]
    if not found:
        raise LookupError(f"got load balancer {host}, expected one of this account and region")
    alias = {"HostedZoneId": found[0]["CanonicalHostedZoneId"], "DNSName": host, "EvaluateTargetHealth": False}
    record = {"Name": name, "Type": "A", "AliasTarget": alias}
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
    names.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def remove(names: Any, zone: str, name: str) -> bool:
    """Delete the record, because a zone with a record cannot be deleted; return whether there was one."""
    found = names.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name, StartRecordType="A", MaxItems="1")[
        "ResourceRecordSets"
    ]
    records = [each for each in found if each["Type"] == "A" and each["Name"].rstrip(".") == name.rstrip(".").lower()]
    if records:
        changes = [{"Action": "DELETE", "ResourceRecordSet": records[0]}]
        names.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return bool(records)


def main() -> int:
    """Point the name, or remove it; return 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.replica_name")
    for word in ("--region", "--zone", "--host"):
        parser.add_argument(word, required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--kubeconfig")
    what.add_argument("--remove", action="store_true")
    asked = parser.parse_args()

    import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        if asked.remove:
            print(
                f"{asked.host}: {'removed' if remove(boto3.client('route53'), asked.zone, asked.host) else 'no record'}"
            )
            return 0
        host = wait_for_host(lambda: balancer_host(asked.kubeconfig), time.sleep)
        balancers = boto3.client("elbv2", region_name=asked.region)
        point(balancers, boto3.client("route53"), host, asked.zone, asked.host)
    except (BotoCoreError, ClientError, LookupError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{asked.host} -> {host}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
