"""Checks what is read of a template, and how stacks are linked by names."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.deployment.templates import Template, link, read_template

TEXT = """
Parameters:
  VpcId: {Type: String}
  Count: {Type: Number, Default: 2}
  Bucket: {Type: String, Default: ""}
Resources:
  Thing: {Type: "AWS::X::Y", Properties: {A: !Ref VpcId, B: !If [C, !Sub "${VpcId}", !GetAtt Thing.Arn]}}
Outputs:
  ThingArn: {Value: !GetAtt Thing.Arn}
"""


def template(tmp_path: Path, text: str = TEXT) -> Template:
    """Write a template as infra/network.yaml and read it."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "network.yaml").write_text(text, encoding="utf-8")
    return read_template(tmp_path, "network")


def test_parameters_defaults_and_outputs_are_read(tmp_path: Path) -> None:
    """CloudFormation's own tags do not hinder."""
    read = template(tmp_path)
    assert read.parameters == {"VpcId": None, "Count": "2", "Bucket": ""}
    assert read.outputs == {"ThingArn"}


def test_a_file_without_resources_is_no_template(tmp_path: Path) -> None:
    """A file that is something else is refused by its path."""
    with pytest.raises(ValueError, match=r"infra/network.yaml is no CloudFormation template"):
        template(tmp_path, "a: 1")


def test_the_environment_wins_over_an_output_and_an_output_over_a_default(tmp_path: Path) -> None:
    """A value is taken from the environment file, then from an earlier stack, then from the template."""
    read = template(tmp_path)
    assert link(read, {"VpcId": "vpc-1"}, ["VpcId"]).values == {"VpcId": "vpc-1", "Count": "2", "Bucket": ""}
    assert link(read, {}, ["VpcId", "Count"]).values == {"VpcId": "${VpcId}", "Count": "${Count}", "Bucket": ""}


def test_an_output_with_a_condition_needs_a_default_beside(tmp_path: Path) -> None:
    """It may not be there: then the default stands, and a parameter without one is missing."""
    read = template(tmp_path, TEXT.replace("Value: !GetAtt", "Condition: Sometimes, Value: !GetAtt"))
    assert read.conditional == {"ThingArn"}
    linked = link(read, {}, ["VpcId", "Bucket"], conditional=["VpcId", "Bucket"])
    assert linked.values == {"Bucket": "${Bucket}", "Count": "2"}
    assert linked.otherwise == {"Bucket": ""}
    assert linked.missing == ("VpcId",)


def test_a_default_is_given_as_cloudformation_reads_it(tmp_path: Path) -> None:
    """A default of true is the text true."""
    read = template(tmp_path, TEXT.replace("Default: 2", "Default: true"))
    assert link(read, {"VpcId": "v"}, []).values["Count"] == "true"


def test_what_nothing_feeds_is_missing(tmp_path: Path) -> None:
    """A parameter without value, output and default is named; an empty text counts as no value."""
    assert link(template(tmp_path), {"VpcId": ""}, []).missing == ("VpcId",)


def test_a_value_for_no_parameter_is_unknown(tmp_path: Path) -> None:
    """A misspelt parameter is named; it would be dropped otherwise."""
    assert link(template(tmp_path), {"VpcID": "vpc-1"}, ["VpcId"]).unknown == ("VpcID",)
