"""The sealer contract over a key of KMS. The key never leaves KMS. Must not know what is sealed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from shared.errors import DecodeError


class KmsSealer:
    """The key `key`, by its id or ARN. `make_client` is called at the first use.

    The context is KMS's encryption context. KMS authenticates it, and writes it to its audit trail.
    """

    def __init__(self, key: str, make_client: Callable[[], Any]) -> None:
        self._key = key
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def seal(self, text: str, context: Mapping[str, str]) -> str:
        """Return a text of at most MAX_SEALED_BYTES bytes, encrypted, in base64."""
        sealed = self._client.encrypt(KeyId=self._key, Plaintext=text.encode(), EncryptionContext=dict(context))
        return base64.b64encode(sealed["CiphertextBlob"]).decode()

    def unseal(self, sealed: str, context: Mapping[str, str]) -> str:
        """Return the text again. Raises DecodeError for another context, another key, and what was never sealed."""
        client = self._client
        try:  # ValueError: no base64
            blob = base64.b64decode(sealed, validate=True)
            opened = client.decrypt(KeyId=self._key, CiphertextBlob=blob, EncryptionContext=dict(context))
        except (ValueError, client.exceptions.InvalidCiphertextException, client.exceptions.IncorrectKeyException):
            raise DecodeError("got a sealed text that does not open with this key and context") from None
        return bytes(opened["Plaintext"]).decode()
