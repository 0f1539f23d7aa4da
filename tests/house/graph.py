"""The graph of all imports of the repository, and the questions that the rules ask of it.

The entry is `whole_graph`; `made_up_graph` makes a small one for the negative cases. Modules outside the repository are
known by the first part of their name. Must not know any rule.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter

import grimp

from tests.house.tree import ALL, Source, lazy_lines, sources

# benchmarks/systems and checkpoints have no __init__.py, so each is named as a root of its own
ROOTS = (*ALL, "benchmarks.systems")


@cache
def whole_graph() -> grimp.ImportGraph:
    """Return the imports of the whole tree, lazy ones included."""
    return grimp.build_graph(*ROOTS, include_external_packages=True, cache_dir=None)


@cache
def eager_graph() -> grimp.ImportGraph:
    """Return the imports that run as soon as a module is imported."""
    return without_lazy(whole_graph(), sources(*ALL))


def made_up_graph(*lines: str) -> grimp.ImportGraph:
    """Return a graph from lines such as `serve.app imports ray`."""
    graph = grimp.ImportGraph()
    for line in lines:
        importer, imported = line.split(" imports ")
        graph.add_module(importer)
        if imported.split(".")[0] in ALL:
            graph.add_module(imported)
        elif imported not in graph.modules:
            graph.add_module(imported, is_squashed=True)
        graph.add_import(importer=importer, imported=imported, line_number=1, line_contents=line)
    return graph


def without_lazy(graph: grimp.ImportGraph, files: Iterable[Source]) -> grimp.ImportGraph:
    """Return a copy without the imports that stand only in functions or under TYPE_CHECKING."""
    found: grimp.ImportGraph = grimp.ImportGraph()
    lazy = {source.module: lazy_lines(source) for source in files}
    for module in graph.modules:
        found.add_module(module, is_squashed=graph.is_module_squashed(module))
    for module in own(graph):
        for imported in graph.find_modules_directly_imported_by(module):
            details = graph.get_import_details(importer=module, imported=imported)
            if any(detail["line_number"] not in lazy.get(module, ()) for detail in details):
                found.add_import(importer=module, imported=imported)
    return found


def own(graph: grimp.ImportGraph) -> list[str]:
    """Return the modules of the repository, sorted."""
    return sorted(module for module in graph.modules if not graph.is_module_squashed(module))


def within(module: str, names: Iterable[str]) -> bool:
    """Tell whether a module is one of the names or lies below one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def is_standard(module: str) -> bool:
    """Tell whether a module is part of Python's standard library."""
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names


def chains(graph: grimp.ImportGraph, importers: Iterable[str], never: Collection[str]) -> list[str]:
    """Return one shortest chain of imports for each importer that reaches a forbidden module, as `a > b > c`."""
    found = []
    forbidden = {module for module in graph.modules if within(module, never)}
    for importer in importers if forbidden else ():
        for module in sorted(graph.find_upstream_modules(importer) & forbidden):
            chain = graph.find_shortest_chain(importer=importer, imported=module)
            found.append(" > ".join(chain or ()))
    return found


def cycle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return one cycle, its first name also last, or nothing when there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in edges:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []
