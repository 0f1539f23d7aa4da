"""The contract of an object store, run on memory and on moto's S3. Any difference between them fails here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.jobs.storage.aws import open_objects
from functions.jobs.storage.contracts import ObjectStore
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.s3_objects import MAX_PUT_TRIES, S3Objects, _sliced
from shared.errors import Conflict, NotFound, Unavailable
from tests.unit.functions.jobs.storage.cloud import client
from tests.unit.functions.jobs.wiring import Effects

KEYS = [
    "t/x/a b.txt",
    "t/x/a+b.txt",
    "t/x/100%.txt",
    "t/x/日本語 ü.txt",
    "t/x/a//b.txt",
    "t/x/a%2Fb.txt",
    "t/x/é😀.txt",
]
Put = Callable[[str, bytes], None]


@pytest.fixture
def objects(effects: Effects) -> ObjectStore:
    """Return each object store in turn."""
    return effects.objects


@pytest.fixture
def put(effects: Effects) -> Put:
    """Return a function that puts an object into the input bucket, as an outside client would."""

    def outside(key: str, data: bytes) -> None:
        if isinstance(effects.objects, InMemoryObjects):
            effects.objects.put(effects.input_bucket, key, data)
        else:
            client("s3").put_object(Bucket=effects.input_bucket, Key=key, Body=data)

    return outside


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_read_as_it_was_written(effects: Effects, put: Put, key: str) -> None:
    """A key with spaces, plus, percent or Unicode names the same object in every call."""
    put(key, b"0123456789")
    found = effects.objects.head(effects.input_bucket, key)
    assert found is not None
    assert (found.key, found.size_bytes, found.etag) == (key, 10, "781e5e245d69b566979b86e28d23f2c7")
    assert found.version
    assert b"".join(effects.objects.read(effects.input_bucket, key)) == b"0123456789"
    assert [each.key for each in effects.objects.list(effects.input_bucket, "t/x/").objects] == [key]


def test_ranges_are_half_open(effects: Effects, put: Put) -> None:
    """A range gives exactly its bytes, and an empty range none. A range past the end is refused."""
    put("k", b"0123456789")
    read = effects.objects.read
    assert b"".join(read(effects.input_bucket, "k", start=2, end=5)) == b"234"
    assert b"".join(read(effects.input_bucket, "k", start=7)) == b"789"
    assert b"".join(read(effects.input_bucket, "k", start=7, end=99)) == b"789"
    assert b"".join(read(effects.input_bucket, "k", start=4, end=4)) == b""
    with pytest.raises(Conflict, match="shorter"):
        list(read(effects.input_bucket, "k", start=10, end=12))


def test_an_empty_object_is_read_whole(effects: Effects, put: Put) -> None:
    """An empty object is read like any other."""
    put("k", b"")
    assert b"".join(effects.objects.read(effects.input_bucket, "k")) == b""


def test_a_version_is_read_after_it_was_overwritten(effects: Effects, put: Put) -> None:
    """A version id gives the old bytes. An etag refuses the new ones."""
    put("k", b"old")
    old = effects.objects.head(effects.input_bucket, "k")
    put("k", b"newer")
    assert old is not None
    read = effects.objects.read
    assert b"".join(read(effects.input_bucket, "k", version=old.version)) == b"old"
    assert b"".join(read(effects.input_bucket, "k", version=old.version, start=1)) == b"ld"
    assert b"".join(read(effects.input_bucket, "k", version=old.version, start=1, end=2)) == b"l"
    with pytest.raises(Conflict, match="shorter"):
        list(read(effects.input_bucket, "k", version=old.version, start=3, end=5))
    assert effects.objects.head(effects.input_bucket, "k", old.version) == old
    with pytest.raises(Conflict, match="overwritten"):
        list(effects.objects.read(effects.input_bucket, "k", etag=old.etag))


def test_a_missing_object_is_told_apart(effects: Effects) -> None:
    """A missing object has no head and cannot be read."""
    assert effects.objects.head(effects.input_bucket, "nowhere") is None
    with pytest.raises(NotFound):
        list(effects.objects.read(effects.input_bucket, "nowhere"))


def test_put_new_writes_once(effects: Effects) -> None:
    """The bytes, digest and metadata of the first writer stay. The second writer is told so."""
    put = effects.objects.put_new
    assert put(effects.output_bucket, "p", b"first", content_type="text/plain", metadata={"ok": "1"})
    assert not put(effects.output_bucket, "p", b"second", content_type="text/plain", metadata={"ok": "2"})
    stored = effects.objects.head(effects.output_bucket, "p")
    assert stored is not None
    assert (stored.sha256, dict(stored.metadata)) == (hashlib.sha256(b"first").hexdigest(), {"ok": "1"})
    assert b"".join(effects.objects.read(effects.output_bucket, "p")) == b"first"


def test_of_many_writers_one_wins(effects: Effects) -> None:
    """Of 64 writers of one key, sixteen at a time, exactly one writes."""
    effects.objects.head(effects.output_bucket, "warm")

    def write(i: int) -> bool:
        return effects.objects.put_new(effects.output_bucket, "p", b"%d" % i, content_type="x/y", metadata={})

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(write, range(64))) == 1


def test_listing_in_pages_gives_every_key_once(effects: Effects, put: Put) -> None:
    """Pages of any size give all keys of a prefix in order."""
    for key in [*KEYS, "t/y/other.txt"]:
        put(key, b"x")
    for limit in (1, 3, 100):
        found: list[str] = []
        more = True
        while more:
            page = effects.objects.list(effects.input_bucket, "t/x/", after=found[-1] if found else "", limit=limit)
            found += [each.key for each in page.objects]
            more = page.more
        assert found == sorted(KEYS)


def test_erasing_takes_every_version_under_a_prefix(effects: Effects, put: Put) -> None:
    """All versions of all objects under the prefix are removed, and no others. An empty prefix is no error."""
    for key in ("t/x/jobs/1/a", "t/x/jobs/1/a", "t/x/jobs/1/b +%ü", "t/x/jobs/10/a", "t/x/jobs/1"):
        put(key, b"x")
    old = effects.objects.head(effects.input_bucket, "t/x/jobs/1/a")
    assert old is not None
    removed = 0
    while n_removed := effects.objects.erase(effects.input_bucket, "t/x/jobs/1/"):
        removed += n_removed
    assert removed == 3
    assert [each.key for each in effects.objects.list(effects.input_bucket, "t/").objects] == [
        "t/x/jobs/1",
        "t/x/jobs/10/a",
    ]
    assert effects.objects.head(effects.input_bucket, "t/x/jobs/1/a", old.version) is None
    assert effects.objects.put_new(effects.input_bucket, "t/x/jobs/1/a", b"new", content_type="x/y", metadata={})


class Racing:
    """An S3 client that answers each call with the next code; None means that the object was written."""

    class exceptions:  # noqa: N801 - boto3's name
        """Has the error class, as a client of boto3 does."""

        class ClientError(Exception):
            """Carries its response, as botocore's error does."""

            def __init__(self, code: str) -> None:
                self.response = {"Error": {"Code": code}}

    def __init__(self, *codes: str | None) -> None:
        self.codes = list(codes)

    def put_object(self, **_: object) -> None:
        """Answer with the next code."""
        code = self.codes.pop(0)
        if code is not None:
            raise self.exceptions.ClientError(code)


def test_a_race_for_a_key_is_run_again_and_a_taken_key_is_no_error() -> None:
    """After 409 the write is tried again, 412 says that the key is taken, and other errors are raised."""

    def put() -> bool:
        return S3Objects(lambda: racing).put_new("b", "k", b"", content_type="x/y", metadata={})

    for codes, expected in (((None,), True), (("409", None), True), (("ConditionalRequestConflict", "412"), False)):
        racing = Racing(*codes)
        assert put() is expected
        assert not racing.codes
    racing = Racing(*["409"] * MAX_PUT_TRIES)
    with pytest.raises(Unavailable):
        put()
    racing = Racing("AccessDenied")
    with pytest.raises(Racing.exceptions.ClientError):
        put()


def test_signed_addresses_name_the_object(effects: Effects) -> None:
    """An upload form fixes its key. A download address names its object."""
    form = effects.objects.sign_post(effects.input_bucket, "t/x/in.txt", max_bytes=10, expires_s=60)
    assert form.fields["key"] == "t/x/in.txt"
    assert "t/x/in.txt" in effects.objects.sign_get(effects.output_bucket, "t/x/in.txt", expires_s=60)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [(None, "https://uploads.s3.eu-central-1.amazonaws.com/"), ("http://127.0.0.1:9", "http://127.0.0.1:9/uploads")],
)
def test_signed_addresses_follow_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, address: str
) -> None:
    """On AWS they name the bucket in its region. With another endpoint they name that one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    objects = open_objects()
    assert objects.sign_post("uploads", "k", max_bytes=1, expires_s=60).url == address
    assert objects.sign_get("uploads", "k", expires_s=60).startswith(address)


@given(st.lists(st.binary(max_size=5), max_size=6), st.integers(0, 12), st.none() | st.integers(0, 14))
def test_a_range_can_be_cut_out_of_a_whole_answer(chunks: list[bytes], start: int, end: int | None) -> None:
    """A server that ignores the range gives the same bytes as one that does not, in chunks of any size."""
    whole = b"".join(chunks)
    assume(start == 0 or start < len(whole))
    assert b"".join(_sliced(chunks, start, end)) == whole[start:end]
