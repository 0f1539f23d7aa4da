"""A temperature undoes the scale of logits, and the calibration error is the gap that it closes."""

from __future__ import annotations

import pytest
import torch

from glossa.head_training.fitting.calibration import calibration_error, temperature


def test_a_temperature_undoes_a_scale() -> None:
    """Labels drawn from scores are calibrated; logits three times as large need a temperature of three."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3000, 4, generator=generator)
    targets = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    ones = torch.ones(3000)
    assert temperature(logits * 3, targets, ones, "one") == pytest.approx(3, rel=0.1)
    assert temperature(logits[:5], targets[:5], ones[:5], "one") is None


def test_calibration_error_by_hand() -> None:
    """Nine of ten right at 0.9 is no gap; half right at 0.8 is a gap of 0.3."""
    assert calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0)
    assert calibration_error([0.8] * 4, [True, False, True, False]) == pytest.approx(0.3)
