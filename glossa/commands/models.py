"""`glossa models`: what is there, as a table or as plain values."""

from __future__ import annotations

from shared.catalog import Catalog

SHOWN_LABELS = 4


def as_json(catalog: Catalog) -> dict[str, object]:
    """Return every model with its heads, as plain values."""
    return {"default_model": catalog.default_model, "models": [m.model_dump() for m in catalog.models.values()]}


def as_table(catalog: Catalog) -> str:
    """Return one line for each head: reference, default mark, the tasks it can do, lane, labels."""
    rows = [("MODEL:HEAD", "TASKS", "LANE", "LABELS")]
    for name, model in catalog.models.items():
        for head_name, head in model.heads.items():
            mark = " *" if head.default and name == catalog.default_model else ""
            rows.append((f"{name}:{head_name}{mark}", ", ".join(head.tasks), model.size_class, _labels(head.labels)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return "\n".join([*lines, "", "* answers its task when a request names no model"])


def _labels(labels: tuple[str, ...]) -> str:
    if len(labels) <= SHOWN_LABELS:
        return ", ".join(labels)
    return f"{', '.join(labels[:SHOWN_LABELS])}, … ({len(labels)})"
