"""What the name and the first bytes of an object say, and gzip data of any kind."""

from __future__ import annotations

import gzip
import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.records import gunzip as module
from functions.jobs.records.formats import FormatOptions, ObjectProblem, check_head, format_of
from functions.jobs.records.gunzip import gunzip
from functions.jobs.records.shard_runs import MAX_CHARS, shard_limits
from tests.unit.functions.jobs.world import catalog

LINES = FormatOptions(text="lines")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.txt", FormatOptions(), ("document", False)),
        ("a.txt", LINES, ("lines", False)),
        ("A.TXT.GZ", LINES, ("lines", True)),
        ("a.b.jsonl", LINES, ("jsonl", False)),
        ("a.ndjson.gz", FormatOptions(), ("jsonl", True)),
        ("a.csv", FormatOptions(), ("csv", False)),
        ("a.TSV.gz", LINES, ("tsv", True)),
    ],
)
def test_names_say_how_an_object_is_read(name: str, options: FormatOptions, expected: tuple[str, bool]) -> None:
    """The extension decides, in upper or lower case. A .gz at the end is removed first."""
    file_format = format_of(name, options)
    assert (file_format.framing, file_format.gzip) == expected


@pytest.mark.parametrize("name", ["a.pdf", "a", "txt", "a.txt.zip", "a.gz", ".gz", "", "a.txt/b", "a.xlsx"])
def test_other_extensions_are_refused_in_words(name: str) -> None:
    """The problem names the object and the extensions that are read."""
    with pytest.raises(ObjectProblem, match=r"expected one of \.txt, \.jsonl") as refused:
        format_of(name, FormatOptions())
    assert refused.value.problem.code == "wrong-extension"


@pytest.mark.parametrize(
    ("head", "code"),
    [(b"", "empty-object"), (b"ab\x00c", "binary"), (b"%PDF-1.7", "binary"), (b"PK\x03\x04..", "binary"),
     (b"\x1f\x8b\x08", "binary"), ("text".encode("utf-16"), "binary"), (b"\x89PNG\r\n", "binary")],
)  # fmt: skip
def test_what_is_not_text_is_seen_at_once(head: bytes, code: str) -> None:
    """Empty and binary objects are problems of the whole object."""
    with pytest.raises(ObjectProblem, match="got") as refused:
        check_head(head)
    assert refused.value.problem.code == code


def test_what_is_packed_under_a_plain_name_is_said_to_be() -> None:
    """Content-Encoding: gzip leaves the bytes packed in the bucket; the name must then end with .gz."""
    with pytest.raises(ObjectProblem, match=r"still packed \(gzip\), .* end its name with \.gz"):
        check_head(gzip.compress(b'{"text": "a"}'))


@pytest.mark.parametrize(
    "head", [b"a", b"\xef\xbb\xbfa", "日本".encode(), b"\xff is one bad byte", b"x" * 9000 + b"\x00"]
)
def test_text_passes(head: bytes) -> None:
    """Text is read, with a byte order mark or some bad bytes too. Its bad records fail alone."""
    check_head(head)


@given(st.lists(st.binary(max_size=50), max_size=4), st.integers(1, 40))
def test_gzip_of_any_members_and_chunks(members: list[bytes], size: int) -> None:
    """Several members in a row, in chunks of any size, give the bytes that were compressed."""
    packed = b"".join(gzip.compress(member) for member in members) or gzip.compress(b"")
    chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(gunzip(chunks, 1 << 20)) == b"".join(members)


def test_decoded_chunks_are_small() -> None:
    """However well data is compressed, no chunk is larger than 1 MiB."""
    sizes = [len(chunk) for chunk in gunzip([gzip.compress(bytes(5 << 20))], 1 << 30, math.inf)]
    assert sum(sizes) == 5 << 20
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("cut", [0, 1, 9, 15, -1])
def test_gzip_cut_off_is_a_problem(cut: int) -> None:
    """Data that ends too early is a problem, also when there is none at all."""
    packed = gzip.compress(b"some text that is long enough")
    with pytest.raises(ObjectProblem, match="ends too early"):
        list(gunzip([packed[:cut]], 1 << 20))


@pytest.mark.parametrize(
    "data",
    [b"not gzip at all", gzip.compress(b"a", mtime=0) + b"trailing", gzip.compress(b"abc", mtime=0)[:-8] + bytes(8)],
)
def test_broken_gzip_is_a_problem(data: bytes) -> None:
    """Other data, trailing data and a wrong checksum are problems."""
    with pytest.raises(ObjectProblem) as refused:
        list(gunzip([data], 1 << 20))
    assert refused.value.problem.code == "broken-gzip"


def test_a_bomb_ends_early() -> None:
    """No byte of a bomb is yielded, in chunks of any size. Text that grows ten times ends at the limit in bytes."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(20)) + packer.flush()
    for chunks in ([bomb], [bomb[i : i + 100] for i in range(0, len(bomb), 100)]):
        sizes: list[int] = []
        with pytest.raises(ObjectProblem, match=r"grow to \d+, at most 200 times as many"):
            sizes.extend(len(chunk) for chunk in gunzip(chunks, 1 << 40))
        assert sum(sizes) < module.MIN_RATIO_BYTES
    text = b"".join(b"%d: some text\n" % i for i in range(200_000))
    with pytest.raises(ObjectProblem, match="at most 2097152"):
        list(gunzip([gzip.compress(text)], 1 << 21))
    assert b"".join(gunzip([gzip.compress(bytes(5 << 20))], 1 << 30, math.inf)) == bytes(5 << 20)


def test_shards_are_bounded_by_the_models_speed() -> None:
    """A slow model gets small shards, and a fast one the largest."""
    slow, fast = (catalog(speed).model("mini") for speed in (50.0, 1e6))
    assert shard_limits(slow).max_chars == 5000
    assert shard_limits(fast).max_chars == MAX_CHARS
