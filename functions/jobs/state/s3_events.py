"""Reads the two kinds of events with which S3 says that an object was created.

Pure. A key is plain in EventBridge events, and URL-encoded in direct notifications. Test events, delete markers, tag
changes and all other events give nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

SEQUENCER_CHARS = 64


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object as its event names it. `version`, `etag` and `sequencer` may be missing."""

    bucket: str
    key: str
    size_bytes: int
    version: str | None = None
    etag: str | None = None
    sequencer: str | None = None

    @property
    def identity(self) -> str:
        """What tells this content of the key from another: the version id, else the etag, else the sequencer."""
        return self.version or self.etag or self.sequencer or ""

    def order(self) -> tuple[str, str, str]:
        """Return a sort key that orders the writes of one object by time. Sequencers are hexadecimal numbers."""
        return self.bucket, self.key, (self.sequencer or "").lower().rjust(SEQUENCER_CHARS, "0")


def parse_event(event: Mapping[str, Any]) -> tuple[ObjectCreated, ...]:
    """Return the objects that an S3 event names; those of one key come in the order in which they were written.

    Returns nothing for an event that creates no object.
    """
    if event.get("source") == "aws.s3":
        return tuple(_from_eventbridge(event))
    records = event.get("Records")
    if isinstance(records, list):
        found = (created for record in records if (created := _from_notification(record)) is not None)
        return tuple(sorted(found, key=ObjectCreated.order))
    return ()


def is_s3_event(event: Mapping[str, Any]) -> bool:
    """Whether a message body is an S3 event of any kind, rather than one of our own messages."""
    return event.get("source") == "aws.s3" or "Records" in event or event.get("Event") == "s3:TestEvent"


def _from_eventbridge(event: Mapping[str, Any]) -> Iterator[ObjectCreated]:
    detail = event.get("detail")
    if event.get("detail-type") != "Object Created" or not isinstance(detail, Mapping):
        return
    created = _created(detail.get("bucket"), detail.get("object"), version="version-id", etag="etag")
    if created is not None:
        yield created


def _from_notification(record: object) -> ObjectCreated | None:
    if not isinstance(record, Mapping) or not str(record.get("eventName", "")).startswith("ObjectCreated:"):
        return None
    s3 = record.get("s3")
    if not isinstance(s3, Mapping) or not isinstance(s3.get("object"), Mapping):
        return None
    named = {**s3["object"], "key": unquote_plus(str(s3["object"].get("key", "")))}
    return _created(s3.get("bucket"), named, version="versionId", etag="eTag")


def _created(bucket: object, named: object, *, version: str, etag: str) -> ObjectCreated | None:
    if not isinstance(bucket, Mapping) or not isinstance(named, Mapping) or not named.get("key"):
        return None
    size = named.get("size")
    return ObjectCreated(
        bucket=str(bucket.get("name", "")),
        key=str(named["key"]),
        size_bytes=size if isinstance(size, int) else 0,
        version=_unquoted(named.get(version)),
        etag=_unquoted(named.get(etag)),
        sequencer=_unquoted(named.get("sequencer")),
    )


def _unquoted(value: object) -> str | None:
    """Return a value without quotes; None when it is missing, or "null", which stands for no version."""
    text = str(value or "").strip('"')
    return None if text in {"", "null"} else text
