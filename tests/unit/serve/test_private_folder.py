"""Only its owner enters the folder around Ray's session, whatever Ray does with the session folder itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ray._common.utils import try_to_create_directory

from serve.private_folder import private_session


@pytest.mark.parametrize("mode", [None, 0o777, 0o755])
def test_the_folder_around_a_session_is_closed(tmp_path: Path, mode: int | None) -> None:
    """A new folder gets mode 0700, and so does one that was open. Ray opens the session in it to all, which is why."""
    folder = tmp_path / "folder"
    if mode is not None:
        folder.mkdir()
        folder.chmod(mode)
    session = private_session(folder)
    try_to_create_directory(str(session))
    assert session.parent == folder
    assert stat.S_IMODE(session.stat().st_mode) == 0o777
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.getuid()


def test_without_a_name_each_folder_is_new() -> None:
    """Two sessions without a folder get two, each closed to others."""
    first, second = private_session(), private_session()
    try:
        assert first != second
        assert {stat.S_IMODE(each.parent.stat().st_mode) for each in (first, second)} == {0o700}
    finally:
        first.parent.rmdir()
        second.parent.rmdir()


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A link that someone put there is not followed."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RuntimeError, match="is a link"):
        private_session(tmp_path / "link")
