"""The commands of docs/command-line.md run as they stand on the page, with the model that ships."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from glossa.cli import COMMANDS, EXIT_CODES
from tests.house.tree import ROOT
from tests.unit.glossa.test_help import LEAVES

PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
NEEDS_STACK = "glossa up"  # the block with it is parsed, and not run


def test_the_commands_run_one_after_the_other(tmp_path: Path) -> None:
    """Without an error, in a folder that has what the checkout has."""
    for name in ("catalog.toml", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    program = "set -e -o pipefail\n" + "\n".join(block for block in BLOCKS if NEEDS_STACK not in block)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"label": "sports"' in done.stdout
    assert "1  Angela Merkel visited Paris.  " in done.stdout
    header, *rows = (tmp_path / "topics.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["line", "label", "score", "error"]
    assert [row.split("\t")[0] for row in rows] == ["1", "1", "1", "2", "2", "2"]
    assert np.load(tmp_path / "vectors.npy").shape[0] == 2
    assert done.stdout.splitlines()[-2:] == [
        '{"text": "The doctors gave the patients a new medicine."}', '{"text": "The water is rising."}',
    ]  # fmt: skip
    assert (tmp_path / "glossa.fish").read_text(encoding="utf-8").startswith("function _glossa_completion")


def test_the_commands_of_the_stack_are_there() -> None:
    """Each can be typed with the options of the page."""
    [block] = [block for block in BLOCKS if NEEDS_STACK in block]
    for line in block.splitlines():
        _, name, *arguments = shlex.split(line, comments=True)
        LEAVES[name,].make_context(name, arguments)


def test_the_page_names_every_command_and_exit_code() -> None:
    """The tables are those of the program."""
    table = PAGE.partition("## Exit codes")[0]
    assert [name for name in COMMANDS if f"`{name}" not in table] == []
    codes = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert codes == re.findall(r"^  (\d+) +(.*)$", EXIT_CODES, re.MULTILINE)
