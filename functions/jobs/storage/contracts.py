"""What the steps may ask of a table, of buckets, of queues, of an event bus and of a key.

The adapters to AWS and the stores in memory keep the same contracts and pass the same tests. The limits here are those
of AWS. Must not know boto3, or what an item, an object or a message is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from functions.jobs.state.keys import Key
from functions.jobs.state.queue_messages import QueueMessage, Step
from functions.jobs.state.transactions import Item, Page, Update, Write

MAX_WRITES = 100  # of one transaction
CHUNK_BYTES = 1 << 20  # the most that one piece of a read object holds
MAX_SEND_ENTRIES = 10  # of one call to a queue
MAX_DELAY_S = 900  # before a message is delivered
EVENT_SOURCE = "glossa"
MAX_SEALED_BYTES = 4096  # of one text, before it is sealed; a limit of KMS


class Table(Protocol):
    """One table of items, each under a key (pk, sk). Reads are strongly consistent, but for `due`."""

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        ...

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return at most 100 items in the order of their keys, and None for each that does not exist."""
        ...

    def write(self, *writes: Write) -> None:
        """Do all of 1 to 100 writes on different items, or none of them.

        Raises ConditionFailed with the indices of the writes whose guards are false. Raises Unavailable when other
        transactions kept getting in between.
        """
        ...

    def query(
        self, pk: str, *, prefix: str = "", after: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> Page:
        """Return up to `limit` items of a partition, sorted by sk.

        Only items whose sk begins with `prefix` and comes after `after` are returned.
        """
        ...

    def due(self, partition: str, until: str, limit: int) -> list[Key]:
        """Return the keys of items in an index partition with gsi1sk < `until`, oldest first.

        The index may lag behind the writes.
        """
        ...


def check_writes(writes: Sequence[Write]) -> None:
    """Raise ValueError for a transaction that no table would take."""
    if not 1 <= len(writes) <= MAX_WRITES or len({write.key for write in writes}) != len(writes):
        raise ValueError(f"got {len(writes)} writes, expected 1 to {MAX_WRITES} on different items. This is a bug.")
    if any(isinstance(write, Update) and not (write.set or write.add or write.remove) for write in writes):
        raise ValueError("got an update of nothing, expected a Check. This is a bug.")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store knows of one object.

    `version` is "" where the bucket keeps no versions. `sha256` is that of the whole object in hexadecimal digits, or
    "" when the store does not know it.
    """

    key: str
    size_bytes: int
    etag: str
    version: str = ""
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a listing in the order of keys. `more` says that there are keys after the last one."""

    objects: tuple[Stored, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class SignedPost:
    """A form that lets its holder upload one object: POST `fields` and then the `file` to `url`."""

    url: str
    fields: Mapping[str, str]


class ObjectStore(Protocol):
    """Buckets of objects."""

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return what is known of an object, or None. Without a `version`, the newest one is meant."""
        ...

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield the bytes [start, end) in chunks of at most CHUNK_BYTES.

        `etag` guards a read that names no version. Raises NotFound when the object or version does not exist any more.
        Raises Conflict when the object has another etag, or is shorter than `start`.
        """
        ...

    def put_new(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> bool:
        """Write an object unless its key is taken; return True when it was written.

        Raises Unavailable when other writers kept racing for the key.
        """
        ...

    def list(self, bucket: str, prefix: str, *, after: str = "", limit: int = 1000) -> Listed:
        """Return up to `limit` objects whose key begins with `prefix` and comes after `after`."""
        ...

    def erase(self, bucket: str, prefix: str) -> int:
        """Remove up to 1,000 versions of objects whose key begins with `prefix`.

        Returns how many were removed; 0 says that none is left. Raises Unavailable when some could not be removed.
        """
        ...

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Sign the upload of 0 to `max_bytes` bytes to exactly this key."""
        ...

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Sign the download of an object; return its address."""
        ...


class JobQueue(Protocol):
    """One queue for each step. A message is delivered at least once, in no particular order."""

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Send each message to the queue of its step. Raises Unavailable when some were not taken."""
        ...

    def return_message(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a received message be delivered again after `delay_s` seconds. Does nothing when it is too late."""
        ...

    def discard(self, step: Step, is_dead: Callable[[str], bool]) -> tuple[int, int]:
        """Receive up to ten waiting messages, delete those whose body is dead, and return the others at once.

        Returns how many were deleted and how many were returned to the queue.
        """
        ...


class EventBus(Protocol):
    """Takes events for whoever subscribes to them, and delivers each at least once."""

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Publish one event. Raises Unavailable when the bus did not take it."""
        ...


class Sealer(Protocol):
    """Encrypts short texts with one key. A sealed text opens only in the context in which it was sealed."""

    def seal(self, text: str, context: Mapping[str, str]) -> str:
        """Return a text of at most MAX_SEALED_BYTES bytes, encrypted."""
        ...

    def unseal(self, sealed: str, context: Mapping[str, str]) -> str:
        """Return the text again. Raises DecodeError for another context, another key, and what was never sealed."""
        ...
