"""Makes and reads every S3 key and table key of the batch side. Each key begins with its tenant.

Pure. Names are checked here, so that no key can leave the prefix of its tenant. Must not know what an item or an object
holds.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import category

from shared.error_text import count
from shared.errors import Unprocessable

TENANT = re.compile(r"[a-z0-9-]{1,63}")
JOB = re.compile(r"[0-9a-f]{32}")
RECIPE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SHARD = re.compile(r"[0-9]{8}-[0-9a-f]{12}")
SHARD_SORT_KEY = f"shard/{SHARD.pattern}"  # the pattern of the sort keys of shards
MAX_NAME_BYTES = 512
_REORDERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # overrides and embeddings of direction
MAX_KEY_BYTES = 1024  # of any object; a limit of S3
DUE_PARTITIONS = 16
INDEX_NAME = "gsi1"  # the sparse index of the table: it holds what the sweeper must look at
INDEX_PARTITION, INDEX_SORT = "gsi1pk", "gsi1sk"
INDEX = (INDEX_PARTITION, INDEX_SORT)


class Key(NamedTuple):
    """The primary key of a table item."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """An object that is a job of its own: `t/{tenant}/inbox/{recipe}/{name}`."""

    tenant: str
    recipe: str
    name: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An input of an API job: `t/{tenant}/jobs/{job}/input/{name}`."""

    tenant: str
    job: str
    name: str


def parse_object_key(key: str) -> Inbox | Upload | None:
    """Read a key of the input bucket. Returns None unless it names an inbox object or an upload, and for folders."""
    try:
        root, tenant, folder, owner, name = key.split("/", 4)
    except ValueError:
        return None
    if root != "t" or key.endswith("/") or not TENANT.fullmatch(tenant):
        return None
    if folder == "inbox" and RECIPE.fullmatch(owner):
        return Inbox(tenant, owner, name)
    if folder == "jobs" and JOB.fullmatch(owner) and name.startswith("input/"):
        return Upload(tenant, owner, name.removeprefix("input/"))
    return None


def name_of(key: str) -> str:
    """Return the name that the owner of an object gave it: its key without our prefix."""
    parsed = parse_object_key(key)
    return parsed.name if parsed else key.partition("/data/")[2] or key


def check_name(name: str) -> str:
    """Return an upload's file name unchanged. Raises Unprocessable when it cannot be part of a key."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        found = count(len(name), "character")
        raise Unprocessable(f"got a file name of {found}, expected 1 to {MAX_NAME_BYTES} bytes of UTF-8")
    if "/" in name or "${" in name or name in {".", ".."} or _hidden(name):
        raise Unprocessable(
            f"got file name {name!a}, expected characters that control nothing, without '/' and '${{', and not '.' or"
            " '..'"
        )
    return name


def _hidden(name: str) -> bool:
    """Whether a name holds a character that makes it another than it looks, or that no key of S3 may hold.

    Spaces of any width and joiners are part of names in many languages, and macOS writes U+202F into times.
    """
    return any(
        char in _REORDERS or category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in "\ufffe\uffff" for char in name
    )


def check_prefix(prefix: str) -> str:
    """Return a prefix of a tenant's data unchanged; "" means all. Raises Unprocessable when no key can begin so."""
    if len(prefix.encode("utf-8", "replace")) > MAX_NAME_BYTES or _hidden(prefix) or prefix.startswith("/"):
        raise Unprocessable(
            f"got prefix {prefix[:80]!a}, expected at most {MAX_NAME_BYTES} bytes of UTF-8, no control character and no"
            " '/' first"
        )
    return prefix


def check_recipe(name: str) -> str:
    """Return a recipe's name unchanged. Raises Unprocessable when it is not allowed."""
    if not RECIPE.fullmatch(name):
        raise Unprocessable(f"got recipe name {name!r}, expected {RECIPE.pattern}")
    return name


def inbox_key(tenant: str, recipe: str, name: str) -> str:
    """Return the S3 key of an inbox object."""
    return f"t/{tenant}/inbox/{recipe}/{name}"


def job_prefix(tenant: str, job: str) -> str:
    """Return the beginning of every key of a job, in the table and in S3, without a closing slash."""
    return f"t/{tenant}/jobs/{job}"


def input_prefix(tenant: str, job: str) -> str:
    """Return the S3 prefix of a job's uploads, with the closing slash."""
    return f"{job_prefix(tenant, job)}/input/"


def data_prefix(tenant: str) -> str:
    """Return the S3 prefix under which a tenant keeps objects for jobs over a prefix, with the closing slash."""
    return f"t/{tenant}/data/"


def part_key(tenant: str, job: str, shard: str, generation: int = 0, output: str = "jsonl") -> str:
    """Return the S3 key of a shard's part. `output` is its extension; each generation of a job has its own key."""
    suffix = f".r{generation}" if generation else ""
    return f"{job_prefix(tenant, job)}/parts/{shard}{suffix}.{output}"


def staged_key(tenant: str, job: str, shard: str) -> str:
    """Return the S3 key of a shard's decoded bytes. Only shards of compressed objects have one."""
    return f"{job_prefix(tenant, job)}/staged/{shard}"


def manifest_key(tenant: str, job: str, generation: int = 0) -> str:
    """Return the S3 key of a job's manifest. Each generation of a job writes its own."""
    suffix = f".r{generation}" if generation else ""
    return f"{job_prefix(tenant, job)}/manifest{suffix}.json"


def new_job_id() -> str:
    """Return a fresh random job id."""
    return uuid.uuid4().hex


def job_id_of_token(tenant: str, token: str) -> str:
    """Return the job id that belongs to an Idempotency-Key. It is always the same."""
    return _digest("token", tenant, token)[:32]


def job_id_of_object(bucket: str, key: str, version: str, recipe: str) -> str:
    """Return the job id of an inbox object. `version` is its version id, or its etag where it has none."""
    return _digest("object", bucket, key, version, recipe)[:32]


def shard_id(ordinal: int, bucket: str, key: str, version: str, start: int, end: int) -> str:
    """Return a shard's id: its number within the job, then a hash of the exact bytes that it covers."""
    return f"{ordinal:08d}-{_digest('shard', bucket, key, version, str(start), str(end))[:12]}"


def job_item(tenant: str, job: str) -> Key:
    """Return the key of the job's own item."""
    return Key(job_prefix(tenant, job), "job")


def plan_item(tenant: str, job: str) -> Key:
    """Return the key of a job's plan progress."""
    return Key(job_prefix(tenant, job), "plan")


def webhook_item(tenant: str, job: str, request_sha256: str) -> Key:
    """Return the key of a job's webhook in the table of webhooks. Each request for a job has a key of its own.

    So of two requests with one Idempotency-Key, the one that is refused never replaces the webhook of the other.
    """
    return Key(job_prefix(tenant, job), f"webhook/{request_sha256[:32]}")


def input_item(tenant: str, job: str, ordinal: int) -> Key:
    """Return the key of a pinned input."""
    return Key(job_prefix(tenant, job), f"input/{ordinal:06d}")


def shard_item(tenant: str, job: str, shard: str) -> Key:
    """Return the key of a shard's item. Sorted by key, shards are in the order of their records."""
    return Key(job_prefix(tenant, job), f"shard/{shard}")


def jobs_partition(tenant: str) -> str:
    """Return the partition that lists a tenant's jobs by their time of creation."""
    return f"t/{tenant}/jobs"


def listing_item(tenant: str, created_ms: int, job: str) -> Key:
    """Return the key of a job's entry in its tenant's list."""
    return Key(jobs_partition(tenant), f"{created_ms:014d}/{job}")


def recipes_partition(tenant: str) -> str:
    """Return the partition that holds a tenant's recipes."""
    return f"t/{tenant}/recipes"


def recipe_item(tenant: str, name: str) -> Key:
    """Return the key of a recipe."""
    return Key(recipes_partition(tenant), f"recipe/{name}")


def due_partition(name: str) -> str:
    """Return the partition of the index in which the sweeper finds the job or shard `name` when it is due."""
    return f"due/{int(_digest('due', name)[:4], 16) % DUE_PARTITIONS:02d}"


def due_partitions() -> tuple[str, ...]:
    """Return all partitions of the index."""
    return tuple(f"due/{n:02d}" for n in range(DUE_PARTITIONS))


def due_sort(due_ms: int, name: str) -> str:
    """Return the sort key under which `name` is due at `due_ms` (epoch milliseconds)."""
    return f"{due_ms:014d}/{name}"


def _digest(*parts: str) -> str:
    """Hash parts. The length of each part is hashed before it, so that different tuples never give the same bytes."""
    packed = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (p.encode("utf-8", "surrogatepass") for p in parts))
    return hashlib.sha256(packed).hexdigest()
