"""Says what a file is instead of what its name says: a pointer of Git LFS, a web page, an empty or a cut file.

People have such files after a download that failed or was never done. It must not know tensors or JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

LFS, XET = b"version https://git-lfs.github.com/spec/", b"# xet version"
PULL = "fetch the file itself: `git lfs pull` in the clone, or download it again"
AGAIN = "download or copy it again"
READ_BYTES = 200
HEADER_BYTES = 8  # of a safetensors file: how long its header is
LONGEST_HEADER_BYTES = 100_000_000  # that safetensors reads


def what_is(path: Path) -> tuple[str, str] | None:
    """Return what a file is, and what to do about it; None where its first bytes do not tell."""
    try:
        with path.open("rb") as file:
            first = file.read(READ_BYTES)
    except OSError as error:
        return f"cannot be opened ({error.strerror})", f"make {path.name} readable for this user"
    if not first:
        return "is empty", AGAIN
    if first.startswith((LFS, XET)):
        return "is a pointer of Git LFS, not the file itself", PULL
    if first.lstrip()[:1] == b"<":
        return "is a web page, not the file itself", AGAIN
    return None


def what_is_safetensors(path: Path) -> tuple[str, str] | None:
    """Return what a file is that should be safetensors, and what to do about it; None where nothing tells."""
    if (known := what_is(path)) is not None:
        return known
    with path.open("rb") as file:
        first = file.read(READ_BYTES)
    if first.startswith((b"PK\x03\x04", b"\x80")):
        return "is a pickle under another name", f"rename {path.name} to pytorch_model.bin, then convert it"
    if first.startswith(b"GGUF"):
        return "is a file of llama.cpp (GGUF)", "take the safetensors of the model"
    n_bytes, n_expected = path.stat().st_size, _expected_bytes(path)
    if n_bytes < n_expected:
        return f"is cut off: it has {n_bytes:,} bytes, its header says {n_expected:,}", AGAIN
    return None


def _expected_bytes(path: Path) -> int:
    """Return how many bytes the header of a safetensors file says there are; 0 when it cannot be read."""
    with path.open("rb") as file:
        n_header_bytes = int.from_bytes(file.read(HEADER_BYTES), "little")
        if n_header_bytes > LONGEST_HEADER_BYTES:
            return 0
        header = file.read(n_header_bytes)
    if len(header) < n_header_bytes:
        return HEADER_BYTES + n_header_bytes if header.startswith(b"{") else 0
    try:
        facts = json.loads(header)
        ends = [int(each["data_offsets"][1]) for name, each in facts.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0
    return HEADER_BYTES + n_header_bytes + max(ends, default=0)
