"""The first stage: which model and head answer a request.

Reads the catalog alone. Must not know tokenizers, windows or the network.
"""

from __future__ import annotations

from dataclasses import replace

from functions.messages import Route
from functions.tasks.task import TaskParameters, TextRequest
from shared.catalog import EMBEDS, Catalog, Model, split_reference
from shared.errors import Unprocessable
from shared.head_hints import way_to_head


def route(request: TextRequest, catalog: Catalog) -> Route:
    """Choose the model and head of a request. Raises as `choose_head`."""
    return choose_head(request.task, request.parameters, request.model, catalog)


def stand_in_for(request: TextRequest, catalog: Catalog) -> TextRequest | None:
    """Return the request as the stand-in of its model answers it, or None when the caller or the catalog allows none.

    Nothing stands in for an embedder, because vectors of two models cannot be compared. Raises as `choose_head`.
    """
    if not request.fallback:
        return None
    asked = route(request, catalog)
    model = catalog.model(asked.model)
    if model.stand_in is None or model.heads[asked.head].task == EMBEDS:
        return None
    return replace(request, model=f"{model.stand_in}:{asked.head}")


def choose_head(task: str, parameters: TaskParameters, reference: str | None, catalog: Catalog) -> Route:
    """Choose a model and a head for a task. `reference` is `model[:head]`.

    Without a reference: the default model if it can do the task, else the first model that can. A model that can do it
    by the vectors of an embedder alone comes after all others. Raises NotFound for an unknown model or head, and
    Unprocessable when the named model or head cannot do the task with these parameters.
    """
    name, head = split_reference(reference) if reference is not None else (_first_able(task, catalog), None)
    model = catalog.model(name)
    found = model.head_for(task, head)
    parameters.check_head(f"{model.name}:{found}", model.heads[found])
    return Route(model.name, found, model.size_class)


def answers_unnamed(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Return, for each task that the catalog can do, the model and head that answer when a request names none."""
    tasks = sorted({task for model in catalog.models.values() for task in model.tasks})
    names = {task: _first_able(task, catalog) for task in tasks}
    return {task: (name, catalog.models[name].head_for(task, None)) for task, name in names.items()}


def _first_able(task: str, catalog: Catalog) -> str:
    able = [name for name in (catalog.default_model, *catalog.models) if task in catalog.models[name].tasks]
    if not able:
        usual = catalog.models[catalog.default_model]
        hint = way_to_head(task, usual.name, usual.checkpoint)
        raise Unprocessable(f"no model does {task}; models: {sorted(catalog.models)}", hint=hint)
    return next((name for name in able if not _by_vectors(task, catalog.models[name])), able[0])


def _by_vectors(task: str, model: Model) -> bool:
    """Whether a model does a task by the vectors of an embedder, which was not trained for it."""
    return model.heads[model.head_for(task, None)].task == EMBEDS
