"""Makes the folder in which Ray keeps its session, so that no other user of the machine can enter it.

Ray makes its session folder and those in it with mode 0777, and sockets in them take orders. So the session is one
level below a folder with mode 0700. Must not know Ray's files.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SESSION = "r"  # short: the path of a Unix socket has at most 107 bytes


def private_session(folder: Path | None = None) -> Path:
    """Make `folder` one that only this user can enter, and return the path of Ray's session folder in it.

    Without a folder, a new one is made below the machine's folder for temporary files. A folder that exists is kept
    with what is in it. Raises RuntimeError when it is a link or belongs to another user.
    """
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="glossa-")) / SESSION
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"got {folder}, which belongs to another user or is a link, expected to make it ourselves")
    folder.chmod(0o700)
    return folder / SESSION
