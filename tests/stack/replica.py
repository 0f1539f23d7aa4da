"""A fake model server: Open Inference Protocol v2 over loopback, answered by the fake engine.

It uses the real protocol and refuses what the real server refuses. It needs no Ray and no weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from serve.http.callers import no_check
from shared.call_keys import KeyFile
from shared.call_token import TOKEN_HEADER
from shared.catalog import Catalog
from shared.errors import GlossaError, NotFound
from shared.protocol import CallLimits, decode_call, encode_error, encode_output
from tests.loopback import serving

INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/[^/]+)?/infer")


@contextmanager
def fake_replica(catalog: Catalog, keys: Path | None = None) -> Iterator[str]:
    """Serve every model of a catalog on a free port. Yields the base address.

    With a file of `keys` it refuses what is not signed, as the real server does.
    """
    verify = no_check() if keys is None else KeyFile(keys).verify

    def respond(sent: SentRequest) -> Reply:
        if sent.path == "/v2/health/ready":
            return Reply(200, {}, b"{}")
        try:
            caller = verify(sent.method, sent.path, sent.headers.get(TOKEN_HEADER, ""))
            if caller is not None:
                caller.check_body(sent.data)
            return Reply(200, {}, b"{}") if sent.method == "GET" else _answer(catalog, sent)
        except GlossaError as error:
            body = encode_error(error)
            return Reply(error.status, dict(body.headers), bytes(body.data))

    with serving(respond) as (address, _):
        yield address


def _answer(catalog: Catalog, sent: SentRequest) -> Reply:
    path = INFER.fullmatch(sent.path)
    if path is None:
        raise NotFound(f"no route {sent.path}")
    model = catalog.model(path[1])
    limits = CallLimits(
        max_body_bytes=4 * 2**20,
        max_rows=4096,
        max_tokens=32_768,
        max_row_tokens=model.max_tokens,
        vocab_size=model.vocab_size,
    )
    decoded = decode_call(model.name, sent.headers, sent.data, limits)
    body = encode_output(decoded, model.name, model.revision, infer(FakeEngine(model), decoded.call))
    return Reply(200, dict(body.headers), bytes(body.data))
