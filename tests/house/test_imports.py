"""Who may import whom: the arrows of the design, read from the syntax trees."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.house.tree import OURS, ROOT, Source, imports, sources

HEAVY = {"torch", "ray", "transformers", "numpy"}
RAY_USERS = ("serve/app.py", "serve/cluster.py", "serve/replica.py")
AWS = {"boto3", "botocore"}

# (path prefixes it holds for, path prefixes left out, first name parts never imported)
RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], set[str]], ...] = (
    ("shared knows neither side", ("shared/",), (), {"functions", "serve", "glossa", "local", "tests"} | HEAVY | AWS),
    ("functions stay light", ("functions/",), (), HEAVY | {"serve", "glossa", "local", "tests"}),
    ("desks are pure", ("functions/pipeline/",), (), AWS | {"urllib3", "http", "socket", "aws_lambda_powertools"}),
    ("serve knows no door", ("serve/",), (), {"functions", "glossa", "local", "tests"}),
    ("only app, cluster and replica speak Ray", ("serve/",), RAY_USERS, {"ray"}),
    ("the command line knows no stack", ("glossa/",), (), {"local", "tests", "ray"}),
    ("nobody imports tests", ("shared/", "functions/", "serve/", "glossa/", "local/"), (), {"tests", "benchmarks"}),
)
PYDANTIC_IN_SHARED = {"shared/settings.py", "shared/catalog.py"}
PURE = ("functions/jobs/state/", "functions/jobs/records/")
ENVIRONMENT_READERS = {"shared/settings.py"}


@pytest.mark.parametrize(("rule", "where", "but", "never"), RULES, ids=[rule[0] for rule in RULES])
def test_arrow(rule: str, where: tuple[str, ...], but: tuple[str, ...], never: set[str]) -> None:
    """No file imports what its room must not know."""
    broken = [
        f"{source.path} imports {name}"
        for source in sources(*OURS)
        if source.path.startswith(where) and source.path not in but
        for name in imports(source)
        if name.split(".")[0] in never
    ]
    assert broken == []


def test_only_settings_and_catalog_of_shared_use_pydantic() -> None:
    """Messages, wire, errors and log need the standard library alone."""
    users = {source.path for source in sources("shared") if any(n.split(".")[0] == "pydantic" for n in imports(source))}
    assert users <= PYDANTIC_IN_SHARED


def test_pure_files_of_batch_touch_no_aws() -> None:
    """The state machine, keys, events and records are pure."""
    for source in sources("functions"):
        if source.path.startswith(PURE):
            assert not [n for n in imports(source) if n.split(".")[0] in AWS | {"urllib3", "time", "random"}], (
                source.path
            )


def test_no_door_imports_another() -> None:
    """Each function's folder is its own; what two doors need lives outside both."""
    for source in sources("functions"):
        if source.path.startswith("functions/lambdas/") and not source.path.endswith("/work.py"):
            allowed = {"functions.lambdas", "functions.lambdas.settings"}
            bad = [n for n in imports(source) if n.startswith("functions.lambdas") and n not in allowed]
            assert not [n for n in bad if not n.startswith("functions.lambdas.settings.")], source.path


def test_desks_do_not_know_doors() -> None:
    """Pipeline and batch import no handler, edge or client of the request path."""
    for source in sources("functions"):
        if source.path.startswith("functions/pipeline/"):
            bad = [
                n
                for n in imports(source)
                if n.startswith(("functions.http.resolver", "functions.replica", "functions.lambdas"))
            ]
            assert not bad, source.path


def test_boto3_is_imported_lazily() -> None:
    """boto3 costs 300 ms at init, so no module of functions imports it at top level."""
    for source in sources("functions", "serve"):
        top = [name for node in source.tree.body for name in _names(source, node)]
        assert not AWS & {name.split(".")[0] for name in top}, source.path


def _names(source: Source, node: object) -> list[str]:
    import ast  # noqa: PLC0415 - only this check needs it

    if not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return list(imports(Source(source.path, "", ast.Module(body=[node], type_ignores=[]))))


def test_only_settings_reads_the_environment() -> None:
    """os.environ and os.getenv appear in shared/settings.py alone, in the product."""
    for source in sources("shared", "functions", "serve"):
        if source.path not in ENVIRONMENT_READERS:
            assert "os.environ" not in source.text, source.path
            assert "getenv" not in source.text, source.path


@pytest.mark.parametrize("name", ["shared", "functions", "serve", "tests", "glossa", "local"])
def test_our_packages_resolve_inside_the_checkout(name: str) -> None:
    """Some wheels install stray top-level names; ours must win."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)
