"""Runs schemathesis over every operation, then 1,000 hostile texts through every task and route.

    python -m tests.contract [--examples N] [--texts N]

It ends with 1 when a request fails. Without arguments it takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.contract.hostile_requests import encoded, of_others, of_tasks
from tests.contract.hostile_texts import hostile_texts
from tests.contract.http_server import serving
from tests.contract.run_schemathesis import run_schemathesis
from tests.contract.whole_api import WholeApi
from tests.events import FakeContext, request

FAULT = 500  # the first status that is ours


def failures(api: WholeApi, texts: Iterable[str], statuses: Counter[int] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the path and the body of each request that is answered as a fault of ours. Count all statuses."""
    for text in texts:
        for path, body in (*of_tasks(text), *of_others(text)):
            sent = encoded(body)
            with redirect_stdout(StringIO()):  # what the functions log
                made = api.resolve(request("POST", path, sent), FakeContext())
            if statuses is not None:
                statuses[made["statusCode"]] += 1
            if made["statusCode"] >= FAULT:
                yield path, sent[:2000]


def main() -> int:
    """Run both. Return 1 when a request fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50, help="made-up requests of each operation (default: 50)")
    parser.add_argument("--texts", type=int, default=1000, help="hostile texts (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the requests (default: 1)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(WholeApi()) as url:
        phases = "examples,coverage,fuzzing,stateful"
        status, said = run_schemathesis(url, Path(folder), n_examples=chosen.examples, phases=phases, seed=chosen.seed)
    print(said)
    statuses: Counter[int] = Counter()
    found = list(failures(WholeApi(), hostile_texts(chosen.texts, chosen.seed), statuses))
    for path, body in found[:20]:
        print(f"a fault of ours: POST {path} {body}")
    answered = ", ".join(f"{n} with {status}" for status, n in sorted(statuses.items()))
    print(f"hostile texts: {chosen.texts} through every place of every task and of other routes; answered {answered}")
    print(f"hostile texts: {statuses.total() - len(found)} passed, {len(found)} failed")
    return 1 if status or found else 0


if __name__ == "__main__":
    sys.exit(main())
