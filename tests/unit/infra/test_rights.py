"""Who may do what in the stacks: no statement names everything, except those on a list with a reason each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.infra.stacks import OURS, parse, policies, resources, stack, text
from tests.unit.template import Values, listed, walk

OWN_KEY = "in the policy of a key, * is the key itself"
NO_RESOURCE = "these actions take no resource; the condition or the endpoint's own group limits them"
TAGS = "the conditions limit it to what EKS tags with the name of its cluster; the EKS guide gives these statements"
TAGGED_BY_EKS = (
    "ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate", "ec2:CreateNetworkInterface",
    "ec2:CreateSecurityGroup", "elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup",
    "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateRule",
)  # fmt: skip
# (stack, logical id, action): why its resource, its action or its principal is a *
WIDE = {
    ("weights", "WeightsKey", "kms:*"): f"{OWN_KEY}; as in every default policy, the roles of the account decide",
    ("network", "LogKey", "kms:*"): f"{OWN_KEY}; as in every default policy, the roles of the account decide",
    ("cluster", "ClusterKey", "kms:*"): f"{OWN_KEY}; as in every default policy, the roles of the account decide",
    ("instances", "SecretsKey", "kms:*"): f"{OWN_KEY}; as in every default policy, the roles of the account decide",
    ("observability", "AlarmKey", "kms:*"): f"{OWN_KEY}; as in every default policy, the roles of the account decide",
    (
        "observability",
        "AlarmKey",
        "kms:use",
    ): f"{OWN_KEY}; conditions name this account, and our log group",
    ("observability", "CanaryRole", "xray"): NO_RESOURCE,
    ("cluster", "ClusterKey", "kms:Decrypt"): f"{OWN_KEY}; two conditions limit it to Secrets Manager in this account",
    (
        "instances",
        "SecretsKey",
        "kms:Decrypt",
    ): f"{OWN_KEY}; two conditions limit it to Secrets Manager in this account",
    **{("cluster", "ClusterRole", action): TAGS for action in TAGGED_BY_EKS},
    ("instances", "InstanceRole", "ecr:GetAuthorizationToken"): "the login to ECR names no repository",
    ("instances", "InstanceRole", "ssm:UpdateInstanceInformation"): NO_RESOURCE,
    ("instances", "InstanceRole", "ssmmessages:*Channel"): NO_RESOURCE,
    ("network", "LogKey", "kms:use"): f"{OWN_KEY}; the condition names our log groups",
    (
        "network",
        "EcrApiEndpoint",
        "ecr",
    ): "images of EKS add-ons are in registries of AWS; the condition names this account",
    (
        "network",
        "EcrDockerEndpoint",
        "ecr",
    ): "images of EKS add-ons are in registries of AWS; the condition names this account",
    ("network", "Ec2Endpoint", "ec2:Describe"): NO_RESOURCE,
    ("network", "StsEndpoint", "sts"): NO_RESOURCE,
    ("network", "LoadBalancingEndpoint", "elasticloadbalancing:Describe"): NO_RESOURCE,
    ("network", "MonitoringEndpoint", "cloudwatch"): NO_RESOURCE,
    ("network", "XrayEndpoint", "xray"): NO_RESOURCE,
    ("network", "SsmEndpoint", "ssm"): NO_RESOURCE,
    ("network", "SsmMessagesEndpoint", "ssmmessages"): NO_RESOURCE,
}
MANAGED = {
    "AmazonEKSClusterPolicy": "EKS asks for it in Auto Mode",
    "AmazonEKSComputePolicy": "EKS asks for it in Auto Mode",
    "AmazonEKSBlockStoragePolicy": "EKS asks for it in Auto Mode",
    "AmazonEKSLoadBalancingPolicy": "EKS asks for it in Auto Mode",
    "AmazonEKSNetworkingPolicy": "EKS asks for it in Auto Mode",
    "AmazonEKSWorkerNodeMinimalPolicy": "a node may fetch the credentials of its pods, and nothing else",
    "AmazonEC2ContainerRegistryPullOnly": "a node pulls images of EKS from registries of AWS",
}


def wide(template: Values) -> Iterator[tuple[str, str]]:
    """Yield logical id and action of each statement that allows a * as action, resource or principal.

    In the policy of an endpoint every principal is a *, since IAM decides who they are.
    """
    for name, statement in policies(template):
        endpoint = template["Resources"][name]["Type"] == "AWS::EC2::VPCEndpoint"
        everyone = not endpoint and "*" in [statement.get("Principal"), *_principals(statement)]
        for action in listed(statement["Action"]) if statement["Effect"] == "Allow" else []:
            if everyone or "*" in action or "*" in listed(statement.get("Resource", [])):
                yield name, action


def _principals(statement: Values) -> list[object]:
    principal = statement.get("Principal")
    return [each for value in principal.values() for each in listed(value)] if isinstance(principal, dict) else []


def _registered(name: str, made: str, action: str) -> list[tuple[str, str, str]]:
    """Return the entries of the list above that a statement needs."""
    groups = {"kms:use": r"kms:(?!\*|Decrypt$|Create).*|kms:Decrypt", "ssmmessages:*Channel": r"ssmmessages:\w+Channel"}
    return [
        entry for entry in WIDE
        if entry[:2] == (name, made) and re.fullmatch(groups.get(entry[2], re.escape(entry[2]) + r"(:?\w+)?"), action)
    ]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_no_statement_names_everything_without_a_reason(name: str) -> None:
    """Each statement with a * is on the list above, and each of the list is still needed."""
    needed = set()
    for made, action in wide(stack(name)):
        entries = _registered(name, made, action)
        assert entries, f"{made} allows {action} on everything, or to everyone"
        needed.update(entries)
    assert needed == {entry for entry in WIDE if entry[0] == name}


def test_a_statement_that_names_everything_is_found() -> None:
    """Negative case: a * as action, as resource and as principal. A statement that denies may name everything."""
    template = parse("""
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyDocument:
            Statement:
              - {Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::bucket"}
              - {Effect: Allow, Action: ["s3:GetObject"], Resource: "*"}
              - {Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:s3:::bucket/models/*"}
              - {Effect: Deny, Action: "s3:*", Resource: "*"}
  Policy:
    Type: AWS::S3::BucketPolicy
    Properties:
      PolicyDocument:
        Statement: [{Effect: Allow, Principal: {AWS: "*"}, Action: "s3:PutObject", Resource: "arn:aws:s3:::bucket/x"}]
""")
    assert list(wide(template)) == [("Role", "s3:*"), ("Role", "s3:GetObject"), ("Policy", "s3:PutObject")]


def test_managed_policies_are_the_listed_ones() -> None:
    """Only policies of AWS with a written reason are attached, and every one of them is still needed."""
    attached = set()
    for name in OURS:
        for role in resources(stack(name), "AWS::IAM::Role").values():
            attached |= {text(arn).rpartition("/")[2] for arn in role["Properties"].get("ManagedPolicyArns", [])}
    assert attached == set(MANAGED)


@pytest.mark.parametrize(
    ("name", "role", "more"),
    [
        ("cluster", "ReplicaRole", set()),
        (
            "instances",
            "InstanceRole",
            {
                "secretsmanager:GetSecretValue", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer", "ecr:GetAuthorizationToken", "logs:CreateLogStream", "logs:PutLogEvents",
                "cloudformation:SignalResource",
            },
        ),
    ],
)  # fmt: skip
def test_a_model_server_reads_checkpoints_and_writes_nothing_but_logs(name: str, role: str, more: set[str]) -> None:
    """Its role lists and reads what is under models/, decrypts it through S3, and has no right but those named here."""
    found = stack(name)["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert {action for s in found for action in listed(s["Action"])} == {
        "s3:GetObject",
        "s3:ListBucket",
        "kms:Decrypt",
    } | more
    for statement in found:
        if "s3:GetObject" in listed(statement["Action"]):
            folders = {
                text(resource).rpartition("${WeightsBucketName}/")[2] for resource in listed(statement["Resource"])
            }
            assert folders <= {"models/*", "catalogs/*"}
        if "s3:ListBucket" in listed(statement["Action"]):
            assert statement["Condition"]["StringLike"] == {"s3:prefix": "models/*"}
        if "kms:Decrypt" in listed(statement["Action"]):
            assert statement["Resource"] == {"Ref": "WeightsKeyArn"}
            assert "s3." in text(statement["Condition"]["StringEquals"]["kms:ViaService"])


def test_one_service_account_of_one_cluster_takes_the_identity_of_replicas() -> None:
    """The trust of the role names cluster, namespace and service account, and the association names the same."""
    role = stack("cluster")["Resources"]["ReplicaRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": {"Fn::GetAtt": ["Cluster", "Arn"]},
        "aws:RequestTag/kubernetes-namespace": "glossa",
        "aws:RequestTag/kubernetes-service-account": "glossa-replica",
    }
    identity = stack("cluster")["Resources"]["ReplicaIdentity"]["Properties"]
    assert (identity["Namespace"], identity["ServiceAccount"]) == ("glossa", "glossa-replica")


def test_an_exemption_from_cfn_lint_stands_beside_its_reason() -> None:
    """No stack turns a check of cfn-lint off."""
    for name in OURS:
        assert not [value for value in walk(stack(name).get("Metadata", {})) if value == "ignore_checks"]
        assert "cfn-lint" not in stack(name).get("Metadata", {})
