"""Who may import whom: each room imports only what its row in the table allows.

The rules are functions over a graph of imports. One test applies each to the whole tree, one to a made-up graph that
breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from grimp import ImportGraph

from tests.house.graph import chains, is_standard, made_up_graph, own, whole_graph, within
from tests.house.rooms import NETWORK, RAY_FILES, ROOMS, SERVE_ORDER, Room
from tests.house.tree import ALL, PRODUCT, Source, imports, made_up, sources

PURE = ("shared", "functions.messages", "functions.tokenizers", "functions.tasks", "functions.pipeline",
        "functions.jobs.state", "functions.jobs.records")  # fmt: skip
CLOCKS = ("time", "random")
LAMBDAS = "functions.lambdas"
FOR_ALL_LAMBDAS = (LAMBDAS, f"{LAMBDAS}.settings", f"{LAMBDAS}.model_server")


@cache
def room_of(module: str) -> Room | None:
    """Return the row with the longest name that fits the module."""
    fitting = [room for room in ROOMS if within(module, [room.name])]
    return max(fitting, key=lambda room: len(room.name), default=None)


def homeless(modules: Iterable[str]) -> list[str]:
    """Return the modules that no row of the table covers."""
    return [module for module in modules if room_of(module) is None]


def unseen(graph: ImportGraph, files: Iterable[Source]) -> list[str]:
    """Return the files that the graph has not read."""
    modules = graph.modules
    return [source.path for source in files if source.module not in modules]


def not_allowed(graph: ImportGraph) -> list[str]:
    """Return the imports that the importer's row does not allow."""
    return [
        f"{module} imports {imported}"
        for module in own(graph)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if not _is_allowed(room_of(module), imported, is_own=not graph.is_module_squashed(imported))
    ]


def _is_allowed(room: Room | None, imported: str, *, is_own: bool) -> bool:
    if room is None or (not is_own and is_standard(imported)):
        return True
    allowed = room.ours if is_own else room.libraries
    return allowed is None or within(imported, allowed) or (is_own and room_of(imported) == room)


def forbidden_chains(graph: ImportGraph) -> list[str]:
    """Return the chains of imports that lead from a room to something that it must never reach."""
    found = []
    modules = own(graph)
    for room in ROOMS:
        members = [module for module in modules if room_of(module) == room]
        found.extend(chains(graph, members, room.never))
    return found


def lambdas_that_import_another(graph: ImportGraph) -> list[str]:
    """Return the imports from one Lambda's file to another; all may import the settings, and the client they share."""
    return [
        f"{module} imports {imported}"
        for module in own(graph)
        if within(module, [LAMBDAS])
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if within(imported, [LAMBDAS]) and imported not in FOR_ALL_LAMBDAS
    ]


def impure(files: Iterable[Source]) -> list[str]:
    """Return the imports of the network by pure rooms, and of clocks and chance by the state and records of jobs."""
    found = []
    for source in files:
        if not within(source.module, PURE):
            continue
        banned = NETWORK + (CLOCKS if within(source.module, ["functions.jobs"]) else ())
        found += [f"{source.path} imports {name}" for name in sorted(set(imports(source))) if within(name, banned)]
    return found


def test_every_file_is_in_the_graph() -> None:
    """The graph has read each Python file that git knows, so no rule overlooks one."""
    assert unseen(whole_graph(), sources(*ALL)) == []


def test_a_file_outside_the_graph_is_found() -> None:
    """A file that the graph does not have is reported."""
    graph = made_up_graph("serve.app imports ray")
    assert unseen(graph, [made_up("serve/app.py", ""), made_up("serve/new.py", "")]) == ["serve/new.py"]


def test_every_module_has_a_room() -> None:
    """The table says of each module what it may import."""
    assert homeless(own(whole_graph())) == []


def test_a_module_without_a_room_is_found() -> None:
    """A new top-level folder is reported until the table has a row for it."""
    assert homeless(["shared.errors", "surprises.one"]) == ["surprises.one"]


def test_an_import_that_no_row_allows_is_found() -> None:
    """Imports against the order of the rooms, and libraries that a room does not list, are reported."""
    wrong = [
        "functions.http.routes imports functions.jobs.storage.s3_objects",
        "functions.jobs.records.records imports functions.jobs.state.items",
        "functions.messages imports functions.tasks.task",
        "functions.pipeline.route imports pydantic",
        "functions.replica.client imports functions.pipeline.route",
        "functions.tasks.rerank imports functions.pipeline.route",
        "functions.tokenizers.load imports functions.tasks.task",
        "glossa.client.jobs imports shared.errors",
        "local.run imports tests.world",
        "serve.rows.pack imports serve.layers.norms",
        "shared.errors imports shared.protocol.frame",
        "shared.protocol.frame imports pydantic",
    ]
    fine = [
        "benchmarks.engine imports tests.judge",
        "functions.http.routes imports functions.jobs.api.jobs",
        "functions.pipeline.route imports json",
        "glossa.commands.deploy imports local.deploy",
        "serve.layers.norms imports serve.rows.pack",
        "shared.catalog imports pydantic",
    ]
    assert not_allowed(made_up_graph(*fine, *wrong)) == wrong


def test_only_commands_import_local() -> None:
    """In the product, only the command line may start the local stack."""
    users = {module for module in own(whole_graph()) if within(module, PRODUCT) and _imports(module, "local")}
    assert {module for module in users if not within(module, ["glossa.commands"])} == set()


def _imports(module: str, name: str) -> bool:
    return any(within(imported, [name]) for imported in whole_graph().find_modules_directly_imported_by(module))


def test_no_room_reaches_what_it_must_never_know() -> None:
    """No chain of imports, however long, leads from a room to something that its row forbids."""
    assert forbidden_chains(whole_graph()) == []


def test_a_long_chain_to_a_forbidden_module_is_found() -> None:
    """An import is reported though each module on the way looks innocent."""
    graph = made_up_graph(
        "functions.jobs.steps.commit imports functions.jobs.storage.table",
        "functions.jobs.storage.table imports functions.jobs.storage.s3_objects",
        "functions.jobs.storage.s3_objects imports boto3",
    )
    assert forbidden_chains(graph) == [
        "functions.jobs.steps.commit > functions.jobs.storage.table > functions.jobs.storage.s3_objects > boto3"
    ]


def test_the_model_side_does_not_reach_the_lambda_side() -> None:
    """A row of the model side forbids the Lambda side and, but for four files, Ray."""
    wrong = [
        "serve.app imports functions.messages",
        "serve.http.routes imports functions.messages",
        "serve.http.routes imports ray",
        "serve.scheduling.runner imports ray",
    ]
    fine = [f"serve.{name} imports ray" for name in RAY_FILES]
    found = forbidden_chains(made_up_graph(*wrong, *fine))
    assert sorted(found) == [line.replace(" imports ", " > ") for line in wrong]


def test_the_folders_of_serve_import_in_their_order() -> None:
    """Each folder may import those before it, and none after it."""
    forward = [f"serve.{a}.x imports serve.{b}.x" for n, a in enumerate(SERVE_ORDER) for b in SERVE_ORDER[n + 1 :]]
    backward = [f"serve.{b}.x imports serve.{a}.x" for n, a in enumerate(SERVE_ORDER) for b in SERVE_ORDER[n + 1 :]]
    assert not_allowed(made_up_graph(*backward)) == []
    assert sorted(not_allowed(made_up_graph(*forward))) == sorted(forward)


def test_no_lambda_imports_another() -> None:
    """Each Lambda has a file of its own; what two need lies outside both."""
    assert lambdas_that_import_another(whole_graph()) == []


def test_a_lambda_that_imports_another_is_found() -> None:
    """The settings are for all; any other file is reported."""
    wrong = "functions.lambdas.plan imports functions.lambdas.work"
    fine = "functions.lambdas.plan imports functions.lambdas.settings"
    assert lambdas_that_import_another(made_up_graph(fine, wrong)) == [wrong]


def test_pure_rooms_reach_no_network() -> None:
    """Messages, tasks, the pipeline and the state of jobs compute; they neither call anybody nor read a clock."""
    assert impure(sources("shared", "functions")) == []


def test_a_network_import_in_a_pure_room_is_found() -> None:
    """A library of the network is reported; quoting an address is no network, and elsewhere both are free."""
    files = [
        made_up("functions/pipeline/route.py", "import http.client\nfrom urllib.parse import quote\nimport time\n"),
        made_up("functions/tasks/task.py", "def f() -> None:\n    from urllib import request\n"),
        made_up("functions/jobs/state/items.py", "import time\n"),
        made_up("functions/replica/client.py", "import urllib3\n"),
    ]
    assert impure(files) == [
        "functions/pipeline/route.py imports http.client",
        "functions/tasks/task.py imports urllib.request",
        "functions/jobs/state/items.py imports time",
    ]


def test_every_import_is_allowed() -> None:
    """Each module imports only what its row allows."""
    assert not_allowed(whole_graph()) == []
