"""The model families that we serve, by name.

A new family is one more module in this list. This module must not know what a family does.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve.checkpoints.read import CheckpointError
from serve.models import bert, xlm_roberta, xlm_roberta_xl
from serve.models.family import Family
from serve.models.xlm import encoder as xlm

FAMILIES: Mapping[str, Family] = {family.FAMILY: family for family in (xlm_roberta, xlm_roberta_xl, xlm, bert)}


def family_of(model_type: object) -> Family:
    """Return the family for the `model_type` of a config.json. Raises CheckpointError that names all families."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise CheckpointError(
            f"got model_type {model_type!r}, expected one of {sorted(FAMILIES)}", hint=_near(model_type)
        )
    return FAMILIES[model_type]


def _near(model_type: object) -> str:
    """Return what to do about a `model_type` that is no family."""
    meant = str(model_type).lower().replace("_", "-")
    if model_type is None or meant in FAMILIES:
        wanted = meant if meant in FAMILIES else "xlm-roberta"
        return f'if the model is of that family, set "model_type": "{wanted}" in its config.json'
    return f"Glossa serves the XLM family and BERTs with its tokenizer; another server may serve {model_type}"
