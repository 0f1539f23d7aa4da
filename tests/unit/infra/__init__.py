"""Tests of the CloudFormation stacks in infra/, of the gates over them, and of the image."""
