"""The contract of a sealer, run on every implementation, and what a store of webhooks makes of it."""

from __future__ import annotations

import pytest

from functions.jobs.state.items import Job
from functions.jobs.state.webhooks import MAX_URL_CHARS, Webhook
from functions.jobs.storage.contracts import MAX_SEALED_BYTES
from shared.errors import DecodeError
from tests.unit.functions.jobs.wiring import Effects

CONTEXT = {"tenant": "local", "job": "0" * 32}
JOB = Job(
    tenant="local", job="0" * 32, state="CREATED", source="api", spec="", created_ms=0, expires_at=9,
    request_sha256="a" * 64,
)  # fmt: skip
HOOK = Webhook(url="https://hooks.example/T0KEN", secret="s3cret-" * 4)


@pytest.mark.parametrize("text", ["x", "ü日😀\n", "x" * MAX_SEALED_BYTES])
def test_a_sealed_text_comes_back_in_its_context(effects: Effects, text: str) -> None:
    """It does not show the text, and the same text is never sealed alike."""
    sealer = effects.webhooks.sealer
    first, second = sealer.seal(text, CONTEXT), sealer.seal(text, CONTEXT)
    assert [sealer.unseal(each, dict(reversed(CONTEXT.items()))) for each in (first, second)] == [text, text]
    assert first != second
    assert len(text) == 1 or text not in first


@pytest.mark.parametrize(
    "context", [{}, {"tenant": "local"}, CONTEXT | {"job": "1" * 32}, CONTEXT | {"tenant": "other"}]
)
def test_it_does_not_open_in_another_context(effects: Effects, context: dict[str, str]) -> None:
    """Neither for another tenant or job, nor without one of them."""
    sealer = effects.webhooks.sealer
    sealed = sealer.seal("text", CONTEXT)
    with pytest.raises(DecodeError):
        sealer.unseal(sealed, context)


@pytest.mark.parametrize("sealed", ["no base64!", "AAAA", "ü"])
def test_what_was_never_sealed_does_not_open(effects: Effects, sealed: str) -> None:
    """Other text is refused too."""
    with pytest.raises(DecodeError):
        effects.webhooks.sealer.unseal(sealed, CONTEXT)


def test_a_webhook_is_kept_found_and_removed(effects: Effects) -> None:
    """The table shows neither address nor secret. Keeping and removing twice is as good as once."""
    store = effects.webhooks
    assert store.find(JOB) is None
    store.keep(JOB, HOOK)
    store.keep(JOB, HOOK)
    assert store.find(JOB) == HOOK
    [item] = store.table.query("t/local/jobs/" + JOB.job).items
    assert not any(word in repr(item) for word in ("T0KEN", HOOK.secret))
    assert item["expires_at"] == JOB.expires_at
    store.remove(JOB)
    store.remove(JOB)
    assert store.find(JOB) is None


def test_the_longest_webhook_can_be_sealed(effects: Effects) -> None:
    """Address and secret of the greatest lengths that the API takes fit into one text."""
    longest = Webhook(url="https://" + "x" * (MAX_URL_CHARS - 8), secret="s" * 256)
    effects.webhooks.keep(JOB, longest)
    assert effects.webhooks.find(JOB) == longest
