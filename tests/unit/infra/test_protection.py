"""What protects stored data and the model servers: keys, tags, deletion, TLS, time limits."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator

import pytest

from serve.deployment_options import DRAIN_S, KEEP_ALIVE_S
from tests.unit.infra.stacks import OURS, parse, path, resources, stack, text
from tests.unit.template import Values, walk

OUR_KEY = "a key of ours"
# type: where its key stands in the properties
KEYS = {
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::ElastiCache::ReplicationGroup": ("KmsKeyId",),
    "AWS::ECR::Repository": ("EncryptionConfiguration", "KmsKey"),
    "AWS::EKS::Cluster": ("EncryptionConfig", 0, "Provider", "KeyArn"),
    "AWS::S3::Bucket": (
        "BucketEncryption", "ServerSideEncryptionConfiguration", 0, "ServerSideEncryptionByDefault", "KMSMasterKeyID",
    ),
}  # fmt: skip
WITHOUT_KEY = {("weights", "LogBucket"): "S3 and load balancers deliver logs only to a bucket with the key of S3"}
KEPT = ("AWS::S3::Bucket", "AWS::KMS::Key")
# Types that take no tags of their own.
UNTAGGED = {
    "AWS::KMS::Alias", "AWS::S3::BucketPolicy", "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress", "AWS::Route53::RecordSet",
    "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription", "AWS::Lambda::Permission", "AWS::Budgets::Budget",
    "AWS::CloudWatch::Dashboard", "AWS::IAM::InstanceProfile", "AWS::AutoScaling::ScalingPolicy",
    "AWS::ElasticLoadBalancingV2::Listener",
}  # fmt: skip


def unencrypted(template: Values) -> list[str]:
    """Return the resources that store something without a key of ours."""
    found = resources(template, *KEYS)
    return [name for name, made in found.items() if not _at(made.get("Properties", {}), KEYS[made["Type"]])]


def _at(value: object, steps: tuple[str | int, ...]) -> object:
    for step in steps:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            return None
    return value


def untagged(template: Values) -> list[str]:
    """Return the resources that do not carry the tag `service: glossa`, though their type takes tags."""
    return [
        name
        for name, made in template["Resources"].items()
        if made["Type"] not in UNTAGGED and not any(_is_tag(value) for value in walk(made.get("Properties", {})))
    ]


def _is_tag(value: object) -> bool:
    return isinstance(value, dict) and (value.get("Key"), value.get("Value")) == ("service", "glossa")


def lost_with_its_stack(template: Values) -> list[str]:
    """Return the buckets and keys that go when their stack is deleted, or when they are replaced."""
    wanted = ("RetainExceptOnCreate", "Retain")
    found = resources(template, *KEPT)
    return [name for name, m in found.items() if (m.get("DeletionPolicy"), m.get("UpdateReplacePolicy")) != wanted]


BAD = parse("""
Resources:
  Bucket: {Type: AWS::S3::Bucket, DeletionPolicy: Delete, Properties: {Tags: [{Key: service, Value: other}]}}
""")


@pytest.mark.parametrize("name", OURS)
def test_everything_stored_has_a_key_of_ours(name: str) -> None:
    """Buckets, logs, secrets, images, Redis and Kubernetes secrets are encrypted with keys of these stacks."""
    assert unencrypted(stack(name)) == [made for where, made in WITHOUT_KEY if where == name]


@pytest.mark.parametrize("name", OURS)
def test_everything_is_tagged(name: str) -> None:
    """Each resource whose type takes tags has the tag by which costs are found."""
    assert untagged(stack(name)) == []


@pytest.mark.parametrize("name", OURS)
def test_data_outlives_its_stack(name: str) -> None:
    """A bucket or a key is never deleted with its stack. Every key changes its material each year."""
    assert lost_with_its_stack(stack(name)) == []
    assert all(key["Properties"]["EnableKeyRotation"] for key in resources(stack(name), "AWS::KMS::Key").values())


def test_faults_are_found() -> None:
    """Negative case: a bucket without a key, without our tag, and deleted with its stack."""
    assert unencrypted(BAD) == untagged(BAD) == lost_with_its_stack(BAD) == ["Bucket"]


def test_buckets_refuse_plain_http_and_the_public() -> None:
    """Each bucket is closed to the public, keeps old versions, and refuses unencrypted transport."""
    buckets = resources(stack("weights"), "AWS::S3::Bucket")
    guarded = {text(p["Properties"]["Bucket"]) for p in resources(stack("weights"), "AWS::S3::BucketPolicy").values()}
    assert guarded == {f"${{{name}}}" for name in buckets}
    for policy in resources(stack("weights"), "AWS::S3::BucketPolicy").values():
        first = policy["Properties"]["PolicyDocument"]["Statement"][0]
        assert (first["Effect"], first["Action"], first["Principal"]) == ("Deny", "s3:*", "*")
        assert first["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for made in buckets.values():
        assert set(made["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert made["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


def test_redis_takes_tls_and_a_password_and_survives_a_zone() -> None:
    """Redis for the head of Ray has two nodes in two zones."""
    redis = stack("cluster")["Resources"]["Redis"]["Properties"]
    assert redis["TransitEncryptionEnabled"]
    assert redis["AtRestEncryptionEnabled"]
    assert redis["MultiAZEnabled"]
    assert redis["AutomaticFailoverEnabled"]
    assert text(redis["AuthToken"]) == "{{resolve:secretsmanager:${RedisSecret}:SecretString:password}}"
    assert text(stack("cluster")["Outputs"]["RedisAddress"]["Value"]).startswith("rediss://")


def test_no_value_of_a_secret_stands_in_a_template() -> None:
    """The call keys are written later, and the password of Redis is generated."""
    for name in ("cluster", "instances"):
        assert "SecretString" not in stack(name)["Resources"]["CallKeysSecret"]["Properties"]
        assert "GenerateSecretString" not in stack(name)["Resources"]["CallKeysSecret"]["Properties"]
    assert "SecretString" not in stack("cluster")["Resources"]["RedisSecret"]["Properties"]


def test_the_cluster_is_closed_by_default() -> None:
    """The Kubernetes API is private unless addresses are given, its secrets are encrypted, and it logs everything."""
    facts = stack("cluster")["Resources"]["Cluster"]["Properties"]
    network = facts["ResourcesVpcConfig"]
    assert network["EndpointPrivateAccess"] is True
    assert network["EndpointPublicAccess"] == {"Fn::If": ["IsPublic", True, False]}
    assert stack("cluster")["Parameters"]["PublicAccessCidrs"]["Default"] == ""
    assert facts["AccessConfig"] == {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": False}
    kinds = {each["Type"] for each in facts["Logging"]["ClusterLogging"]["EnabledTypes"]}
    assert kinds == {"api", "audit", "authenticator", "controllerManager", "scheduler"}


def _attributes(name: str, key: str) -> dict[str, object]:
    return {each["Key"]: each["Value"] for each in stack("instances")["Resources"][name]["Properties"][key]}


def test_time_limits_of_the_load_balancer_fit_those_of_a_model_server() -> None:
    """The load balancer ends idle connections first, and lets a leaving server finish what it drains."""
    idle_s = int(str(_attributes("LoadBalancer", "LoadBalancerAttributes")["idle_timeout.timeout_seconds"]))
    assert idle_s < KEEP_ALIVE_S
    drain = stack("instances")["Parameters"]["DrainSeconds"]
    assert drain["MinValue"] >= DRAIN_S
    user_data = _user_data()
    stop_s = int(user_data.partition("docker stop --time ")[2].split()[0])
    assert DRAIN_S < stop_s < int(user_data.partition("TimeoutStopSec=")[2].split()[0])


def test_instances_answer_https_and_are_asked_whether_they_are_ready() -> None:
    """The load balancer is internal, speaks TLS alone, and sends requests to servers that say they are ready."""
    made = stack("instances")["Resources"]
    assert made["LoadBalancer"]["Properties"]["Scheme"] == "internal"
    assert {
        each["Properties"]["Protocol"] for each in resources(stack("instances"), made["Listener"]["Type"]).values()
    } == {"HTTPS"}
    assert made["TargetGroup"]["Properties"]["HealthCheckPath"] == "/v2/health/ready"
    assert made["Group"]["Properties"]["HealthCheckType"] == "ELB"
    update = made["Group"]["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (update["MinInstancesInService"], update["WaitOnResourceSignals"]) == ({"Ref": "MinInstances"}, True)
    assert stack("instances")["Parameters"]["MinInstances"]["Default"] >= 2


def test_an_instance_gives_credentials_only_with_a_token_and_over_one_hop() -> None:
    """The metadata service answers version 2 alone, volumes are encrypted, and no address is public."""
    data = stack("instances")["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    assert all(each["Ebs"]["Encrypted"] for each in data["BlockDeviceMappings"])
    assert all(each["AssociatePublicIpAddress"] is False for each in data["NetworkInterfaces"])


def _user_data() -> str:
    data = stack("instances")["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    return str(data["Fn::Base64"]["Fn::Sub"][0])


def _scripts(user_data: str) -> Iterator[str]:
    """Yield the whole script, and each script that it writes."""
    yield user_data
    for part in user_data.split("<<'SCRIPT'\n")[1:]:
        yield part.partition("\nSCRIPT\n")[0]


def test_the_scripts_of_an_instance_are_valid_and_small_enough() -> None:
    """Bash can read the user data and each script in it, and EC2 takes at most 16 KiB of it."""
    for script in (*_scripts(_user_data()), "if true"):
        read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (read.returncode == 0) == (script != "if true"), read.stderr
    assert len(base64.b64encode(_user_data().encode())) < 16 * 1024


def test_a_model_server_runs_closed_and_its_keys_stay_in_memory() -> None:
    """The container has a read-only root, no rights of root, and sized scratch space. Keys are under /run alone."""
    user_data = _user_data()
    for option in (
        "--read-only", "--user 10001:10001", "--cap-drop ALL", "--security-opt no-new-privileges", "--shm-size",
        "--tmpfs /tmp:size=", "--env GLOSSA_CALL_KEYS_FILE=/etc/glossa/call-keys/keys.json",
        "--volume /run/glossa/call-keys:/etc/glossa/call-keys:ro",
    ):  # fmt: skip
        assert option in user_data, option
    written = [line.rpartition("> ")[2].split()[0] for line in user_data.splitlines() if "SecretString" in line]
    assert written == ["$fresh"]
    assert "fresh=$(mktemp /run/glossa/fresh.XXXXXX)" in user_data


def test_references_in_the_user_data_are_known() -> None:
    """Every `${Name}` is a parameter, a resource, a pseudo parameter or a value beside the script."""
    beside = stack("instances")["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    known = {*stack("instances")["Parameters"], *stack("instances")["Resources"], *beside["Fn::Base64"]["Fn::Sub"][1]}
    names = {part.partition("}")[0] for part in _user_data().split("${")[1:]}
    assert {name for name in names if not name.startswith("AWS::")} <= known
    assert path("instances").read_text(encoding="utf-8").count("UserData:") == 1
