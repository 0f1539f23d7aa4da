"""A sealer in memory, for tests, simulations and jobs within one process. It encrypts nothing: it keeps the texts."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from functions.jobs.storage.contracts import MAX_SEALED_BYTES
from shared.errors import DecodeError


class InMemorySealer:
    """Gives a random name for each text, and the text for its name in the same context."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, dict[str, str]]] = {}

    def seal(self, text: str, context: Mapping[str, str]) -> str:
        """Return a name of a text of at most MAX_SEALED_BYTES bytes. It says nothing of the text."""
        if not 0 < len(text.encode()) <= MAX_SEALED_BYTES:
            raise ValueError(
                f"got a text of {len(text.encode())} bytes, expected 1 to {MAX_SEALED_BYTES}. This is a bug."
            )
        name = secrets.token_urlsafe()
        self._texts[name] = (text, dict(context))
        return name

    def unseal(self, sealed: str, context: Mapping[str, str]) -> str:
        """Return the text again. Raises DecodeError for another context, and for what was never sealed."""
        text, known = self._texts.get(sealed, ("", None))
        if known != dict(context):
            raise DecodeError("got a sealed text that does not open with this key and context")
        return text
