"""Asks an AWS account what a deployment must know: who we are, quotas, and what its stacks give. It changes nothing.

Must not know steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Account(Protocol):
    """What a deployment asks of an account."""

    def account_id(self) -> str | None:
        """Return the number of the account, None without credentials that work."""
        ...

    def quota(self, name: str) -> float | None:
        """Return the EC2 quota of this name, None when it cannot be read."""
        ...

    def concurrency(self) -> int | None:
        """Return how many executions of Lambda may run at once, None when it cannot be read."""
        ...

    def can_assume(self, role_arn: str) -> bool:
        """Return whether the caller can take this role."""
        ...

    def prefix_lists(self) -> Mapping[str, str]:
        """Return the id of each prefix list in PREFIX_LISTS, by the parameter that takes it."""
        ...

    def parameters(self, stack_name: str) -> Mapping[str, str]:
        """Return the parameters of a stack. Raises LookupError when there is no such stack, and the errors of boto3."""
        ...

    def outputs(self, stack_name: str) -> Mapping[str, str]:
        """Return the outputs of a stack. Raises LookupError when there is no such stack, and the errors of boto3."""
        ...


# The prefix lists that AWS keeps of its services, and the parameters of the network that take their ids.
PREFIX_LISTS = {"S3PrefixListId": "s3", "DynamoDbPrefixListId": "dynamodb"}
ACCOUNT_FACTS = (*PREFIX_LISTS, "AccountConcurrency")  # the parameters that the account itself fills


def account_facts(account: Account) -> dict[str, str]:
    """Return the values of ACCOUNT_FACTS; one that cannot be read is left out."""
    limit = account.concurrency()
    return {**account.prefix_lists(), **({} if limit is None else {"AccountConcurrency": str(limit)})}


SESSION_S = 900  # the shortest session that STS gives: DurationSeconds in STS/latest/APIReference/API_AssumeRole


def is_absence(answer: Mapping[str, Any]) -> bool:
    """Return whether CloudFormation's refusal says that a stack does not exist. Any other leaves that open."""
    error = answer.get("Error", {})
    return error.get("Code") == "ValidationError" and "does not exist" in str(error.get("Message"))


class AwsAccount:
    """The account that the caller's credentials belong to, in one region. Clients are made when they are needed."""

    def __init__(self, region: str) -> None:
        self._region = region

    def account_id(self) -> str | None:
        """Return the number of the account, None without credentials that work."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

        try:
            return str(self._client("sts").get_caller_identity()["Account"])
        except (BotoCoreError, ClientError):
            return None

    def quota(self, name: str) -> float | None:
        """Return the EC2 quota of this name, None when it cannot be read."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

        try:
            for page in self._client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="ec2"):
                for quota in page["Quotas"]:
                    if quota["QuotaName"] == name:
                        return float(quota["Value"])
        except (BotoCoreError, ClientError):
            return None
        return None

    def concurrency(self) -> int | None:
        """Return how many executions of Lambda may run at once, None when it cannot be read."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

        try:
            return int(self._client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
        except (BotoCoreError, ClientError):
            return None

    def can_assume(self, role_arn: str) -> bool:
        """Return whether the caller can take this role: a session of the shortest time is asked for, and not used."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

        try:
            self._client("sts").assume_role(
                RoleArn=role_arn, RoleSessionName="glossa-preflight", DurationSeconds=SESSION_S
            )
        except (BotoCoreError, ClientError):
            return False
        return True

    def prefix_lists(self) -> Mapping[str, str]:
        """Return the id of each prefix list in PREFIX_LISTS, by the parameter that takes it. Raises LookupError."""
        names = {f"com.amazonaws.{self._region}.{service}": name for name, service in PREFIX_LISTS.items()}
        filters = [{"Name": "prefix-list-name", "Values": list(names)}]
        found = self._client("ec2").describe_managed_prefix_lists(Filters=filters)["PrefixLists"]
        ids = {names[each["PrefixListName"]]: str(each["PrefixListId"]) for each in found}
        if len(ids) != len(names):
            raise LookupError(f"got prefix lists for {sorted(ids)} in {self._region}, expected {sorted(PREFIX_LISTS)}")
        return ids

    def outputs(self, stack_name: str) -> Mapping[str, str]:
        """Return the outputs of a stack. Raises LookupError when there is no such stack, and the errors of boto3."""
        found = self._stack(stack_name).get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def parameters(self, stack_name: str) -> Mapping[str, str]:
        """Return the parameters of a stack. Raises LookupError when there is no such stack, and the errors of boto3."""
        found = self._stack(stack_name).get("Parameters", [])
        return {given["ParameterKey"]: given["ParameterValue"] for given in found}

    def _stack(self, stack_name: str) -> Mapping[str, Any]:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - slow, as boto3 is

        try:
            (stack,) = self._client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        except ClientError as error:
            if not is_absence(error.response):  # such as expired credentials, which say nothing of the stack
                raise
            raise LookupError(f"there is no stack {stack_name} in {self._region}: {error}") from None
        return dict(stack)

    def _client(self, service: str) -> Any:
        import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need

        return boto3.client(service, region_name=self._region)
