"""The first stage: which model and head answer a request.

Reads the catalog alone. Must not know tokenizers, windows or the network.
"""

from __future__ import annotations

from functions.messages import Route
from functions.tasks.task import TaskParameters, TextRequest
from shared.catalog import Catalog, split_reference
from shared.errors import Unprocessable


def route(request: TextRequest, catalog: Catalog) -> Route:
    """Choose the model and head of a request. Raises as `choose_head`."""
    return choose_head(request.task, request.parameters, request.model, catalog)


def choose_head(task: str, parameters: TaskParameters, reference: str | None, catalog: Catalog) -> Route:
    """Choose a model and a head for a task. `reference` is `model[:head]`.

    Without a reference: the default model if it can do the task, else the first model that can. Raises NotFound for an
    unknown model or head, and Unprocessable when the named model or head cannot do the task with these parameters.
    """
    name, head = split_reference(reference) if reference is not None else (_first_able(task, catalog), None)
    model = catalog.model(name)
    found = model.head_for(task, head)
    parameters.check_head(f"{model.name}:{found}", model.heads[found])
    return Route(model.name, found, model.size_class)


def _first_able(task: str, catalog: Catalog) -> str:
    names = [catalog.default_model, *catalog.models]
    for name in names:
        if task in catalog.models[name].tasks:
            return name
    raise Unprocessable(f"no model does {task}; models: {sorted(catalog.models)}")
