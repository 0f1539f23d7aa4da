"""The v2 metadata and configuration of a model. Fields of our own stand beside those of the protocol.

Pure. Must not know HTTP or engines.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.catalog import Head, Model
from shared.protocol import CallLimits
from shared.protocol.head_outputs import declared_json, default_head, head_outputs

# name, datatype, shape (-1: any), optional. Packed calls have row_lengths. Padded calls have the mask and ids like it
INPUTS: tuple[tuple[str, str, tuple[int, ...], bool], ...] = (
    ("input_ids", "INT32", (-1,), False),
    ("row_lengths", "INT32", (-1,), True),
    ("attention_mask", "INT32", (-1, -1), True),
    ("positions", "INT32", (-1,), True),
    ("positions_per_row", "INT32", (-1,), True),
    ("target_ids", "INT32", (-1,), True),
    ("lang_ids", "INT32", (-1,), True),
    ("token_type_ids", "INT32", (-1,), True),
    ("position_ids", "INT32", (-1,), True),
)


def metadata(model: Model, limits: CallLimits, kernels: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the v2 metadata of a model. Heads, limits, fingerprint and revision stand beside the protocol's keys.

    `kernels` says what computes the layers in this replica.
    """
    return {
        "name": model.name,
        "versions": [model.revision],
        "platform": _platform(model),
        "inputs": [
            {"name": name, "datatype": datatype, "shape": list(shape), "optional": optional}
            for name, datatype, shape, optional in INPUTS
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1] * n_dimensions}
            for name, datatype, n_dimensions in _outputs(model)
        ],
        "default_head": default_head(model),
        "revision": model.revision,
        "fingerprint": model.tokenizer_sha256,
        "heads": {name: _head(head) for name, head in model.heads.items()},
        "limits": {
            "max_body_bytes": limits.max_body_bytes,
            "max_rows": limits.max_rows,
            "max_tokens": limits.max_tokens,
            "max_row_tokens": limits.max_row_tokens,
            "vocab_size": limits.vocab_size,
            "n_types": limits.n_types,
            "n_positions": limits.n_positions,
        },
        **({} if kernels is None else {"kernels": dict(kernels)}),
    }


def config(model: Model) -> dict[str, object]:
    """Return the configuration of a model as Triton writes it. Shapes are whole: `max_batch_size` is 0."""
    return {
        "name": model.name,
        "platform": _platform(model),
        "backend": "glossa",
        "version_policy": {"specific": {"versions": [model.revision]}},
        "max_batch_size": 0,
        "input": [
            {"name": name, "data_type": f"TYPE_{datatype}", "dims": list(shape), "optional": optional}
            for name, datatype, shape, optional in INPUTS
        ],
        "output": [
            {"name": name, "data_type": f"TYPE_{datatype}", "dims": [-1] * n_dimensions}
            for name, datatype, n_dimensions in _outputs(model)
        ],
        "parameters": {"default_head": {"string_value": default_head(model)}},
    }


def _platform(model: Model) -> str:
    return f"glossa_{model.family}"


def _outputs(model: Model) -> list[tuple[str, str, int]]:
    """Return name, datatype and number of dimensions of each output of any head."""
    return sorted(
        {
            (output.name, output.datatype, output.n_dimensions)
            for head in model.heads.values()
            for output in head_outputs(head)
        }
    )


def _head(head: Head) -> dict[str, object]:
    return {
        "task": head.task,
        "also": list(head.also),
        "labels": list(head.labels),
        "outputs": [output.name for output in head_outputs(head)],
        "default": head.default,
        **declared_json(head),
    }
