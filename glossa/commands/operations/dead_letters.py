"""`glossa dead-letters`: lists the messages of the dead-letter queues of batch jobs, and has them handled again.

    glossa dead-letters list   --stack NAME [--step plan|work|finalize|notify] [--limit N]
    glossa dead-letters replay --stack NAME [--step …] [--limit N] [--dry-run]

Calls AWS with the caller's own credentials. Must not know what a message looks like.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from functions.jobs.state.queue_messages import Step
from glossa.commands.arguments import F, examples
from glossa.commands.operations.dead_letter_queue import (
    STEPS,
    Outcome,
    QueuePair,
    peek,
    queue_of_url,
    queues_of_stack,
    replay,
)
from shared.error_text import count

LISTED = 100
OpenClient = Callable[[str], Any]  # from the name of a service


@click.group("dead-letters", help="List and replay the messages that batch jobs could not handle.")
def dead_letters_group() -> None:
    """Hold the commands of dead letters. A test may pass another OpenClient as click's `obj`."""


def _where(command: F) -> F:
    """Add the options that choose the queues."""
    for option in (
        click.option("--stack", metavar="NAME", help="The stack of template.yaml, with all of its queues."),
        click.option("--queue", metavar="URL", help="Instead: one dead-letter queue. Needs one --step."),
        click.option(
            "--step", "steps", multiple=True, type=click.Choice(STEPS), help="Only this one; may be repeated."
        ),
        click.option("--limit", type=click.IntRange(1), default=LISTED, show_default=True, help="Of each queue."),
    ):
        command = option(command)
    return command


@dead_letters_group.command(
    "list",
    help="Print a JSON line for each message, without its body. Changes nothing.",
    epilog=examples("glossa dead-letters list --stack glossa-dev"),
)
@_where
def list_command(*, stack: str | None, queue: str | None, steps: Sequence[Step], limit: int) -> int:
    """Run the command; return its exit code."""
    with _aws_errors():
        sqs = _open("sqs")
        for pair in _pairs(sqs, stack, queue, steps):
            for letter in peek(sqs, pair, limit):
                print(json.dumps(letter.shown()), flush=True)
    return 0


@dead_letters_group.command(
    "replay",
    help="Send messages to their queues again. Those that are not ours stay.",
    epilog=examples(
        "glossa dead-letters replay --stack glossa-dev --dry-run", "glossa dead-letters replay --stack glossa-dev"
    ),
)
@_where
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
def replay_command(*, stack: str | None, queue: str | None, steps: Sequence[Step], limit: int, dry_run: bool) -> int:
    """Run the command; return its exit code: 1 when messages stayed that are not ours, or that SQS refused."""
    n_left = 0
    with _aws_errors():
        sqs = _open("sqs")
        for pair in _pairs(sqs, stack, queue, steps):
            outcome = _counted(sqs, pair, limit) if dry_run else replay(sqs, pair, limit, _progress(pair.step))
            stayed = outcome.foreign + outcome.refused
            why = f", {outcome.foreign} not ours, {outcome.refused} refused" if stayed else ""
            verb = "would be replayed" if dry_run else "replayed"
            print(f"{pair.step}: {count(outcome.replayed, 'message')} {verb}{why}", flush=True)
            n_left += stayed
    return int(n_left > 0)


@contextmanager
def _aws_errors() -> Iterator[None]:
    """Turn errors of the AWS library, which the command line does not know, into a ValueError of one line."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only these commands need it

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ValueError(f"AWS refused: {error}") from None


def _counted(sqs: Any, pair: QueuePair, limit: int) -> Outcome:
    ours = [letter.names is not None for letter in peek(sqs, pair, limit)]
    return Outcome(replayed=sum(ours), foreign=len(ours) - sum(ours))


def _progress(step: Step) -> Callable[[Outcome], object]:
    return lambda so_far: print(f"glossa: {step}: {so_far.replayed} replayed", file=sys.stderr, flush=True)


def _pairs(sqs: Any, stack: str | None, queue: str | None, steps: Sequence[Step]) -> list[QueuePair]:
    """Return the queues that the options choose. Raises ValueError when they choose none, or not clearly."""
    if (stack is None) == (queue is None):
        raise ValueError("got --stack and --queue, or neither; expected one of them")
    if stack is not None:
        return queues_of_stack(_open("cloudformation"), stack, steps or STEPS)
    if len(steps) != 1:
        raise ValueError(f"got --queue and {count(len(steps), 'step')}, expected one --step, which reads the messages")
    return [queue_of_url(sqs, str(queue), steps[0])]


def _open(service: str) -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, and only these commands need it

    open_client: OpenClient = click.get_current_context().obj or boto3.client
    return open_client(service)
