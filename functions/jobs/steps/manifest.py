"""Builds the manifest of a job from its items. Results are read through the manifest.

Pure. The items of a closed job no longer change, so that every attempt builds the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, Shard, iso

FORMAT = 1


def build_manifest(job: Job, inputs: Iterable[Input], shards: Iterable[Shard]) -> bytes:
    """Return the manifest as JSON text: the spec, the inputs, the parts with their rows, and the counts."""
    spec = json.loads(job.spec) if job.spec else {}
    output = spec.get("output", "jsonl")
    parts = [_part(job, shard, output) for shard in shards if shard.state in {state_machine.DONE, state_machine.FAILED}]
    manifest = {
        "format": FORMAT,
        "job": job.job,
        "generation": job.generation,
        **_replaces(job),
        "state": state_machine.outcome(job),
        "spec": spec or None,
        "output": output,
        "model": job.model,
        "head": job.head,
        "model_revision": job.model_revision,
        "tokenizer_sha256": job.tokenizer_sha256,
        "catalog_sha256": job.catalog_sha256,
        "created_at": iso(job.created_ms),
        "started_at": iso(job.started_ms),
        "finished_at": iso(job.closing_ms),
        "counts": _counts(job, parts),
        "inputs": [_input(each) for each in inputs],
        "parts": parts,
    }
    return json.dumps(manifest, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _replaces(job: Job) -> dict[str, object]:
    if not job.generation:
        return {}
    before = keys.manifest_key(job.tenant, job.job, job.generation - 1)
    return {"replaces": {"key": before, "sha256": job.replaces_sha256}}


def _counts(job: Job, parts: list[dict[str, object]]) -> dict[str, object]:
    return {
        "records": job.n_records if job.n_shards else sum(int(str(part["records"])) for part in parts),
        "succeeded": job.records_ok,
        "failed": job.records_failed,
        "shards": job.n_shards,
        "parts": len(parts),
        "inputs": job.n_inputs,
        "unreadable_inputs": job.n_problems,
    }


def _input(source: Input) -> dict[str, object]:
    found: dict[str, object] = {"key": source.key, "size_bytes": source.size_bytes}
    found["version" if source.version else "etag"] = source.identity
    return found | ({"error": {"code": source.code, "detail": source.detail}} if source.code else {})


def _part(job: Job, shard: Shard, output: str) -> dict[str, object]:
    part: dict[str, object] = {
        "key": keys.part_key(job.tenant, job.job, shard.shard, shard.generation, output),
        "sha256": shard.part_sha256,
        "size_bytes": shard.part_bytes,
        "input": shard.key,
        "first_index": shard.record,
        "records": shard.n_records,
        "succeeded": shard.records_ok,
        "failed": shard.records_failed,
    }
    if shard.generation:
        part["generation"] = shard.generation
    if shard.model_revision != job.model_revision:
        part["model_revision"] = shard.model_revision
    return part
