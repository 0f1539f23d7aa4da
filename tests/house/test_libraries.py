"""Libraries that cost much: which part never reaches them, and which part loads them only when it needs them.

Also holds the environment to one reader. The rules are functions over a graph of imports or a list of sources; each is
applied to the whole tree and to a made-up case that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from grimp import ImportGraph

from tests.house.graph import chains, eager_graph, made_up_graph, own, whole_graph, within, without_lazy
from tests.house.rooms import AWS, HEAVY
from tests.house.tree import Source, made_up, sources

LAMBDA_SIDE = ("functions", "shared")
COMMANDS = ("glossa.__main__", "glossa.cli", "glossa.client", "glossa.commands")
ON_DEMAND = ("torch", "ray", "transformers", *AWS, "local")
ENVIRONMENT = re.compile(r"\benviron(?:b|ment_variable)?\b|\b(?:get|put|unset)env\b")
ENVIRONMENT_READERS = ("shared/settings.py",)


def heavy_chains(graph: ImportGraph) -> list[str]:
    """Return the chains from the Lambda side to a heavy library, lazy imports included."""
    return chains(graph, [module for module in own(graph) if within(module, LAMBDA_SIDE)], HEAVY)


def eager_aws_chains(graph: ImportGraph) -> list[str]:
    """Return the chains from the product to boto3 that run when a module is imported."""
    product = (*LAMBDA_SIDE, "serve", *COMMANDS)
    return chains(graph, [module for module in own(graph) if within(module, product)], AWS)


def eager_command_chains(graph: ImportGraph) -> list[str]:
    """Return the chains from the command line to what only some commands need."""
    return chains(graph, [module for module in own(graph) if within(module, COMMANDS)], ON_DEMAND)


def environment_readers(files: Iterable[Source]) -> list[str]:
    """Return the files that read or set environment variables, but for the settings."""
    return [file.path for file in files if ENVIRONMENT.search(file.text) and file.path not in ENVIRONMENT_READERS]


def test_the_lambda_side_reaches_no_heavy_library() -> None:
    """Neither torch, ray, transformers nor numpy is reached from a Lambda, by any chain."""
    assert heavy_chains(whole_graph()) == []


def test_a_chain_to_a_heavy_library_is_found() -> None:
    """A library is found behind another module, even outside the Lambda side."""
    graph = made_up_graph(
        "functions.tasks.rerank imports functions.tasks.scores",
        "functions.tasks.scores imports serve.rows.pack",
        "serve.rows.pack imports numpy",
    )
    assert heavy_chains(graph) == [
        "functions.tasks.rerank > functions.tasks.scores > serve.rows.pack > numpy",
        "functions.tasks.scores > serve.rows.pack > numpy",
    ]


def test_boto3_is_imported_lazily() -> None:
    """boto3 costs 300 ms, so no module of the product imports it before a function needs it."""
    assert eager_aws_chains(eager_graph()) == []


def test_an_eager_import_of_boto3_is_found() -> None:
    """An import at the top of a module is reported with those who import the module; one in a function is not."""
    graph = made_up_graph(
        "functions.lambdas.plan imports functions.jobs.storage.s3_objects",
        "functions.jobs.storage.s3_objects imports boto3",
    )
    path = "functions/jobs/storage/s3_objects.py"
    at_the_top = without_lazy(graph, [made_up(path, "import boto3\n")])
    assert eager_aws_chains(at_the_top) == [
        "functions.jobs.storage.s3_objects > boto3",
        "functions.lambdas.plan > functions.jobs.storage.s3_objects > boto3",
    ]
    in_a_function = without_lazy(graph, [made_up(path, "def open_bucket(): import boto3\n")])
    assert eager_aws_chains(in_a_function) == []


def test_commands_load_heavy_libraries_lazily() -> None:
    """`glossa models` starts without torch, Ray, boto3 or the local stack."""
    assert eager_command_chains(eager_graph()) == []


def test_an_eager_heavy_command_is_found() -> None:
    """A command that imports torch through another module is reported."""
    graph = made_up_graph("glossa.commands.run imports serve.engine.engine", "serve.engine.engine imports torch")
    assert eager_command_chains(graph) == ["glossa.commands.run > serve.engine.engine > torch"]


def test_only_settings_read_the_environment() -> None:
    """Environment variables are read in shared/settings.py alone."""
    assert environment_readers(sources("shared", "functions", "serve")) == []


def test_another_reader_of_the_environment_is_found() -> None:
    """Each way to read a variable is reported, but not in the settings."""
    files = [
        made_up("serve/a.py", "import os\nos.environ['A']\n"),
        made_up("serve/b.py", "from os import getenv\n"),
        made_up("serve/c.py", "environment = 1\n"),
        made_up("shared/settings.py", "import os\nos.environ['A']\n"),
    ]
    assert environment_readers(files) == ["serve/a.py", "serve/b.py"]
