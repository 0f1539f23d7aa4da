"""Lambdas and their files: each function of the template has one thin file, and each file one function.

The rules are functions over the text of a template and a list of sources. One test applies each to the repository, one
to a made-up case that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import yaml

from tests.house.tree import ROOT, Source, made_up, sources

FOLDER = "functions/lambdas"
NO_LAMBDAS = ("__init__.py", "model_server.py", "settings.py")
THIN = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef, ast.Try, ast.Expr)
MAX_LINES = 120


class _Loader(yaml.SafeLoader):
    """Reads a template; what a short function such as `!Ref` gives is left out."""


_Loader.add_multi_constructor("!", lambda *_: None)


def handlers(template: str) -> list[str]:
    """Return the handler of each function of a template, or `?` where it has none."""
    tree: dict[str, Any] = yaml.load(template, Loader=_Loader)  # noqa: S506 - a safe loader with one constructor more
    found = [block for block in tree["Resources"].values() if block["Type"] == "AWS::Serverless::Function"]
    return [block["Properties"].get("Handler", "?") for block in found]


def unmatched(template: str, files: Iterable[Source]) -> list[str]:
    """Return the handlers without a file of their own, and the files that no function of the template runs."""
    wanted = sorted(handlers(template))
    there = sorted(f"{file.module}.handler" for file in _lambdas(files))
    surplus = [name for name in set(wanted) if wanted.count(name) > 1]
    return sorted(set(wanted) ^ set(there)) + sorted(surplus)


def thick(files: Iterable[Source]) -> list[str]:
    """Return the files of Lambdas that hold more than settings, wiring and one `handler`."""
    return [
        file.path
        for file in _lambdas(files)
        if file.n_lines > MAX_LINES
        or _handlers(file) != 1
        or not all(isinstance(node, THIN) for node in file.tree.body)
        or not all(name.endswith("Settings") for name in _names(file, ast.ClassDef))
    ]


def _lambdas(files: Iterable[Source]) -> list[Source]:
    return [file for file in files if file.folder == FOLDER and file.path.split("/")[-1] not in NO_LAMBDAS]


def _names(file: Source, kind: type[ast.FunctionDef | ast.ClassDef]) -> list[str]:
    return [node.name for node in file.tree.body if isinstance(node, kind)]


def _handlers(file: Source) -> int:
    """Count what a file calls `handler`: a function, or the method of an object that is assigned to the name."""
    assigned = [target for node in file.tree.body if isinstance(node, ast.Assign) for target in node.targets]
    names = [target.id for target in assigned if isinstance(target, ast.Name)]
    return [*_names(file, ast.FunctionDef), *names].count("handler")


TEMPLATE = """
Resources:
  Plan:
    Type: AWS::Serverless::Function
    Properties: {Handler: functions.lambdas.plan.handler, Role: !GetAtt Role.Arn}
  Table: {Type: AWS::DynamoDB::Table}
"""
HANDLER = "def handler(event, context):\n    return planner.answer(event)\n"


def test_every_lambda_has_its_file() -> None:
    """The functions of the template and the files of functions/lambdas are the same."""
    assert unmatched((ROOT / "template.yaml").read_text(encoding="utf-8"), sources("functions")) == []


def test_a_lambda_without_a_file_is_found() -> None:
    """A missing file, a file too many, and two functions with one file are reported."""
    plan, work = made_up(f"{FOLDER}/plan.py", HANDLER), made_up(f"{FOLDER}/work.py", HANDLER)
    settings = made_up(f"{FOLDER}/settings.py", "")
    assert unmatched(TEMPLATE, [plan, settings]) == []
    assert unmatched(TEMPLATE, [settings]) == ["functions.lambdas.plan.handler"]
    assert unmatched(TEMPLATE, [plan, work]) == ["functions.lambdas.work.handler"]
    twice = TEMPLATE + TEMPLATE.removeprefix("\nResources:\n").replace("Plan", "Again").replace("  Table", "  Other")
    assert unmatched(twice, [plan]) == ["functions.lambdas.plan.handler"]


def test_every_lambda_is_thin() -> None:
    """A Lambda's file holds its settings, its wiring and its handler."""
    assert thick(sources("functions")) == []


def test_a_thick_lambda_is_found() -> None:
    """A class that is no settings, a loop, a second handler or none, and a long file are reported."""
    fine = "class PlanSettings(Settings):\n    table: str\n" + HANDLER
    assert thick([made_up(f"{FOLDER}/plan.py", "handler = build(settings).resolve\n")]) == []
    wrong = ("class Planner: ...\n" + HANDLER, "for a in []: ...\n" + HANDLER, "", HANDLER * 2, HANDLER + "\n" * 120)
    assert thick([made_up(f"{FOLDER}/plan.py", fine)]) == []
    for text in wrong:
        assert thick([made_up(f"{FOLDER}/plan.py", text)]) == [f"{FOLDER}/plan.py"], text
