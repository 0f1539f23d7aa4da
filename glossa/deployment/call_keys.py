"""Makes and replaces the call keys of an installation, and refuses a step that would refuse calls.

A rotation has three steps: add a key, sign with it, retire the old one. The secret of Secrets Manager is the source.
Instances read it by themselves, and the pods of a cluster read a copy. Times are those of AWS, so the clock of this
machine does not count. Must not know kubectl, environments, or who signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol

from shared.call_keys import new_key, read_call_keys, write_call_keys
from shared.call_token import CallKeys

Step = Literal["add", "sign", "retire"]
EMPTY = ("", "{}")
# Between two steps. Functions keep keys for 5 minutes (shared.call_keys.MAX_AGE_S), and what they signed lives for one
# minute more. Instances fetch keys every minute. Kubernetes refreshes a mounted secret in a sync period of one minute,
# behind a cache that may be one minute old (kubernetes/website, configure-pod-configmap.md, "Mounted ConfigMaps are
# updated automatically", with the defaults of its change 15296). The rest is for machines that are late.
WAIT_S = 600


@dataclass(frozen=True, slots=True)
class Stored:
    """The text of a secret, when it was written, and when it was read, in seconds since 1970. No text: since ever."""

    text: str
    written_s: float
    now_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """The text that the replicas of a cluster get, and since when. 0.0: nobody knows."""

    text: str
    since_s: float


class Cluster(Protocol):
    """The copy of the call keys that the pods of a cluster read. Each method raises ValueError when kubectl fails."""

    def held(self) -> Held | None:
        """Return what the cluster has, None when it has no call keys."""
        ...

    def copy(self, text: str, now_s: float) -> None:
        """Make the cluster have this text, and note when it came. A text that is there keeps its time."""
        ...


def next_step(keys: CallKeys) -> Step:
    """Return which step of a rotation comes next. The last key is the newest."""
    if len(keys.keys) == 1:
        return "add"
    return "retire" if keys.signing == list(keys.keys)[-1] else "sign"


def rotated(keys: CallKeys, step: Step) -> CallKeys:
    """Return the keys after a step. Raises ValueError when another step comes next."""
    if step != (expected := next_step(keys)):
        raise ValueError(f"got the step {step}, expected {expected}: the keys are {', '.join(keys.keys)}, "
                         f"and {keys.signing} signs")  # fmt: skip
    if step == "add":
        return CallKeys(keys.signing, {**keys.keys, _fresh_id(keys): new_key()})
    newest = list(keys.keys)[-1]
    return CallKeys(newest, keys.keys if step == "sign" else {newest: keys.keys[newest]})


def create(secrets: Any, secret: str) -> Stored:
    """Return the call keys of a secret; fill it with a first key if it is empty.

    `secrets` is a client of Secrets Manager. Raises ValueError for a secret that holds something else, which stays.
    """
    stored = read_stored(secrets, secret)
    if stored.text.strip() in EMPTY:
        text = write_call_keys(CallKeys("k1", {"k1": new_key()}))
        now_s = _put(secrets, secret, text)
        stored = Stored(text, now_s, now_s)
    read_call_keys(stored.text)
    return stored


def rotate(secrets: Any, secret: str, cluster: Cluster | None, step: Step | None = None) -> tuple[Step, Stored]:
    """Take the next step of a rotation, and copy the keys into the cluster; return the step and the keys after it.

    `step` names the one that is expected. Raises ValueError when another comes next, or when it comes too early. A
    cluster that lacks the newest key then gets it, so that the wait begins.
    """
    stored = read_stored(secrets, secret)
    keys = read_call_keys(stored.text)
    taken = step or next_step(keys)
    text = write_call_keys(rotated(keys, taken))
    if left_s := wait_left_s(stored, cluster):
        if cluster is not None:
            cluster.copy(stored.text, stored.now_s)
        raise ValueError(
            f"got the step {taken} too early: not every reader knows the keys yet, so calls would be refused; "
            f"expected at least {WAIT_S / 60:.0f} minutes between two steps, so repeat this in {left_s:.0f} s"
        )
    now_s = _put(secrets, secret, text)
    if cluster is not None:
        cluster.copy(text, now_s)
    return taken, Stored(text, now_s, now_s)


def wait_left_s(stored: Stored, cluster: Cluster | None) -> float:
    """Return for how long the next step must wait, 0.0 when it need not. Changes nothing.

    A new key needs no wait: it is only accepted. Before it signs, every replica must have it. Before the old one is
    retired, every function must sign with the new one.
    """
    keys = read_call_keys(stored.text)
    if (step := next_step(keys)) == "add":
        return 0.0
    since_s = stored.written_s
    if cluster is not None and step == "sign":
        since_s = max(since_s, _copied_s(keys, cluster) or stored.now_s)
    return max(0.0, since_s + WAIT_S - stored.now_s)


def read_stored(secrets: Any, secret: str) -> Stored:
    """Return what a secret holds, "" when it has no text yet. Raises ValueError with what AWS says."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        secrets.describe_secret(SecretId=secret)  # tells a secret that is not there from one without text
        found = secrets.get_secret_value(SecretId=secret)
    except (BotoCoreError, ClientError) as error:
        if getattr(error, "operation_name", "") == "GetSecretValue" and _code(error) == "ResourceNotFoundException":
            return Stored("", 0.0, 0.0)
        raise ValueError(f"AWS refused: {error}") from None
    # the date of a secret's value is that of its version, so it tells when the last step was taken
    return Stored(str(found["SecretString"]), found["CreatedDate"].timestamp(), _answered_s(found))


def _copied_s(keys: CallKeys, cluster: Cluster) -> float:
    """Return since when the cluster has the newest key, 0.0 when it lacks it or nobody knows."""
    held, newest = cluster.held(), list(keys.keys)[-1]
    try:
        has_it = held is not None and read_call_keys(held.text).keys.get(newest) == keys.keys[newest]
    except ValueError:  # these are no call keys
        has_it = False
    return held.since_s if held is not None and has_it else 0.0


def _put(secrets: Any, secret: str, text: str) -> float:
    """Write a secret; return when that was."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        return _answered_s(secrets.put_secret_value(SecretId=secret, SecretString=text))
    except (BotoCoreError, ClientError) as error:
        raise ValueError(f"AWS refused: {error}") from None


def _answered_s(answer: Any) -> float:
    """Return when AWS answered, in seconds since 1970."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()


def _fresh_id(keys: CallKeys) -> str:
    numbers = [int(key_id[1:]) for key_id in keys.keys if key_id[:1] == "k" and key_id[1:].isdecimal()]
    return f"k{max(numbers, default=0) + 1}"


def _code(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
