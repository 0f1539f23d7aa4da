"""No circles: not between files, and not between the folders and files that lie in one folder.

A folder counts as one with all that lies below it, so a file may import from a folder beside it that imports another
file. Each rule is applied to the whole tree and to a made-up graph that breaks it.
"""

from __future__ import annotations

from collections import defaultdict

from grimp import ImportGraph

from tests.house.graph import cycle, made_up_graph, own, whole_graph


def edges(graph: ImportGraph) -> list[tuple[str, str]]:
    """Return each import of one module of the repository by another; serve.app also imports itself, for Ray's sake."""
    modules = set(own(graph))
    return [
        (module, imported)
        for module in modules
        for imported in graph.find_modules_directly_imported_by(module) & modules - {module}
    ]


def file_cycle(graph: ImportGraph) -> list[str]:
    """Return one cycle between files, or nothing."""
    return cycle(edges(graph))


def sibling_cycles(graph: ImportGraph) -> list[list[str]]:
    """Return for each folder one cycle between the files and folders in it, if there is one.

    Tests are left out: benchmarks use their judges, and tests of benchmarks lie among them. The commands count as a
    folder of their own: they start the local stack, which builds on the rest of `glossa`.
    """
    siblings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for importer, imported in edges(graph):
        left, right = _place(importer).split("."), _place(imported).split(".")
        if "tests" in (left[0], right[0]):
            continue
        n_shared = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
        if n_shared is not None:  # otherwise one is a folder's own __init__.py and the other lies below it
            end = n_shared + 1
            siblings[".".join(left[:n_shared])].add((".".join(left[:end]), ".".join(right[:end])))
    return [found for pairs in siblings.values() if (found := cycle(sorted(pairs)))]


def _place(module: str) -> str:
    """Return the name of a module as if the command line lay beside `glossa`, and not in it."""
    is_command = module in {"glossa.cli", "glossa.__main__"} or f"{module}.".startswith("glossa.commands.")
    return module.replace("glossa", "commands", 1) if is_command else module


def test_files_import_in_one_direction() -> None:
    """No file imports itself through others."""
    assert file_cycle(whole_graph()) == []


def test_a_cycle_between_files_is_found() -> None:
    """Three files in a circle are reported, a chain is not."""
    chain = ("serve.rows.row imports serve.rows.pack", "serve.rows.pack imports serve.layers.norms")
    back = "serve.layers.norms imports serve.rows.row"
    assert file_cycle(made_up_graph(*chain)) == []
    found = file_cycle(made_up_graph(*chain, back))
    assert set(found) == {"serve.rows.row", "serve.rows.pack", "serve.layers.norms"}
    assert found[0] == found[-1]


def test_folders_import_in_one_direction() -> None:
    """What lies beside each other in a folder imports in one direction."""
    assert sibling_cycles(whole_graph()) == []


def test_a_cycle_between_folders_is_found() -> None:
    """Two folders that know each other are reported, though no file is in a circle."""
    graph = made_up_graph(
        "functions.jobs.state.items imports functions.jobs.records.formats",
        "functions.jobs.records.rows imports functions.jobs.state.keys",
    )
    assert file_cycle(graph) == []
    (found,) = sibling_cycles(graph)
    assert set(found) == {"functions.jobs.state", "functions.jobs.records"}


def test_commands_count_as_a_folder_of_their_own() -> None:
    """They may start what builds on the rest of `glossa`, and nothing else of `glossa` may."""
    below = "local.deploy imports glossa.deployment.steps"
    assert sibling_cycles(made_up_graph("glossa.commands.stack.up imports local.run", below)) == []
    (found,) = sibling_cycles(made_up_graph("glossa.deployment.runner imports local.run", below))
    assert set(found) == {"glossa", "local"}
    (found,) = sibling_cycles(
        made_up_graph("glossa.commands.stack.up imports local.run", "local.demo imports glossa.commands.models")
    )
    assert set(found) == {"commands", "local"}


def test_a_folder_and_its_own_folders_count_as_one() -> None:
    """A file may choose among folders beside it that build on another file there."""
    graph = made_up_graph(
        "functions.tokenizers.load imports functions.tokenizers.xlm.tokenizer",
        "functions.tokenizers.xlm.tokenizer imports functions.tokenizers.offsets",
        "functions.tokenizers.load imports functions.tokenizers.offsets",
    )
    assert sibling_cycles(graph) == []
