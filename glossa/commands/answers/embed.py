"""`glossa embed`: turns each line into a vector, by the engine in this process: as JSON lines, or as a .npy file.

Must not know how a vector is made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from glossa.commands.answers.input_lines import Format, Line, Source, source_of
from glossa.commands.answers.output_rows import JsonLines, message
from glossa.commands.answers.run import LineRequest, answered, format_option, run_files
from glossa.commands.answers.run_progress import run_progress
from glossa.commands.arguments import (
    catalog_option,
    examples,
    model_option,
    open_catalog,
    parameters_option,
    read_parameters,
)
from shared.catalog import Catalog
from shared.errors import GlossaError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TASK = "feature-extraction"
SUFFIX = ".npy"
HELP = """\
Turn each line of the FILEs, or of standard input, into a vector.

With --out the vectors become the rows of a float32 matrix that numpy.load reads. A line that cannot be read becomes a
row of NaN there, so that row i belongs to line i; it is named on standard error, and the exit code is then 1.
"""
EXAMPLES = examples(
    "glossa embed --text 'Bonjour le monde.'",
    "glossa embed --normalize --out vectors.npy texts.txt",
    "glossa embed --model mini --prompt query --dimensions 128 < questions.txt > vectors.jsonl",
)


@click.command("embed", help=HELP, epilog=EXAMPLES, short_help="Turn each line into a vector.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@catalog_option
@model_option
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text, in place of files; repeatable.")
@format_option
@click.option("--normalize/--no-normalize", default=None, help="Vectors of length 1. Default: as the model declares.")
@click.option("--dimensions", type=click.IntRange(min=1), metavar="N", help="Only the first N numbers of each.")
@click.option("--prompt", metavar="NAME", help="A prompt of the model that is put before each text.")
@parameters_option
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.npy", help="Write a matrix to this file.")
def embed_command(
    *,
    files: Sequence[str],
    catalog_path: Path,
    model: str | None,
    texts: Sequence[str],
    form: Format,
    normalize: bool | None,
    dimensions: int | None,
    prompt: str | None,
    parameters: Sequence[str],
    out: Path | None,
) -> int:
    """Run the command; return its exit code."""
    named = {"normalize": normalize, "dimensions": dimensions, "prompt_name": prompt}
    given = {name: value for name, value in named.items() if value is not None}
    line_request = LineRequest(TASK, model, {**read_parameters(parameters), **given}, form)
    source, catalog = source_of(files, texts), open_catalog(catalog_path)
    if out is None:
        return run_files(catalog, catalog_path.parent, line_request, source, JsonLines())
    if out.suffix != SUFFIX:
        raise ValueError(f"got --out {str(out)!r}, expected a name that ends in {SUFFIX}; without it, JSON lines")
    return write_matrix(catalog, catalog_path.parent, line_request, source, out)


def write_matrix(catalog: Catalog, root: Path, line_request: LineRequest, source: Source, out: Path) -> int:
    """Write the vector of each line as a row of a float32 matrix; return 1 when some line has none, else 0.

    The file gets its name when it is complete. Raises ValueError when an answer is no plain vector.
    """
    partial = out.with_name(out.name + ".part")
    with run_progress(source.total_bytes()) as advance, partial.open("wb") as file:
        matrix = _MatrixFile(file)
        failed = 0
        for batch, vectors in answered(catalog, root, line_request, source.lines(), _vectors):
            for line, vector in zip(batch, vectors, strict=True):
                if isinstance(vector, GlossaError):
                    failed += 1
                    place = f"{line.file}, " if line.file else ""
                    print(f"glossa: {place}line {line.number}: {message(vector.message)}", file=sys.stderr)
                matrix.add(None if isinstance(vector, GlossaError) else vector)
            advance(len(batch), sum(line.n_bytes + 1 for line in batch))
        matrix.finish()
    partial.replace(out)
    return 1 if failed else 0


def _vectors(
    batch: Sequence[Line], values: Sequence[object]
) -> tuple[Sequence[Line], list[npt.NDArray[np.float32] | GlossaError]]:
    import numpy as np  # noqa: PLC0415 - JSON lines do not need it

    found: list[npt.NDArray[np.float32] | GlossaError] = []
    for value in values:
        if isinstance(value, GlossaError):
            found.append(value)
        elif isinstance(value, list) and value and isinstance(value[0], int | float):
            found.append(np.asarray(value, np.float32))
        else:
            raise ValueError("got answers that are no plain vectors, expected these for --out; without it, JSON lines")
    return batch, found


class _MatrixFile:
    """A .npy file of float32 rows that grows. Its header is written again when the number of rows is known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._width: int | None = None
        self._n_rows = 0

    def add(self, row: npt.NDArray[np.float32] | None) -> None:
        """Append a row; None appends one of NaN."""
        import numpy as np  # noqa: PLC0415 - as above

        self._n_rows += 1
        if row is not None and self._width is None:
            self._width = len(row)
            self._write_header()
            self._file.write(np.full((self._n_rows - 1, self._width), np.nan, np.float32).tobytes())
        if self._width is not None:
            self._file.write((np.full(self._width, np.nan, np.float32) if row is None else row).tobytes())

    def finish(self) -> None:
        """Write the number of rows. A matrix without any vector has no columns."""
        self._width = self._width or 0
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        from numpy.lib import format as npy  # noqa: PLC0415 - as above

        # numpy leaves room in the header for a first dimension that grows.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._n_rows, self._width)}
        npy.write_array_header_1_0(self._file, header)
