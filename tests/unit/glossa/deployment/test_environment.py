"""Checks how an environment file is read, and what is refused in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.deployment.environment import load_environment

GOOD = """
[deploy]
region = "eu-central-1"
platform = "cluster"

[network]
ZoneCount = 3
Zones = ["a", "b"]
Flag = true
"""


def written(folder: Path, text: str, name: str = "dev") -> Path:
    """Write an environment file; return its path."""
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_parameters_become_text_as_cloudformation_takes_it(tmp_path: Path) -> None:
    """Numbers, lists and truth values become the text of a parameter."""
    environment = load_environment(written(tmp_path, GOOD))
    assert environment.parameters["network"] == {"ZoneCount": "3", "Zones": "a,b", "Flag": "true"}
    assert environment.stack_name("network") == "glossa-dev-network"


def test_stacks_are_named_by_the_prefix_that_policies_know_them_by(tmp_path: Path) -> None:
    """The policies of the network name resources by NamePrefix, so the stacks are called by it too."""
    own = GOOD + '[weights]\nNamePrefix = "acme-nlp"\n'
    assert load_environment(written(tmp_path, own)).stack_name("service") == "acme-nlp-service"


def test_a_second_prefix_is_refused(tmp_path: Path) -> None:
    """The other stacks take the prefix of the stack weights; one of their own would part names and policies."""
    with pytest.raises(ValueError, match=r"got network.NamePrefix, expected it in \[weights\] alone"):
        load_environment(written(tmp_path, GOOD + 'NamePrefix = "acme"\n'))


@pytest.mark.parametrize(("platform", "stack"), [("cluster", "cluster"), ("instances", "instances")])
def test_the_platform_decides_which_stack_holds_the_replicas(tmp_path: Path, platform: str, stack: str) -> None:
    """An environment has a cluster or instances, never both."""
    environment = load_environment(written(tmp_path, GOOD.replace('"cluster"', f'"{platform}"')))
    assert environment.stacks == ("weights", "network", stack, "service", "observability")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[network]", "[networks]"), "got table 'networks', expected deploy or one of"),
        (('"eu-central-1"', '"europe"'), r"deploy.region: .*\(got 'europe'\)"),
        (('"cluster"', '"lambda"'), "deploy.platform"),
        (("platform =", "platfrom ="), "deploy.platfrom"),
        (('"cluster"', '"cluster"\nvalues = {A = "x\\ny: z"}'), "deploy.values.A"),
        (('"cluster"', '"cluster"\nvalues = {A = \'a"b\'}'), "deploy.values.A"),
        (('"cluster"', "\"cluster\"\ncertificate_arn = ' x'"), "deploy.certificate_arn"),
        (("[deploy]", "[deploy"), "is no TOML"),
        (("ZoneCount = 3", "ZoneCount = {a = 1}"), "got network.ZoneCount of type dict, expected text"),
        (('["a", "b"]', "[[1]]"), "got network.Zones of type list"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """A wrong table, key, value or line is named."""
    with pytest.raises(ValueError, match=message):
        load_environment(written(tmp_path, GOOD.replace(*change)))


def test_an_unknown_environment_names_those_there_are(tmp_path: Path) -> None:
    """A misspelt environment is answered with the files that exist."""
    written(tmp_path, GOOD)
    with pytest.raises(ValueError, match=r"got environment 'deb', expected one of \['dev'\]"):
        load_environment(tmp_path / "deb.toml")


@pytest.mark.parametrize("name", ["Dev", "1dev", "a" * 21, "d_v"])
def test_a_name_that_cannot_be_part_of_a_stack_name_is_refused(tmp_path: Path, name: str) -> None:
    """The name becomes a part of the names of stacks."""
    with pytest.raises(ValueError, match="expected a name of a-z"):
        load_environment(written(tmp_path, GOOD, name))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Flag = nan", "of type float, expected text, a finite number"),
        ("Flag = inf", "of type float, expected text, a finite number"),
        ('Flag = ["a,b"]', "a list of these without commas"),
        ("Flag = 'a\\'", "that SAM would change"),
        ("Flag = 'say \\\"x\\\"'", "that SAM would change"),
        ("Flag = 'ParameterKey=a,ParameterValue=b'", "that SAM would change"),
    ],
)
def test_a_value_that_would_reach_the_stack_as_another_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """SAM reads a backslash before a quote, a space or the end as its own, and `ParameterKey=` as another form."""
    with pytest.raises(ValueError, match=message):
        load_environment(written(tmp_path, GOOD.replace("Flag = true", line)))


def test_truth_values_in_a_list_are_written_as_elsewhere(tmp_path: Path) -> None:
    """CloudFormation knows true, and not True."""
    text = GOOD.replace("Flag = true", "Flag = [true, 1]")
    assert load_environment(written(tmp_path, text)).parameters["network"]["Flag"] == "true,1"


@pytest.mark.parametrize("text", ["network = 3\n[deploy]\n", "[deploy]\n[[network]]\n"])
def test_a_stack_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    """A key in the place of a table is named."""
    with pytest.raises(ValueError, match=r"got network that is no table, expected \[network\]"):
        load_environment(written(tmp_path, text))


def test_a_file_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    """The message says which file it was."""
    path = written(tmp_path, GOOD)
    path.write_bytes(b"# \xff")
    with pytest.raises(ValueError, match=r"dev\.toml is no TOML"):
        load_environment(path)
