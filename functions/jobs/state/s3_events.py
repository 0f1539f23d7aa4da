"""The two envelopes in which S3 says that an object was made, read into one value.

Pure. Keys are raw in EventBridge events and URL-encoded in direct notifications. Test events,
delete markers, tag changes and anything else give nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

SEQUENCER_CHARS = 64


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object as its event names it; `version`, `etag` and `sequencer` may be missing."""

    bucket: str
    key: str
    size_bytes: int
    version: str | None = None
    etag: str | None = None
    sequencer: str | None = None

    @property
    def identity(self) -> str:
        """What tells this content of the key from another: version id, else etag, else sequencer."""
        return self.version or self.etag or self.sequencer or ""

    def order(self) -> tuple[str, str, str]:
        """Return what sorts the writes of a key by time; sequencers are hexadecimal numbers of any length."""
        return self.bucket, self.key, (self.sequencer or "").lower().rjust(SEQUENCER_CHARS, "0")


def parse_event(event: Mapping[str, Any]) -> tuple[ObjectCreated, ...]:
    """Return the objects an S3 event speaks of, those of one key in the order they were written.

    Empty for every event that makes no object.
    """
    if event.get("source") == "aws.s3":
        return tuple(_from_eventbridge(event))
    records = event.get("Records")
    if isinstance(records, list):
        found = (made for record in records if (made := _from_notification(record)) is not None)
        return tuple(sorted(found, key=ObjectCreated.order))
    return ()


def is_s3_event(event: Mapping[str, Any]) -> bool:
    """Whether a message is S3's (of any kind), rather than one of our own pointers."""
    return event.get("source") == "aws.s3" or "Records" in event or event.get("Event") == "s3:TestEvent"


def _from_eventbridge(event: Mapping[str, Any]) -> Iterator[ObjectCreated]:
    detail = event.get("detail")
    if event.get("detail-type") != "Object Created" or not isinstance(detail, Mapping):
        return
    made = _created(detail.get("bucket"), detail.get("object"), version="version-id", etag="etag")
    if made is not None:
        yield made


def _from_notification(record: object) -> ObjectCreated | None:
    if not isinstance(record, Mapping) or not str(record.get("eventName", "")).startswith("ObjectCreated:"):
        return None
    s3 = record.get("s3")
    if not isinstance(s3, Mapping) or not isinstance(s3.get("object"), Mapping):
        return None
    thing = {**s3["object"], "key": unquote_plus(str(s3["object"].get("key", "")))}
    return _created(s3.get("bucket"), thing, version="versionId", etag="eTag")


def _created(bucket: object, thing: object, *, version: str, etag: str) -> ObjectCreated | None:
    if not isinstance(bucket, Mapping) or not isinstance(thing, Mapping) or not thing.get("key"):
        return None
    size = thing.get("size")
    return ObjectCreated(
        bucket=str(bucket.get("name", "")),
        key=str(thing["key"]),
        size_bytes=size if isinstance(size, int) else 0,
        version=_word(thing.get(version)),
        etag=_word(thing.get(etag)),
        sequencer=_word(thing.get("sequencer")),
    )


def _word(value: object) -> str | None:
    """Return a name without quotes; None when it is missing or S3's word for no version."""
    text = str(value or "").strip('"')
    return None if text in {"", "null"} else text
