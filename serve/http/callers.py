"""Chooses which calls a model server answers: those signed with a key of its file, every call, or none.

Each process of the server makes its own check when it starts, and reads the setting call_keys_file then. The file is
read again when it changes. Must not know routes or Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from shared.call_keys import KeyFile
from shared.call_token import Caller
from shared.errors import Unauthenticated
from shared.log import log_event
from shared.settings import Settings, read_settings

Verify = Callable[[str, str, str], Caller | None]  # method, path with query, token; None: whoever calls may
CallAuth = Literal["keys", "none"]


class CallSettings(Settings):
    """`call_keys_file`: the JSON of shared/call_keys.py. Without it every call is refused."""

    call_keys_file: Path | None = None


def from_key_file() -> Verify:
    """Return the check against the key file of the settings. Raises OSError, ValueError when it cannot be read."""
    path = read_settings(CallSettings).call_keys_file
    if path is None:
        log_event("call-keys", level="error", state="missing", reason="GLOSSA_CALL_KEYS_FILE is not set")
        return nobody
    return KeyFile(path).verify


def nobody(_method: str, _path: str, _token: str) -> Caller:
    """Refuse every call: what a replica without keys does."""
    raise Unauthenticated("this model server has no call keys, so it answers no call", hint="set GLOSSA_CALL_KEYS_FILE")


def no_check() -> Verify:
    """Return a check that lets every call pass and leaves the tenant to the caller: for loopback alone."""
    return lambda _method, _path, _token: None


VERIFIERS: Mapping[CallAuth, Callable[[], Verify]] = {"keys": from_key_file, "none": no_check}
