"""`glossa tokenize` and `glossa detokenize`: from texts to token ids and back. They load no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click

from functions.pipeline.token_view import text_of, tokens_of
from glossa.commands.answers.input_lines import (
    Line,
    batches,
    lines_of,
    open_stdin,
    read_line,
    text_of_line,
    write_stdout,
)
from glossa.commands.arguments import F, catalog_option, examples, open_catalog
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog
from shared.errors import BadRequest, GlossaError

READS_LIKE = "text-classification"  # its inputs are texts and pairs of texts
Write = Callable[[bytes], object]


def _model_option(command: F) -> F:
    return click.option("--model", metavar="MODEL", help="Default: the catalog's default model.")(command)


@click.command(
    "tokenize",
    help="Print ids, pieces and offsets of each line. Offsets count code points.",
    epilog=examples("echo 'The team won.' | glossa tokenize", "glossa tokenize --model mini < texts.txt"),
)
@catalog_option
@click.option("--no-special-tokens", is_flag=True, help="Only the tokens of the text itself.")
@_model_option
def tokenize_command(*, catalog_path: Path, no_special_tokens: bool, model: str | None) -> int:
    """Run the command; return its exit code."""
    catalog, root = open_catalog(catalog_path), catalog_path.parent
    return tokenize_lines(catalog, root, model, open_stdin(), write_stdout, special=not no_special_tokens)


@click.command(
    "detokenize",
    help="Print the text of each line of ids. A line is a JSON list, or an object that `glossa tokenize` wrote.",
    epilog=examples(
        "echo '[0, 581, 2]' | glossa detokenize",
        "glossa tokenize < texts.txt | glossa detokenize --skip-special-tokens",
    ),
)
@catalog_option
@click.option("--skip-special-tokens", is_flag=True, help="Leave special tokens out of the text.")
@_model_option
def detokenize_command(*, catalog_path: Path, skip_special_tokens: bool, model: str | None) -> int:
    """Run the command; return its exit code."""
    catalog, root = open_catalog(catalog_path), catalog_path.parent
    return detokenize_lines(catalog, root, model, open_stdin(), write_stdout, skip_special=skip_special_tokens)


def tokenize_lines(
    catalog: Catalog, root: Path, model: str | None, stream: BinaryIO, write: Write, *, special: bool = True
) -> int:
    """Write what `/v1/tokenize` would answer for each line; return 1 when some line could not be read, else 0."""
    found = catalog.model(model or catalog.default_model)
    tokenizer = tokenizer_of(found, root)

    def answer(line: Line) -> dict[str, object]:
        item = read_line(line, READS_LIKE)
        return tokens_of(item, found, tokenizer, f"line {line.number}", special=special)

    return _each(stream, write, answer)


def detokenize_lines(
    catalog: Catalog, root: Path, model: str | None, stream: BinaryIO, write: Write, *, skip_special: bool = False
) -> int:
    """Write the text of each line of ids as JSON; return 1 when some line is not a JSON list of ids, else 0."""
    tokenizer = tokenizer_of(catalog.model(model or catalog.default_model), root)

    def answer(line: Line) -> dict[str, object]:
        where = f"line {line.number}"
        return {"text": text_of(_ids(line, where), tokenizer, where, skip_special=skip_special)}

    return _each(stream, write, answer)


def _ids(line: Line, where: str) -> list[object]:
    """Read a line that is a list of ids, or an object that `glossa tokenize` wrote."""
    try:
        value: object = json.loads(text_of_line(line))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where}: got no JSON ({error}), expected a list of ids") from None
    ids = value.get("ids") if isinstance(value, dict) else value
    if not isinstance(ids, list):
        raise BadRequest(f'{where}: got no list, expected a list of ids, or an object with "ids"')
    return ids


def _each(stream: BinaryIO, write: Write, answer: Callable[[Line], dict[str, object]]) -> int:
    code = 0
    for batch in batches(lines_of(stream)):
        for line in batch:
            try:
                value = answer(line)
            except GlossaError as error:
                value, code = {"error": error.message, "code": error.code, "line": line.number}, 1
            write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    return code
