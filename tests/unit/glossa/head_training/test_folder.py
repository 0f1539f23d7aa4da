"""A folder is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.head_training.folder import whole_folder


def test_an_interrupt_leaves_what_was_there(tmp_path: Path) -> None:
    """The folder of before stays, and nothing half-written lies beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("before")

    def write_half() -> None:
        with whole_folder(tmp_path / "out") as made:
            (made / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "file").read_text() == "before"


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """What is not in the new folder is gone."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("before")
    with whole_folder(tmp_path / "out") as made:
        (made / "new").write_text("after")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/new"]
