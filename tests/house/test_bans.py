"""What stands nowhere: patched tests, ignores without a reason, unsafe loaders, paths of one machine, big files.

Each rule is a function over sources, texts or sizes. One test applies it to the repository, one to a made-up case that
breaks it. The patterns and the made-up cases are written so that this file passes its own rules.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping

from tests.house.tree import ALL, PRODUCT, ROOT, Source, made_up, sources, tracked

MAX_FILE_BYTES = 24 * 2**20
PATCHING = re.compile(r"mock\.patch|Magic[M]ock|from unittest import [m]ock|monkeypatch\.setattr")
IGNORE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[^\]]+\])?|pragma:[a-z ]+)\s*(.*)$")
REASON = re.compile(r"[a-z]{3}")
UNSAFE = ("torch.load(", "pickle.load", "trust_remote_code=True", "yaml.load(", "eval(", "exec(")
# The process of a conversion opens a pickle, with `weights_only`: it makes tensors and nothing else
UNPICKLES = ("glossa/checkpoint_conversion/unpickle.py", "torch.load(")
MACHINE_PATH = re.compile(r"(?<![\w-])/(?:root|work)/|/home/[a-z]")  # a folder `work` of ours is none


def patching(files: Iterable[Source]) -> list[str]:
    """Return the files that replace parts of a module from outside."""
    return [file.path for file in files if PATCHING.search(file.text)]


def bare_ignores(files: Iterable[Source]) -> list[str]:
    """Return file and line of each ignore that gives no reason on its line."""
    return [
        f"{file.path}:{number}"
        for file in files
        for number, comment in _comments(file)
        if (match := IGNORE.search(comment)) and not REASON.search(match[1])
    ]


def _comments(file: Source) -> Iterator[tuple[int, str]]:
    if not any(IGNORE.search(line) for line in file.text.splitlines()):
        return  # reading tokens is slow
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unsafe_calls(files: Iterable[Source]) -> list[tuple[str, str]]:
    """Return file and word of each call that could run code from a file."""
    return [(f.path, word) for f in files for word in UNSAFE if re.search(rf"(?<![\w.]){re.escape(word)}", f.text)]


def machine_paths(texts: Mapping[str, str]) -> list[str]:
    """Return file and line of each path that exists on one machine only."""
    return [
        f"{path}:{number}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


def big_files(sizes: Mapping[str, int]) -> list[str]:
    """Return the paths of files that are too big: history keeps every version."""
    return [path for path, n_bytes in sizes.items() if n_bytes > MAX_FILE_BYTES]


def _texts() -> dict[str, str]:
    """Return the text of each file that is one; a file with a NUL byte is not."""
    contents = {path: (ROOT / path).read_bytes() for path in tracked()}
    return {path: data.decode("utf-8", "replace") for path, data in contents.items() if b"\0" not in data}


def test_nothing_is_patched() -> None:
    """Doubles are passed in, never patched in."""
    assert patching(sources(*ALL)) == []


def test_a_patch_is_found() -> None:
    """Each way to patch is reported."""
    lines = ("mock." + "patch('a.b')", "Magic" + "Mock()", "monkeypatch." + "setattr(a, 'b', 1)")
    assert patching([made_up(f"tests/{n}.py", line) for n, line in enumerate(lines)]) == [
        "tests/0.py",
        "tests/1.py",
        "tests/2.py",
    ]
    assert patching([made_up("tests/a.py", "monkeypatch.setenv('A', '1')")]) == []


def test_every_ignore_has_its_reason() -> None:
    """A lint or type ignore is followed by its reason on the same line."""
    assert bare_ignores(sources(*ALL)) == []


def test_an_ignore_without_a_reason_is_found() -> None:
    """A bare ignore of either kind is reported; one with a reason, or within a string, is not."""
    mark, typed = "# no" + "qa", "# type: " + "ignore"
    text = f"a = 1  {mark}\nb = 2  {mark}: E501\nc = 3  {typed}[arg-type]\nd = 4  {mark}: E501 - a long address\n"
    assert bare_ignores([made_up("serve/a.py", text)]) == ["serve/a.py:1", "serve/a.py:2", "serve/a.py:3"]
    assert bare_ignores([made_up("serve/a.py", f"a = '{mark}'\n")]) == []


def test_unsafe_loaders_are_absent() -> None:
    """The product runs no code of a checkpoint and evaluates no text. One process reads pickles, tensors alone."""
    assert unsafe_calls(sources(*PRODUCT)) == [UNPICKLES]
    program = (ROOT / UNPICKLES[0]).read_text(encoding="utf-8")
    assert program.count(UNPICKLES[1]) == program.count("weights_only=True)") == 1


def test_an_unsafe_loader_is_found() -> None:
    """Each unsafe call is reported; a method of the same name is not."""
    files = [made_up("serve/a.py", word.removesuffix("=True").rstrip("(") + "(1)") for word in ("eval(", "torch.load(")]
    assert unsafe_calls(files) == [("serve/a.py", "eval("), ("serve/a.py", "torch.load(")]
    assert unsafe_calls([made_up("serve/a.py", "model.eval()")]) == []
    elsewhere = made_up("glossa/checkpoint_conversion/convert.py", UNPICKLES[1] + "1)")
    assert unsafe_calls([elsewhere]) == [(elsewhere.path, UNPICKLES[1])] != [UNPICKLES]


def test_no_path_of_one_machine() -> None:
    """No file names a home or work folder of a machine."""
    assert machine_paths(_texts()) == []


def test_a_path_of_one_machine_is_found() -> None:
    """A path with a person's folder is reported; a folder of the repository with such a name is not."""
    texts = {"a.md": "first\nsee /ho" + "me/ada/glossa\n", "b.md": "see /opt/glossa and steps/work/worker.py\n"}
    assert machine_paths(texts) == ["a.md:2"]


def test_big_files_stay_out() -> None:
    """No file has more than 24 MiB."""
    assert big_files({path: (ROOT / path).stat().st_size for path in tracked()}) == []


def test_a_big_file_is_found() -> None:
    """A byte more than allowed is reported."""
    assert big_files({"a.bin": MAX_FILE_BYTES + 1, "b.bin": MAX_FILE_BYTES}) == ["a.bin"]
