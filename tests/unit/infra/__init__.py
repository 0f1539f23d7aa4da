"""Tests of the CloudFormation stacks in infra/ and of the gates over them."""
