"""Serves one of `batch_engines` with LitServe.

`--variant ENGINE-ROWS-COLLECTED`: COLLECTED requests make a batch. POST /predict {"rows": [[ids]]} -> {"answers":
[[label, score]]}. One worker process, on 127.0.0.1 only.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import litserve
from batch_engines import Answers, make

WINDOW_S = 0.01


class Classify(litserve.LitAPI):
    """Answers requests of one or more rows, many requests at a time."""

    def __init__(self, options: argparse.Namespace, variant: str, collected: int) -> None:
        """Collect at most `collected` requests, for at most 10 ms."""
        super().__init__(max_batch_size=collected, batch_timeout=WINDOW_S if collected > 1 else 0.0)
        self.options, self.variant, self.collects = options, variant, collected > 1

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe passes it
        """Load the engine in the worker."""
        self.engine = make(self.variant, self.options.checkpoint, self.options.threads)

    def decode_request(self, request: dict[str, Any]) -> list[list[int]]:
        """Return the rows of a request."""
        rows: list[list[int]] = request["rows"]
        return rows

    def batch(self, inputs: list[list[list[int]]]) -> list[list[list[int]]]:
        """Keep requests apart; `predict` joins their rows."""
        return inputs

    def predict(self, inputs: list[list[list[int]]]) -> list[Answers] | Answers:
        """Answer all rows of all requests."""
        if not self.collects:
            return self.engine(inputs)
        answers = self.engine([row for rows in inputs for row in rows])
        last = _running_sums([len(rows) for rows in inputs])
        return [answers[end - len(rows) : end] for end, rows in zip(last, inputs, strict=True)]

    def unbatch(self, output: list[Answers]) -> list[Answers]:
        """Return the answers, one item a request."""
        return output

    def encode_response(self, output: Answers) -> dict[str, Any]:
        """Return the JSON of an answer."""
        return {"answers": output}


def _running_sums(sizes: list[int]) -> list[int]:
    """Return the running sums."""
    total, sums = 0, []
    for size in sizes:
        total += size
        sums.append(total)
    return sums


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    variant, _, collected = options.variant.rpartition("-")
    server = litserve.LitServer(
        Classify(options, variant, int(collected)), accelerator="cpu", timeout=60, disable_openapi_url=True
    )
    server.run(host="127.0.0.1", port=options.port, num_api_servers=1, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
