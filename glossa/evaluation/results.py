"""The file of results: one record for each language, model and data, and what sums several up.

A record is found again by its key: language, digest of the model, digest of the data. So a run that was stopped goes
on, and what has changed is measured again. Must not know models or metrics.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.catalog import Model

VERSION = 1
SHOWN_DIGITS = 16
DIGESTED = (
    "family", "weights_sha256", "config_sha256", "tokenizer_sha256", "dtype", "quantization", "int8_embeddings",
    "max_tokens", "attn_implementation",
)  # fmt: skip
NOT_DIGESTED = ("default", "also", "checkpoint")  # of a head: they change no answer


@dataclass(frozen=True, slots=True)
class Record:
    """What was measured in one language. Figures are in percent. `seconds` is how long the model took."""

    dataset: str
    split: str
    lang: str
    model: str
    compute_type: str
    model_digest: str
    data_digest: str
    n_examples: int
    n_unanswered: int
    scores: Mapping[str, float]
    baseline: Mapping[str, float]
    seconds: float

    @property
    def key(self) -> str:
        """By what the record is found again."""
        return key_of(self.dataset, self.lang, self.model_digest, self.data_digest)


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of several languages: mean, standard deviation over languages (0 for one), least and greatest."""

    mean: float
    deviation: float
    least: float
    greatest: float


def key_of(dataset: str, lang: str, model_digest: str, data_digest: str) -> str:
    """Return the key of a record."""
    return f"{dataset} {lang} {model_digest[:SHOWN_DIGITS]} {data_digest[:SHOWN_DIGITS]}"


def model_digest(model: Model, head: str, parameters: Mapping[str, object], labels: Mapping[str, str]) -> str:
    """Return the sha256 of all that the answers depend on: files, head, precision, parameters and names of labels."""
    facts = model.model_dump(mode="json")
    of_head = {name: value for name, value in facts["heads"][head].items() if name not in NOT_DIGESTED}
    said = {name: facts[name] for name in DIGESTED} | {"head": of_head, "name": head}
    text = json.dumps([said, dict(parameters), dict(labels)], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def summary(values: Sequence[float]) -> Summary:
    """Sum up the figures of several languages. Raises ValueError for none."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Summary(statistics.fmean(values), deviation, min(values), max(values))


def read(path: Path | None) -> dict[str, Record]:
    """Return the records of a file by key; none when there is no file. Raises ValueError for another kind of file."""
    if path is None:
        return {}
    if not path.parent.is_dir():
        raise ValueError(f"got --out {path}, expected a file in a folder that is there")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"got --out {path}, expected a file that can be written, in a folder that is not read-only")
    if not path.exists():
        return {}
    try:
        records = _records(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        found = f"got --out {path}, which holds no results (records.{place}: {first['msg']})"
        raise ValueError(f"{found}, expected a file that glossa evaluate wrote; name another one") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        found = f"got --out {path}, which holds no results ({type(error).__name__}: {error})"
        raise ValueError(f"{found}, expected a file that glossa evaluate wrote; name another one") from None
    return {record.key: record for record in records}


def _records(value: Any) -> list[Record]:
    if value["version"] != VERSION:
        raise ValueError(f"version {value['version']}")
    return TypeAdapter(list[Record]).validate_python(value["records"])


def write(path: Path | None, records: Mapping[str, Record]) -> None:
    """Write all records at once: a process that is stopped leaves the file of before."""
    if path is None:
        return
    value = {"version": VERSION, "records": [asdict(record) for record in records.values()]}
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
