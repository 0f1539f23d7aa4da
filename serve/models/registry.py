"""The families that we serve, by name.

To add a family is to add its module here. Must not know what a family does.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve.checkpoints.read import CheckpointError
from serve.models import xlm_roberta, xlm_roberta_xl
from serve.models.family import Family
from serve.models.xlm import encoder

FAMILIES: Mapping[str, Family] = {family.FAMILY: family for family in (xlm_roberta, xlm_roberta_xl, encoder)}


def family_of(model_type: object) -> Family:
    """Return the family of a config.json by its model_type. Raises CheckpointError naming those there are."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise CheckpointError(f"got model_type {model_type!r}, expected one of {sorted(FAMILIES)}")
    return FAMILIES[model_type]
