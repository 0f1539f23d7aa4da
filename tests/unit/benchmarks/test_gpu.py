"""The benchmark of a GPU runs at toy size on this machine, and names what it left out."""

from __future__ import annotations

import json

import pytest

from benchmarks.gpu import main


def test_a_toy_model_takes_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """The speeds mean nothing. Answers are those of transformers, also where torch compiles the steps between."""
    main(["--tiny", "--size", "large", "--json"])
    said = capsys.readouterr()
    report = json.loads(said.out)
    systems = {row["system"] for row in report["rows"]}
    assert {"glossa bfloat16", "glossa bfloat16, compiled", "limit: bf16 matmul peak"} <= systems
    goals = {goal["goal"]: goal for goal in report["goals"]}
    assert goals["share of the limit"]["target"] == 0.5
    assert goals["distance to transformers, both in bfloat16"]["ok"]
    assert "did not run: fp8" in said.err
    assert "did not run: CUDA graphs" in said.err
    assert "0 failed" in said.err
