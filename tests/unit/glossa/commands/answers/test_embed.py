"""`glossa embed` writes vectors: as JSON lines, and as the rows of a matrix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glossa.cli import main
from glossa.commands.answers.input_lines import MAX_BATCH_LINES


@pytest.fixture
def asked(catalog_path: Path) -> list[str]:
    """Return the command without its texts."""
    return ["embed", "--model", "moods", "--catalog", str(catalog_path)]


def test_the_rows_of_a_matrix_are_the_vectors(
    asked: list[str], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Row i is the vector of line i, over several batches. A line that cannot be read is a row of NaN."""
    texts, out = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    lines = ["", *(f"All human beings {i}" for i in range(MAX_BATCH_LINES + 5)), "", "All human beings 0"]
    texts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert main([*asked, "--normalize", "--out", str(out), str(texts)]) == 1
    matrix = np.load(out)
    assert matrix.dtype == np.float32
    assert matrix.shape[0] == len(lines)
    assert [i for i, row in enumerate(matrix) if np.isnan(row).any()] == [0, len(lines) - 2]
    np.testing.assert_allclose(np.linalg.norm(matrix[1:-2], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix[-1], matrix[1], atol=1e-6)
    captured = capfdbinary.readouterr()
    assert captured.out == b""
    assert b"glossa: line 1: got an empty text" in captured.err
    assert main([*asked, "--normalize", "--text", lines[1]]) == 0
    np.testing.assert_allclose(json.loads(capfdbinary.readouterr().out), matrix[1], atol=1e-6)
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_a_matrix_without_a_vector_has_no_columns(asked: list[str], tmp_path: Path) -> None:
    """It has a row for each line all the same."""
    assert main([*asked, "--text", " ", "--out", str(tmp_path / "none.npy")]) == 1
    assert np.load(tmp_path / "none.npy").shape == (1, 0)


def test_what_is_no_matrix_is_refused(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of another kind, and answers with a vector for each token."""
    assert main([*asked, "--text", "a", "--out", str(tmp_path / "vectors.csv")]) == 2
    assert "expected a name that ends in .npy" in capsys.readouterr().err
    tokens = ["--param", "per_token=true", "--out", str(tmp_path / "tokens.npy")]
    assert main([*asked, "--text", "a", *tokens]) == 2
    assert "got answers that are no plain vectors" in capsys.readouterr().err
    assert not (tmp_path / "tokens.npy").exists()
