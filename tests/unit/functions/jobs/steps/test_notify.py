"""The end of a job: announced once in each generation, and sent to its webhook until that takes it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.jobs.state import keys
from functions.jobs.state.transactions import Put
from functions.jobs.steps.announce import JOB_ENDED
from functions.jobs.storage.eventbridge import EventBridgeBus
from shared.errors import Unavailable, Unprocessable
from tests.unit.functions.jobs.wiring import make_notifier
from tests.unit.functions.jobs.world import TENANT, World

SECRET = "s3cret-" * 4
HOOK = {"url": "https://hooks.example/glossa", "secret": SECRET}
BODY = {"task": "text-classification", "files": ["a.txt"]}


@dataclass
class Receiver:
    """A webhook's server. It answers each call with the next of `answers`, then with 200."""

    answers: list[int | Exception] = field(default_factory=list)
    seen: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Answer a call."""
        self.seen.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(world: World) -> list[dict[str, Any]]:
    """Return the events on the bus."""
    return world.event_bus.events


def ended(world: World, **body: Any) -> str:
    """Run a job to its end; return its id."""
    _, made = world.ask("POST", "/v1/jobs", BODY | body)
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"text")
    world.ask("POST", made["start"])
    world.run()
    return str(made["job"])


def notify(world: World, receiver: Receiver, events: list[dict[str, Any]] | None = None, turns: int = 30) -> None:
    """Move events, by default those of the bus, to the notify queue, and run the notifier until nothing is left."""
    for event in said(world) if events is None else events:
        world.queue.put("notify", json.dumps(event))
    notifier = make_notifier(world.effects, receiver)
    for _ in range(turns):
        event = world.queue.receive("notify")
        if event is None:
            if not world.queue.waiting("notify"):
                return
            world.clock.pass_s(1000)
            continue
        world.queue.acknowledge("notify", event, notifier.handle_event(event))


def test_an_end_is_said_with_where_the_results_are() -> None:
    """There is one event, with state, counts and manifest, and without text, file name or secret."""
    world = World()
    job = ended(world, webhook=HOOK)
    [event] = said(world)
    assert (event["source"], event["detail-type"]) == ("glossa", JOB_ENDED)
    detail = event["detail"]
    assert (detail["id"], detail["job"], detail["tenant"], detail["state"]) == (f"{job}.0", job, TENANT, "SUCCEEDED")
    assert detail["counts"] == {"records": 1, "succeeded": 1, "failed": 0}
    assert detail["manifest"]["sha256"] == world.job(job).manifest_sha256
    assert SECRET not in json.dumps(event)


def test_every_way_to_an_end_is_said() -> None:
    """A cancel before the start, a failure for lack of a recipe, and the second end of a redriven job."""
    world = World()
    _, made = world.ask("POST", "/v1/jobs", BODY)
    world.ask("POST", f"/v1/jobs/{made['job']}/cancel")
    orphan = world.drop("a.txt", b"text", recipe="nosuch")
    world.echo.poison, world.echo.poison_error = "bad", lambda: Unprocessable("no")
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "good"}\n{"text": "bad"}\n')
    world.run()
    world.echo.poison_error = None
    world.ask("POST", f"/v1/jobs/{job}/redrive")
    world.run()
    assert sorted((e["detail"]["id"], e["detail"]["state"]) for e in said(world)) == sorted([
        (f"{made['job']}.0", "CANCELLED"), (f"{orphan}.0", "FAILED"), (f"{job}.0", "PARTIALLY_SUCCEEDED"),
        (f"{job}.1", "SUCCEEDED"),
    ])  # fmt: skip


def test_the_webhook_gets_one_signed_call() -> None:
    """The body is the event's detail. The signature is an HMAC of date and body under the owner's secret."""
    world, receiver = World(), Receiver()
    job = ended(world, webhook=HOOK)
    notify(world, receiver)
    [(url, body, headers)] = receiver.seen
    assert url == HOOK["url"]
    assert json.loads(body) == said(world)[0]["detail"]
    assert headers["glossa-event-id"] == f"{job}.0"
    date, signature = (part.partition("=")[2] for part in headers["glossa-signature"].split(","))
    assert int(date) == world.clock() // 1000
    assert hmac.compare_digest(
        signature, hmac.new(SECRET.encode(), f"{date}.".encode() + body, hashlib.sha256).hexdigest()
    )


def test_a_job_without_webhook_calls_nobody() -> None:
    """Its event is done without a call."""
    world, receiver = World(), Receiver()
    ended(world)
    notify(world, receiver)
    assert receiver.seen == []
    assert world.queue.waiting("notify") == 0


def test_a_call_that_is_not_taken_comes_again() -> None:
    """Server errors, redirects and silence are tried again with a back-off, until a call is taken."""
    world, receiver = World(), Receiver([500, Unavailable("nobody"), 302, 404])
    ended(world, webhook=HOOK)
    notify(world, receiver)
    assert len(receiver.seen) == 5
    assert len({headers["glossa-event-id"] for _, _, headers in receiver.seen}) == 1


@pytest.mark.parametrize("answer", [410, Unprocessable("private")])
def test_a_call_that_can_never_be_taken_ends(answer: int | Exception) -> None:
    """A receiver that says it is gone, or that has a private address, is not called again."""
    world, receiver = World(), Receiver([answer, 500])
    ended(world, webhook=HOOK)
    notify(world, receiver)
    assert len(receiver.seen) == 1


END = {"source": "glossa", "detail-type": JOB_ENDED, "detail": {"tenant": "local", "job": "0" * 32, "generation": 0}}
FOREIGN = [
    [], {}, END | {"source": "other"}, END | {"detail-type": "Other"}, END | {"detail": "x"},
    *(END | {"detail": END["detail"] | bad}  # type: ignore[operator] # a dict
      for bad in ({"tenant": "../x"}, {"job": "y"}, {"generation": "0"}, {"generation": True}, {"generation": None})),
]  # fmt: skip


@pytest.mark.parametrize("body", ["nonsense", *map(json.dumps, FOREIGN)])
def test_foreign_messages_go_the_way_of_the_dead_letters(body: str) -> None:
    """A message that is no event of a job fails, so that someone sees it."""
    world = World()
    world.queue.put("notify", body)
    event = world.queue.receive("notify")
    assert event is not None
    notifier = make_notifier(world.effects, Receiver())
    assert len(notifier.handle_event(event)["batchItemFailures"]) == 1


def forged(job: str, **changes: Any) -> dict[str, Any]:
    """Return an event of the end of a job as somebody else would write it."""
    detail = {"tenant": TENANT, "job": job, "generation": 0, "state": "SUCCEEDED", "counts": {"records": 10**6}}
    return END | {"detail": detail | changes}


def test_what_is_signed_comes_from_the_job_and_not_from_the_event() -> None:
    """A forged event of an ended job sends the truth: no word of the event is in what is signed."""
    world, receiver = World(), Receiver()
    job = ended(world, webhook=HOOK)
    notify(world, receiver, [forged(job, id="forged", state="FAILED", manifest={"key": "forged"}, more="forged")])
    [(_, body, headers)] = receiver.seen
    assert json.loads(body) == said(world)[0]["detail"]
    assert "forged" not in body.decode() + str(headers)


def test_an_event_of_a_job_that_has_not_ended_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Forged, early and stale events, and those of other tenants, are done without a call, and the log says so."""
    world, receiver = World(), Receiver()
    _, made = world.ask("POST", "/v1/jobs", BODY | {"webhook": HOOK})
    running = str(made["job"])
    done = ended(world, webhook=HOOK)
    events = [forged(running), forged(done, tenant="other"), forged(done, generation=1), forged("f" * 32)]
    capsys.readouterr()
    notify(world, receiver, events)
    assert receiver.seen == []
    assert world.queue.waiting("notify") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    refused = [line for line in lines if line["event"] == "event-refused"]
    assert [line["job_id"] for line in refused] == [running, done, done, "f" * 32]
    assert not any("dropped" in line for line in refused)


def test_an_event_that_is_kept_back_until_a_redrive_sends_nothing() -> None:
    """The end of an earlier generation is stale when the next one has begun. Only the last end is sent."""
    world, receiver = World(), Receiver()
    world.echo.poison, world.echo.poison_error = "text", lambda: Unprocessable("no")
    job = ended(world, webhook=HOOK)
    [first] = said(world)
    world.echo.poison_error = None
    world.ask("POST", f"/v1/jobs/{job}/redrive")
    notify(world, receiver, [first])
    world.run()
    notify(world, receiver)
    assert [json.loads(body)["id"] for _, body, _ in receiver.seen] == [f"{job}.1"]


@pytest.mark.parametrize(
    ("hook", "word"),
    [({"url": "http://hooks.example/", "secret": SECRET}, "https://host/path"), ({"url": HOOK["url"]}, "secret"),
     ({"url": "https://10.0.0.1/", "secret": SECRET}, "public internet"),
     ({"url": HOOK["url"], "secret": "canary"}, "secret"), ({"secret": "canary" * 9}, "url"),
     ({"url": HOOK["url"], "secret": "canary" * 9, "more": 1}, "no more"), ({"url": 5, "secret": "canary" * 9}, "url")],
)  # fmt: skip
def test_bad_webhooks_are_refused(hook: dict[str, Any], word: str) -> None:
    """Private addresses, short secrets and missing secrets are a 422 that does not repeat the secret."""
    world = World()
    status, problem = world.ask("POST", "/v1/jobs", BODY | {"webhook": hook})
    assert status == 422
    assert word in problem["detail"]
    assert "canary" not in json.dumps(problem)


def test_a_secret_is_shown_nowhere_and_goes_with_its_job() -> None:
    """Status, list, manifest and log do not hold it. Another secret is another request. A deleted job has none."""
    world = World()
    headers = {"Idempotency-Key": "k"}
    _, made = world.ask("POST", "/v1/jobs", BODY | {"webhook": HOOK}, headers=headers)
    other = BODY | {"webhook": HOOK | {"secret": "another-secret-of-mine"}}
    assert world.ask("POST", "/v1/jobs", other, headers=headers)[0] == 422
    assert world.ask("POST", "/v1/jobs", BODY | {"webhook": HOOK}, headers=headers)[0] == 200
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"text")
    world.ask("POST", made["start"])
    world.run()
    shown = [world.ask("GET", path)[1] for path in ("/v1/jobs", f"/v1/jobs/{made['job']}")]
    assert SECRET not in json.dumps([shown, world.manifest(made["job"])])
    partition = f"t/{TENANT}/jobs/{made['job']}"
    [kept] = world.effects.webhooks.table.query(partition).items  # the webhook of the refused request has gone
    assert SECRET not in repr(kept)
    assert "hooks.example" not in repr(kept)
    assert "webhook" not in repr(world.effects.table.query(partition).items)
    world.ask("DELETE", f"/v1/jobs/{made['job']}")
    world.run()
    assert world.effects.webhooks.table.query(partition).items == ()


def test_a_request_after_the_delete_leaves_no_webhook() -> None:
    """The same Idempotency-Key with the same body is refused once the job is deleted, and keeps nothing."""
    world = World()
    body, headers = BODY | {"webhook": HOOK}, {"Idempotency-Key": "k"}
    _, made = world.ask("POST", "/v1/jobs", body, headers=headers)
    world.ask("DELETE", f"/v1/jobs/{made['job']}")
    world.run()
    assert world.ask("POST", "/v1/jobs", body, headers=headers)[0] == 409
    assert world.effects.webhooks.table.query(f"t/{TENANT}/jobs/{made['job']}").items == ()


def test_a_webhook_of_another_job_cannot_be_opened() -> None:
    """A sealed webhook that was moved to another job is an error, and nobody is called."""
    world, receiver = World(), Receiver()
    first, second = ended(world, webhook=HOOK), ended(world)
    one, other = world.job(first), world.job(second)
    table = world.effects.webhooks.table
    [kept] = table.query(f"t/{TENANT}/jobs/{first}").items
    table.write(
        Put(keys.webhook_item(TENANT, second, other.request_sha256), {"sealed": kept["sealed"], "expires_at": 0})
    )
    assert world.effects.webhooks.find(one) is not None
    notify(world, receiver, [forged(second)], turns=3)
    assert receiver.seen == []
    assert world.queue.waiting("notify") == 1


class Client:
    """An EventBridge client that refuses the first entry."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []

    def put_events(self, Entries: list[dict[str, str]]) -> dict[str, int]:  # noqa: N803 - boto3's name
        """Take every entry but the first."""
        self.entries += Entries
        return {"FailedEntryCount": int(len(self.entries) == 1)}


def test_the_bus_says_when_it_did_not_take_an_event() -> None:
    """A failed entry is a retryable 503. A taken one has source, kind and detail."""
    client = Client()
    bus = EventBridgeBus("jobs", lambda: client)
    with pytest.raises(Unavailable):
        bus.put("k", {"ü": 1})
    bus.put("k", {"ü": 1})
    assert client.entries[1] == {
        "EventBusName": "jobs", "Source": "glossa", "DetailType": "k", "Detail": '{"ü": 1}',
    }  # fmt: skip
