"""Parts a model of the catalog into what a replica is started with, and the heads that it can take while it runs.

The latter are those with checkpoints of their own. Ray hands them to running replicas as their `user_config`. Pure
values. Must not know Ray, files or engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.catalog import Head, Model


def without_own_heads(model: Model) -> Model:
    """Return the model without the heads that have checkpoints of their own."""
    return model.model_copy(update={"heads": {name: head for name, head in model.heads.items() if not head.checkpoint}})


def user_config(model: Model) -> dict[str, Any]:
    """Return as JSON the heads of a model that have checkpoints of their own, and the names of all default heads."""
    own = {name: head for name, head in model.heads.items() if head.checkpoint}
    defaults = [name for name, head in model.heads.items() if head.default]
    return {"heads": {name: head.model_dump(mode="json") for name, head in own.items()}, "defaults": defaults}


def replica_facts(model: Model) -> str:
    """Return as text all of a model but what its `user_config` says: a replica cannot take more while it runs."""
    return without_own_heads(model).model_dump_json(exclude={"heads": {"__all__": {"default"}}})


def with_own_heads(model: Model, config: Mapping[str, Any]) -> Model:
    """Return the model with the heads of a `user_config` in place of those of that kind that it has.

    Raises pydantic's ValidationError, a ValueError, for a head that is none, and for a second default of one task.
    """
    own = {name: Head.model_validate(facts) for name, facts in config["heads"].items()}
    defaults = set(config["defaults"])
    heads = {
        name: head.model_copy(update={"default": name in defaults})
        for name, head in {**without_own_heads(model).heads, **own}.items()
    }
    return Model.model_validate({**dict(model), "heads": heads})
