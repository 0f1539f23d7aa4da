"""Checks how the private name of the replicas gets its address."""

from __future__ import annotations

from typing import Any

import pytest

from glossa.deployment.programs.replica_name import point, remove, wait_for_host


class FakeBalancers:
    """An account with one load balancer."""

    def get_paginator(self, _: str) -> FakeBalancers:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [
            {"LoadBalancers": []},
            {"LoadBalancers": [{"DNSName": "Internal-1.elb", "CanonicalHostedZoneId": "Z9"}]},
        ]


class FakeNames:
    """Remembers what was asked of it."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.records = list(records)

    def list_resource_record_sets(self, **_: Any) -> dict[str, Any]:
        return {"ResourceRecordSets": self.records}

    def change_resource_record_sets(self, **asked: Any) -> None:
        self.asked.append(asked)


def test_the_name_becomes_an_alias_of_the_load_balancer() -> None:
    """The record names the zone of the load balancer, which an alias needs. Case does not matter in a name."""
    names = FakeNames()
    point(FakeBalancers(), names, "internal-1.elb", "Z1", "replicas.example.com")
    (asked,) = names.asked
    record = asked["ChangeBatch"]["Changes"][0]["ResourceRecordSet"]
    assert asked["HostedZoneId"] == "Z1"
    assert record["Name"] == "replicas.example.com"
    assert record["AliasTarget"]["HostedZoneId"] == "Z9"


def test_a_load_balancer_of_another_account_is_refused() -> None:
    """A name that no load balancer here has changes nothing."""
    names = FakeNames()
    with pytest.raises(LookupError, match=r"got load balancer other\.elb, expected one of this account"):
        point(FakeBalancers(), names, "other.elb", "Z1", "replicas.example.com")
    assert names.asked == []


def test_it_waits_for_a_load_balancer_that_is_being_made() -> None:
    """An empty answer means that the cluster still makes it."""
    answers = iter(["", "", "internal-1.elb"])
    pauses: list[float] = []
    assert wait_for_host(lambda: next(answers), pauses.append) == "internal-1.elb"
    assert len(pauses) == 2


def test_it_does_not_wait_for_ever() -> None:
    """Without a load balancer it ends with what to look at."""
    with pytest.raises(TimeoutError, match="kubectl describe ingress/glossa"):
        wait_for_host(lambda: "", lambda _: None, within_s=30.0)


def test_the_record_is_removed_as_it_stands() -> None:
    """Route 53 deletes a record only when it is named in whole. Names there end with a dot."""
    record = {"Name": "replicas.example.com.", "Type": "A", "AliasTarget": {"DNSName": "internal-1.elb"}}
    names = FakeNames(record)
    assert remove(names, "Z1", "replicas.example.com")
    (asked,) = names.asked
    assert asked == {
        "HostedZoneId": "Z1",
        "ChangeBatch": {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]},
    }


@pytest.mark.parametrize(("name", "kind"), [("replicas.example.com.", "AAAA"), ("z.example.com.", "A")])
def test_only_our_record_is_removed(name: str, kind: str) -> None:
    """The list begins at our name, so another record comes first when ours is gone."""
    names = FakeNames({"Name": name, "Type": kind})
    assert not remove(names, "Z1", "replicas.example.com")
    assert names.asked == []
