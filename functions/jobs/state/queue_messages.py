"""The messages in our queues: each names a job, or one of its shards, and never holds text of a document.

Pure: turns a message into a body and back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from functions.jobs.state.keys import JOB, SHARD, TENANT
from shared.errors import DecodeError

Step = Literal["plan", "work", "finalize", "notify"]


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """Asks for one step of a job. Only `work` names a `shard`."""

    step: Step
    tenant: str
    job: str
    shard: str = ""

    def encode(self) -> str:
        """Return the message body."""
        return json.dumps({"glossa": self.step, "tenant": self.tenant, "job": self.job, "shard": self.shard})


def belongs_to(body: str, job: str) -> bool:
    """Whether a message body is one of our messages for this job."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "glossa" in found and found.get("job") == job


def decode_message(body: object, step: Step) -> QueueMessage:
    """Read the parsed JSON of a message body. Raises DecodeError when it is no message for this step."""
    if not isinstance(body, dict) or body.get("glossa") != step:
        raise DecodeError(f"got a message that is no {step} message")
    tenant, job, shard = (str(body.get(name, "")) for name in ("tenant", "job", "shard"))
    if not TENANT.fullmatch(tenant) or not JOB.fullmatch(job) or (step == "work") != bool(SHARD.fullmatch(shard)):
        raise DecodeError(f"got a {step} message with malformed names")
    return QueueMessage(step, tenant, job, shard)
