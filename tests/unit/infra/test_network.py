"""The network: the way of a request, that no other way is open, and that AWS services can be reached from inside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.unit.infra.stacks import INFRA, OURS, PLATFORMS, parse, resources, stack, text
from tests.unit.template import Values, listed, statements

GROUPS = ("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
NONE = ("out", "none", "127.0.0.1/32")  # stands in a group that may open no connection
# Every rule of every stack: (direction, ports, the other side)
RULES = {
    "network": {
        ("FunctionsSecurityGroup", "out", "443", "LoadBalancerSecurityGroup"),
        ("FunctionsSecurityGroup", "out", "443", "EndpointsSecurityGroup"),
        ("FunctionsSecurityGroup", "out", "443", "S3PrefixListId"),
        ("FunctionsSecurityGroup", "out", "443", "DynamoDbPrefixListId"),
        ("LoadBalancerSecurityGroup", "in", "443", "FunctionsSecurityGroup"),
        ("LoadBalancerSecurityGroup", "out", "8000", "ReplicasSecurityGroup"),
        ("ReplicasSecurityGroup", "in", "8000", "LoadBalancerSecurityGroup"),
        ("ReplicasSecurityGroup", "out", "443", "EndpointsSecurityGroup"),
        ("ReplicasSecurityGroup", "out", "443", "S3PrefixListId"),
        ("EndpointsSecurityGroup", "in", "443", "FunctionsSecurityGroup"),
        ("EndpointsSecurityGroup", "in", "443", "ReplicasSecurityGroup"),
        ("EndpointsSecurityGroup", *NONE),
    },
    "cluster": {
        ("EndpointsSecurityGroupId", "in", "443", "Cluster.ClusterSecurityGroupId"),
        ("Cluster.ClusterSecurityGroupId", "in", "8000", "LoadBalancerSecurityGroupId"),
        ("LoadBalancerSecurityGroupId", "out", "8000", "Cluster.ClusterSecurityGroupId"),
        ("Cluster.ClusterSecurityGroupId", "in", "443", "AdminCidr"),  # only where it is given
        ("RedisSecurityGroup", "in", "6379", "Cluster.ClusterSecurityGroupId"),
        ("RedisSecurityGroup", *NONE),
    },
}
OTHER_SIDE = (
    "SourceSecurityGroupId",
    "DestinationSecurityGroupId",
    "DestinationPrefixListId",
    "CidrIp",
)
# Services that a role of a function may call, and that no endpoint is needed for.
NEEDS_NONE = {
    "logs": "Lambda writes the log of a function itself",
    "xray": "Lambda sends the traces of a function itself",
    "ec2": "Lambda makes the network interfaces of a function itself",
    "kms": "S3, SQS, DynamoDB and Secrets Manager decrypt on behalf of the caller",
}
ENDPOINT_OF = {"s3": "s3", "dynamodb": "dynamodb", "sqs": "sqs", "secretsmanager": "secretsmanager", "logs": "logs"} | {
    "ecr": "ecr.api", "cloudformation": "cloudformation", "ssm": "ssm", "ssmmessages": "ssmmessages",
}  # fmt: skip
ROLES = {"instances": "InstanceRole", "cluster": "ReplicaRole"}


def rules(template: Values) -> Iterator[tuple[str, str, str, str]]:
    """Yield (group, direction, port, other side) for each rule of a security group in a template."""
    for name, made in resources(template, *GROUPS).items():
        facts = made["Properties"]
        group = text(facts.get("GroupId", {"Ref": name})).strip("${}")
        ways = {"in": facts.get("SecurityGroupIngress", []), "out": facts.get("SecurityGroupEgress", [])}
        if "GroupId" in facts:
            ways = {"in" if made["Type"].endswith("Ingress") else "out": [facts]}
        for direction, found in ways.items():
            for rule in found:
                yield group, direction, _port(rule), _other_side(rule)


def _port(rule: Values) -> str:
    if rule["IpProtocol"] == "-1":
        return "none" if rule.get("CidrIp") == "127.0.0.1/32" else "all"
    first, last = rule["FromPort"], rule["ToPort"]
    return str(first) if first == last and rule["IpProtocol"] == "tcp" else f"{rule['IpProtocol']} {first}-{last}"


def _other_side(rule: Values) -> str:
    (found,) = [text(rule[key]).strip("${}") for key in OTHER_SIDE if key in rule]
    return found


def endpoints(template: Values) -> dict[str, dict[str, Any]]:
    """Return the endpoints of a template by the name of their service."""
    found = resources(template, "AWS::EC2::VPCEndpoint").values()
    return {text(made["Properties"]["ServiceName"]).partition("${AWS::Region}.")[2]: made for made in found}


def unreachable(actions: set[str], reached: Mapping[str, Values], exempt: Mapping[str, str]) -> set[str]:
    """Return the actions that no endpoint takes, or that the policy of the endpoint refuses."""
    lost = set()
    for action in actions:
        service = action.partition(":")[0]
        if service in exempt:
            continue
        made = reached.get(ENDPOINT_OF.get(service, service))
        if made is None or action not in _allowed(made):
            lost.add(action)
    return lost


def _allowed(endpoint: Values) -> set[str]:
    found = endpoint["Properties"]["PolicyDocument"]["Statement"]
    return {action for statement in found for action in listed(statement["Action"])}


def _actions(role: Values) -> set[str]:
    """Return every action that the policies of a role allow, conditional ones included."""
    return {
        action
        for statement in _flat(statements({"Policies": list(_policies(role))}))
        for action in (listed(statement["Action"]) if statement["Effect"] == "Allow" else [])
    }


def _policies(role: Values) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from (
            (each for each in policy["Fn::If"][1:] if "PolicyDocument" in each) if "Fn::If" in policy else [policy]
        )


def _flat(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield statements, and those inside an If."""
    for statement in found:
        inner = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
        yield from (each for each in inner if "Effect" in each)


@pytest.mark.parametrize("name", OURS)
def test_the_rules_of_security_groups_are_exactly_these(name: str) -> None:
    """Each rule is on the list above, and each of the list is there."""
    assert set(rules(stack(name))) == RULES.get(name, set())


def test_an_open_rule_is_found() -> None:
    """Negative case: a range of ports, another protocol and an address are shown as what they are."""
    template = parse(
        "Resources: {Open: {Type: 'AWS::EC2::SecurityGroup', Properties: {SecurityGroupIngress: ["
        "{IpProtocol: '-1', CidrIp: 0.0.0.0/0}, {IpProtocol: udp, FromPort: 1, ToPort: 9, CidrIp: 10.0.0.0/8}]}}}"
    )
    assert list(rules(template)) == [("Open", "in", "all", "0.0.0.0/0"), ("Open", "in", "udp 1-9", "10.0.0.0/8")]


def ways_out(template: Values) -> list[str]:
    """Return gateways, routes, public addresses and load balancers that face the internet."""
    kinds = sorted({made["Type"] for made in template["Resources"].values()})
    written = json.dumps(template)
    public = ("internet-facing", '"MapPublicIpOnLaunch": true', '"AssociatePublicIpAddress": true')
    ends = ("Gateway", "::Route", "::EIP", "GatewayAttachment")
    return [kind for kind in kinds if kind.endswith(ends)] + [each for each in public if each in written]


@pytest.mark.parametrize("name", OURS)
def test_nothing_leads_to_the_internet(name: str) -> None:
    """No stack has a gateway, a route, a public address or a load balancer that faces the internet."""
    assert ways_out(stack(name)) == []


def test_a_way_out_is_found() -> None:
    """Negative case: a gateway for addresses, and a subnet that gives public ones."""
    subnet = {"Type": "AWS::EC2::Subnet", "Properties": {"MapPublicIpOnLaunch": True}}
    template = {"Resources": {"Nat": {"Type": "AWS::EC2::NatGateway"}, "Subnet": subnet}}
    assert ways_out(template) == ["AWS::EC2::NatGateway", '"MapPublicIpOnLaunch": true']


def test_functions_in_the_network_reach_what_their_roles_allow() -> None:
    """An endpoint always stands there for each action that a function in the VPC may call, and its policy allows it."""
    reached = {name: made for name, made in endpoints(stack("network")).items() if "Condition" not in made}
    functions = resources(stack("service"), "AWS::Serverless::Function")
    inside = {name: made for name, made in functions.items() if "VpcConfig" in made["Properties"]}
    assert set(inside) == {"InferFunction", "WorkFunction"}
    for name in inside:
        role = stack("service")["Resources"][name.replace("Function", "Role")]["Properties"]
        assert unreachable(_actions(role), reached, NEEDS_NONE) == set(), name


def test_the_collector_reaches_what_its_role_allows() -> None:
    """Its log has an endpoint on a cluster with the defaults, and the policy there covers its log group."""
    made = stack("cluster")["Resources"]
    reached = {name: one for name, one in endpoints(stack("network")).items() if not one.get("Condition")}
    assert unreachable(_actions(made["CollectorRole"]["Properties"]), reached, {}) == set()
    (statement,) = reached["logs"]["Properties"]["PolicyDocument"]["Statement"]
    assert text(statement["Resource"]).endswith(":log-group:/${NamePrefix}/*")
    assert text(made["CollectorLogGroup"]["Properties"]["LogGroupName"]).startswith("/${NamePrefix}/")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_model_servers_reach_what_their_roles_allow(platform: str) -> None:
    """For each action that a model server may call, an endpoint stands on its platform, and its policy allows it."""
    role = stack(platform)["Resources"][ROLES[platform]]["Properties"]
    wanted = {"OnCluster", None} if platform == "cluster" else {"OnInstances", "OpensSessions", None}
    reached = {name: made for name, made in endpoints(stack("network")).items() if made.get("Condition") in wanted}
    assert unreachable(_actions(role), reached, {"kms": NEEDS_NONE["kms"]}) == set()


def test_nodes_of_the_cluster_reach_what_they_need() -> None:
    """A private cluster needs these endpoints besides S3, and Pod Identity needs eks-auth."""
    reached = {
        name for name, made in endpoints(stack("network")).items() if made.get("Condition") in (None, "OnCluster")
    }
    assert {"ecr.api", "ecr.dkr", "s3", "ec2", "sts", "eks-auth"} <= reached
    more = {name for name, made in endpoints(stack("network")).items() if made.get("Condition") == "OpensMoreForNodes"}
    assert more == {"eks", "elasticloadbalancing"}  # a way forward without a change of the template


@pytest.mark.parametrize(
    ("platform", "conditions", "n_paid"),
    [("instances", {"OnInstances"}, 6), ("cluster", {"OnCluster"}, 8)],
)
def test_the_page_counts_the_endpoints_that_are_paid(platform: str, conditions: set[str], n_paid: int) -> None:
    """infra/README.md says how many interface endpoints a platform has with the defaults."""
    found = resources(stack("network"), "AWS::EC2::VPCEndpoint").values()
    paid = [made for made in found if made["Properties"]["VpcEndpointType"] == "Interface"]
    assert len([made for made in paid if made.get("Condition") in {None, *conditions}]) == n_paid
    assert re.search(rf"`{platform}` (has )?{n_paid}\b", (INFRA / "README.md").read_text(encoding="utf-8"))


def test_an_action_without_a_way_is_found() -> None:
    """Negative case: a service without an endpoint, and an action that the endpoint's policy refuses."""
    queue = {"Properties": {"PolicyDocument": {"Statement": [{"Action": ["sqs:SendMessage"]}]}}}
    actions = {"sqs:SendMessage", "sqs:PurgeQueue", "sns:Publish", "xray:PutTraceSegments"}
    assert unreachable(actions, {"sqs": queue}, {"xray": "a reason"}) == {"sqs:PurgeQueue", "sns:Publish"}


def test_every_endpoint_has_a_policy_where_its_service_takes_one() -> None:
    """Without a policy, an endpoint would carry requests to every account. EKS takes none."""
    open_to_all = {
        name for name, made in endpoints(stack("network")).items() if "PolicyDocument" not in made["Properties"]
    }
    assert open_to_all == {"eks-auth", "eks"}
    for name, made in endpoints(stack("network")).items():
        for statement in made["Properties"].get("PolicyDocument", {}).get("Statement", []):
            own = statement.get("Condition", {}).get("StringEquals", {}).get("aws:PrincipalAccount")
            layers = "starport-layer-bucket" in text(statement["Resource"])  # ECR signs these requests itself
            assert own == {"Ref": "AWS::AccountId"} or layers, name
