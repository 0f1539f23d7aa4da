"""The routes of the Open Inference Protocol: what goes on to the model server, what comes back, and what does not."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from functions.http.authentication import OPEN, Auth
from functions.http.text_routes import make_api
from functions.http.v2_routes import MAX_ANSWER_BYTES
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, SentRequest
from functions.replica.transport import NotConnected, Reply
from shared.errors import Overloaded, Unavailable
from shared.limits import MAX_BODY_BYTES
from shared.messages import InferCall, ModelOutput, Tensor, tenant_hash
from shared.protocol import CallLimits, decode_call, decode_output, encode_call, encode_output
from tests.events import FakeContext, event, request
from tests.unit.functions.http.world import pipeline
from tests.unit.functions.replica.world import refusal

INFER = "/v2/models/mini/infer"
CALL = encode_call(InferCall("mini", "topic", Tensor.ints([0, 5, 2]), Tensor.ints([3]), tenant_hash="someone-else"))
LIMITS = CallLimits(max_body_bytes=2**20, max_rows=64, max_tokens=4096, max_row_tokens=512, vocab_size=1000)
Respond = Callable[[SentRequest], Reply]


def answer(sent: SentRequest) -> Reply:
    """Answer as a replica does: binary tensors, and headers that are none of the client's business."""
    decoded = decode_call("mini", sent.headers, sent.data, LIMITS)
    body = encode_output(decoded, "mini", "1", ModelOutput({"logits": Tensor.floats([1.5], (1, 1))}))
    return Reply(200, {**body.headers, "connection": "close", "server": "x", "keep-alive": "1"}, bytes(body.data))


def ask(respond: Respond, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[SentRequest]]:
    """Send one event to the API over a client of a fake server. Return the answer, and what the server got."""
    transport = FakeTransport(respond)
    clock = FakeClock()
    client = ReplicaClient("http://127.0.0.1:9", transport=transport, clock=clock, pause=clock.pause)
    made = make_api(pipeline(), client, OPEN, clock=clock).resolve(raw, FakeContext())
    return made, transport.sent


def infer(path: str = INFER, data: bytes = bytes(CALL.data), **headers: str) -> dict[str, Any]:
    """Return the event of an infer request with a binary body, as API Gateway passes it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(
        "POST", path, base64.b64encode(data).decode(), isBase64Encoded=True, headers={**CALL.headers, **named}
    )


def body_of(made: Mapping[str, Any]) -> bytes:
    """Return the body of a proxy answer as the client gets it."""
    return base64.b64decode(made["body"]) if made["isBase64Encoded"] else made["body"].encode()


def test_tensors_go_through_byte_for_byte() -> None:
    """The server gets the body and its binary header as they were sent, and the client the answer as it was made."""
    made, (sent,) = ask(answer, infer())
    assert (sent.method, sent.path, sent.data) == ("POST", INFER, bytes(CALL.data))
    headers = {name.lower(): values[0] for name, values in made["multiValueHeaders"].items()}
    assert made["statusCode"] == 200
    assert decode_output(headers, body_of(made)).outputs["logits"].float_values().tolist() == [1.5]
    assert headers["content-type"] == "application/octet-stream"
    assert "infer;dur=" in headers["server-timing"]
    assert {"connection", "server", "keep-alive"}.isdisjoint(headers)


def test_the_tenant_is_the_verified_one() -> None:
    """Whatever tenant a caller's headers or body name, the token of the call names the one of the API."""
    raw = infer(x_glossa_token="glossa1.x", x_glossa_tenant="other", x_request_id="mine", authorization="secret")
    _, (sent,) = ask(answer, raw)
    assert sent.tenant == tenant_hash("local")
    assert not [name for name in sent.headers if name.startswith("x-glossa") or name == "authorization"]
    assert sent.headers["x-request-id"] == event("rest_post")["requestContext"]["requestId"]


def test_the_trace_of_the_caller_goes_on() -> None:
    """The server gets the trace id of the request, with another span."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    _, (sent,) = ask(answer, infer(traceparent=f"00-{trace}-00f067aa0ba902b7-01", tracestate="a=1"))
    assert sent.headers["traceparent"].split("-")[1] == trace
    assert "00f067aa0ba902b7" not in sent.headers["traceparent"]
    assert sent.headers["tracestate"] == "a=1"


@pytest.mark.parametrize(("named", "told"), [(None, 21.5), ("3.5", 3.5), ("600", 21.5)])
def test_the_server_gets_the_time_that_is_left(named: str | None, told: float) -> None:
    """A client may name less than the function has, never more."""
    headers = {} if named is None else {"x_request_timeout_seconds": named}
    _, (sent,) = ask(answer, infer(**headers))
    assert float(sent.headers["x-request-timeout-seconds"]) == told
    assert sent.timeout_s == 23.5


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready"), ("POST", "/v2/repository/index"),
     *(("GET", f"/v2/models/mini{rest}") for rest in ("", "/ready", "/config", "/stats")),
     *(("GET", f"/v2/models/mini/versions/1{rest}") for rest in ("", "/ready", "/config", "/stats")),
     ("POST", "/v2/models/mini/versions/1/infer")],
)  # fmt: skip
def test_every_route_goes_to_the_same_path(method: str, path: str) -> None:
    """The answer is the server's own."""
    made, (sent,) = ask(lambda _: Reply(200, {"content-type": "application/json"}, b'{"a": 1}'), request(method, path))
    assert (sent.method, sent.path) == (method, path)
    assert (made["statusCode"], body_of(made)) == (200, b'{"a": 1}')


def test_statistics_of_all_models_are_those_of_each() -> None:
    """A model that is not served now is left out. One answer holds them in the order of the catalog."""

    def respond(sent: SentRequest) -> Reply:
        if sent.path == "/v2/models/mini/stats":
            return refusal(Unavailable("not served", retry_after_s=1.0))
        return Reply(200, {}, json.dumps({"model_stats": [{"name": sent.path}]}).encode())

    made, sent = ask(respond, request("GET", "/v2/models/stats"))
    assert [each.path for each in sent] == ["/v2/models/mini/stats", "/v2/models/plain/stats"]
    assert json.loads(made["body"]) == {"model_stats": [{"name": "/v2/models/plain/stats"}]}


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_the_catalog_says_which_models_are_served(verb: str) -> None:
    """No caller loads or unloads a model. An unknown one is unknown here as well."""
    made, sent = ask(answer, request("POST", f"/v2/repository/models/mini/{verb}", "{}"))
    assert (made["statusCode"], sent) == (403, [])
    assert "the catalog says which models are served" in json.loads(made["body"])["error"]
    assert ask(answer, request("POST", f"/v2/repository/models/nope/{verb}"))[0]["statusCode"] == 404


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_call_goes_on_unpacked(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """The server never sees the coding. The length of the JSON is that of the unpacked body, as tritonclient sends."""
    made, (sent,) = ask(answer, infer(data=pack(bytes(CALL.data)), content_encoding=coding))
    assert (made["statusCode"], sent.data) == (200, bytes(CALL.data))
    assert "content-encoding" not in sent.headers


@pytest.mark.parametrize(("coding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_an_answer_is_packed_for_who_asks_for_one_coding(coding: str, unpack: Callable[[bytes], bytes]) -> None:
    """Its bytes are those of the plain answer. A caller that takes several codings gets it as it is."""
    plain = body_of(ask(answer, infer(accept_encoding="gzip, deflate, br"))[0])
    made, _ = ask(answer, infer(accept_encoding=coding))
    assert made["multiValueHeaders"]["Content-Encoding"] == [coding]
    assert unpack(body_of(made)) == plain
    as_json, _ = ask(lambda _: Reply(200, {"content-type": "application/json"}, b"{}"), infer(accept_encoding=coding))
    assert unpack(body_of(as_json)) == b"{}"


def test_a_name_may_be_encoded() -> None:
    """Clients encode more of a path than they must; the server gets the plain name."""
    made, (sent,) = ask(lambda _: Reply(200, {}, b"{}"), request("GET", "/v2/models/%6Dini/versions/v1%2E5/ready"))
    assert (made["statusCode"], sent.path) == (200, "/v2/models/mini/versions/v1.5/ready")


@pytest.mark.parametrize(
    ("raw", "status", "code", "said"),
    [
        (infer("/v2/models/none/infer"), 404, "not-found", "no model"),
        (infer("/v2/models/mini/versions/../infer"), 404, "not-found", "no version"),
        (infer("/v2/models/mini/nothing"), 404, "not-found", "no route"),
        (infer("/v2/models/%E6%97%A5/infer"), 404, "not-found", "no model '日'"),
        (infer("/v2/models/mini%3Atopic/infer"), 404, "not-found", "no model 'mini:topic'"),
        (infer("/v2/models/..%2Frepository/infer"), 404, "not-found", "no model '../repository'"),
        (infer("/v2/models/mini/versions/1%2F../infer"), 404, "not-found", "no version '1/..'"),
        (request("DELETE", INFER), 405, "method-not-allowed", "expected POST"),
        (infer(x_request_timeout_seconds="soon"), 400, "decode-error", "expected seconds above 0"),
        *(
            (infer(**{name: value}), 400, "bad-request", "visible ASCII characters")
            for name in ("content_type", "inference_header_content_length")
            for value in ("\u4e2d", "\xe9", "a\r\nx-glossa-token: b", "\0", "x" * 257)
        ),
        (infer(data=b"x" * (MAX_BODY_BYTES + 1)), 413, "too-large", "at most 4194304"),
        (infer(data=gzip.compress(bytes(MAX_BODY_BYTES + 1)), content_encoding="gzip"), 413, "too-large", "unpacked"),
        (infer(data=gzip.compress(b"x" * 99)[:-4], content_encoding="gzip"), 400, "bad-request", "an early end"),
        (infer(content_encoding="gzip"), 400, "bad-request", "not gzip"),
        (infer(content_encoding="a\r\nb: c"), 415, "unsupported-media", "expected gzip, deflate, or none"),
        (request("POST", INFER, "=", isBase64Encoded=True), 400, "bad-request", "not base64"),
        (request("POST", INFER, "{}", queryStringParameters={"a": "1"}), 422, "unprocessable", "query parameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_request_is_refused_here(raw: Mapping[str, Any], status: int, code: str, said: str) -> None:
    """The error has the form of the protocol: the key `error`, beside our problem details. Nothing is sent."""
    made, sent = ask(answer, raw)
    problem = json.loads(made["body"])
    assert (made["statusCode"], problem["code"], sent) == (status, code, [])
    assert said in problem["error"]
    assert made["multiValueHeaders"]["Content-Type"] == ["application/json"]


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (refusal(Overloaded("full", retry_after_s=2.0)), 429, "overloaded"),
        (Reply(500, {}, b"Traceback: secret"), 502, "replica-error"),
        (Reply(401, {}, b'{"error": "x", "code": "unauthenticated"}'), 502, "replica-error"),
        (NotConnected("nothing listens"), 503, "unavailable"),
        (Reply(200, {}, b"x" * (MAX_ANSWER_BYTES + 1)), 413, "too-large"),
    ],
    ids=lambda value: str(value) if isinstance(value, str | int) else "",
)
def test_errors_of_the_server_come_in_the_form_of_the_protocol(
    outcome: Reply | Exception, status: int, code: str
) -> None:
    """Refusals keep their seconds to wait. What is internal is not shown."""

    def respond(_: SentRequest) -> Reply:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    made, _ = ask(respond, infer())
    problem = json.loads(made["body"])
    assert (made["statusCode"], problem["code"]) == (status, code)
    assert "secret" not in made["body"]
    if status == 429:
        assert made["multiValueHeaders"]["Retry-After"] == ["2"]


def test_the_largest_answer_fits_into_an_answer_of_lambda() -> None:
    """In base64, with room for headers, it stays below 6 MB."""
    made, _ = ask(lambda _: Reply(200, {}, b"x" * MAX_ANSWER_BYTES), infer())
    assert made["statusCode"] == 200
    assert len(json.dumps(made)) < 6 * 1024 * 1024


def test_a_server_that_is_down_opens_the_breaker_of_its_model() -> None:
    """Outside clients wait for it no more than our own requests do."""

    def respond(_: SentRequest) -> Reply:
        raise NotConnected("nothing listens")

    transport, clock = FakeTransport(respond), FakeClock()
    client = ReplicaClient("http://127.0.0.1:9", transport=transport, clock=clock, pause=clock.pause)
    api = make_api(pipeline(), client, OPEN, clock=clock)
    statuses = [api.resolve(infer(), FakeContext())["statusCode"] for _ in range(7)]
    assert statuses == [503] * 7
    assert len(transport.sent) == 5
    assert client.blocked_s("mini") > 0


@pytest.mark.parametrize(("scopes", "status"), [("infer", 200), ("tasks:text-classification models:read", 403)])
def test_a_bearer_token_needs_the_scope_of_all_tasks(scopes: str, status: int) -> None:
    """The body says which task a call is for, so the scope of one task is not enough."""
    transport, clock = FakeTransport(answer), FakeClock()
    client = ReplicaClient("http://127.0.0.1:9", transport=transport, clock=clock, pause=clock.pause)
    raw = infer()
    raw["requestContext"]["authorizer"] = {"tenant": "key-ada", "principal": "key/0", "scopes": scopes}
    made = make_api(pipeline(), client, Auth("bearer"), clock=clock).resolve(raw, FakeContext())
    assert made["statusCode"] == status
    assert [sent.tenant for sent in transport.sent] == ([tenant_hash("key-ada")] if status == 200 else [])


def test_a_method_in_small_letters_is_the_same_method() -> None:
    """Powertools takes it, so it must not end in a bug of ours."""
    _, (sent,) = ask(lambda _: Reply(200, {}, b"{}"), request("get", "/v2"))
    assert sent.method == "GET"
