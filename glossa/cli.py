"""The command line: reads arguments, calls one command, says what went wrong in one line.

Exit codes: 0 done, 1 some lines could not be answered, 2 nothing could be done as asked.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, get_args

from functions.tasks.registry import TASK_NAMES
from glossa.commands import models as listing
from glossa.commands import tokens
from glossa.commands.batch_arguments import add_batch
from glossa.commands.run import Job, parse_pairs, run
from shared.catalog import AttnImplementation, Catalog, Dtype, Quantization, SizeClass, load_catalog
from shared.errors import GlossaError

CHECKOUT = Path(__file__).resolve().parents[1]
INTERRUPTED = 130
STDIN = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.command(asked))
    except BrokenPipeError:  # whoever read our lines has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except GlossaError as error:
        return _refused(error.message, error.hint)
    except (ValueError, OSError) as error:
        return _refused(str(error))


def _refused(message: str, hint: str | None = None) -> int:
    print(f"glossa: {message}", file=sys.stderr)
    if hint:
        print(f"glossa: {hint}", file=sys.stderr)
    return 2


def _run(asked: argparse.Namespace) -> int:
    job = Job(asked.task, asked.model, parse_pairs(asked.param), asked.format)
    return run(_catalog(asked), asked.catalog.parent, job, _stdin(), _write)


def _tokenize(asked: argparse.Namespace) -> int:
    special = not asked.no_special_tokens
    return tokens.tokenize_lines(_catalog(asked), asked.catalog.parent, asked.model, _stdin(), _write, special=special)


def _detokenize(asked: argparse.Namespace) -> int:
    skip = asked.skip_special_tokens
    return tokens.detokenize_lines(
        _catalog(asked), asked.catalog.parent, asked.model, _stdin(), _write, skip_special=skip
    )


def _models(asked: argparse.Namespace) -> int:
    catalog = _catalog(asked)
    print(json.dumps(listing.as_json(catalog)) if asked.json else listing.as_table(catalog))
    return 0


def _artifacts(asked: argparse.Namespace) -> int:
    from glossa.commands.artifacts import write_artifacts  # noqa: PLC0415 - each command pays for its own imports

    for path in write_artifacts(_catalog(asked), asked.catalog.parent, asked.out):
        print(path)
    return 0


def _catalog_add(asked: argparse.Namespace) -> int:
    from glossa.commands.catalog import EntryOptions, add  # noqa: PLC0415 - likewise

    options = EntryOptions(
        asked.name, asked.head, asked.default, asked.tokens_per_s, asked.lane, asked.languages,
        asked.dtype, asked.quantization, asked.int8_embeddings, asked.attn_implementation,
    )  # fmt: skip
    print(add(asked.catalog, asked.checkpoint, options), end="")
    print(f"{asked.catalog} has {asked.name} now; {_reached(asked.catalog)}", file=sys.stderr)
    return 0


def _reached(catalog: Path) -> str:
    """Return what answers with the models of a catalog: only the checkout's own is served."""
    if catalog.resolve() == CHECKOUT / "catalog.toml":
        return "`make run` serves it here, a deployment elsewhere"
    return f"`glossa run --catalog {catalog}` answers with it; what is served stands in {CHECKOUT / 'catalog.toml'}"


def _catalog_refresh(asked: argparse.Namespace) -> int:
    from glossa.commands.catalog import refresh  # noqa: PLC0415 - likewise

    changed = refresh(asked.catalog, asked.name, asked.tokens_per_s)
    print(f"{asked.name}: {', '.join(changed) or 'nothing'} changed")
    return 0


def _catalog(asked: argparse.Namespace) -> Catalog:
    if not asked.catalog.is_file():
        raise ValueError(
            f"got catalog {str(asked.catalog)!r}, which is no file; make one: glossa catalog add FOLDER --name NAME"
        )
    return load_catalog(asked.catalog)


def _stdin() -> BinaryIO:
    if os.isatty(STDIN):
        print("reading lines from the terminal; end with Ctrl-D", file=sys.stderr)
    return open(STDIN, "rb", closefd=False)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="glossa", description="Cross-lingual NLP with the XLM family of models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--catalog", type=Path, default=Path("catalog.toml"), metavar="FILE", help="default: %(default)s"
    )
    _add_run(commands, shared)
    _add_tokens(commands, shared)
    models = _add(commands, shared, "models", "list the catalog's models and heads", _models)
    models.add_argument("--json", action="store_true", help="one JSON value instead of a table")
    artifacts = _add(commands, shared, "artifacts", "write the tokenizer files that the functions carry", _artifacts)
    artifacts.add_argument(
        "--out", type=Path, default=Path("build/artifacts"), metavar="FOLDER", help="default: %(default)s"
    )
    _add_catalog(commands, shared)
    add_batch(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    run_parser = _add(commands, shared, "run", "answer each line of standard input with one JSON line", _run)
    run_parser.epilog = (
        'A line is a text, a JSON string, or a JSON object with the names of the task: {"text", "text_pair"}, '
        '{"question", "context"}, {"text", "choices"}, {"query", "documents"}, {"source_sentence", "sentences"}, each '
        'also with "lang" for models that read languages. A line that cannot be answered gets '
        '{"error", "code", "line"}, and the exit code is then 1. Lines may hold 4,000,000 bytes of UTF-8.'
    )
    run_parser.add_argument("--task", required=True, metavar="TASK", help=f"one of {', '.join(TASK_NAMES)}")
    run_parser.add_argument("--model", metavar="MODEL[:HEAD]", help="default: the default model, and its default head")
    run_parser.add_argument(
        "--param", action="append", default=[], metavar="K=V", help="a parameter of the task; repeatable"
    )
    run_parser.add_argument("--format", choices=("auto", "text", "jsonl"), default="auto", help="how lines are read")


def _add_tokens(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    tokenize = _add(commands, shared, "tokenize", "print ids, pieces and offsets (code points) of each line", _tokenize)
    tokenize.add_argument("--no-special-tokens", action="store_true", help="only the tokens of the text itself")
    detokenize = _add(commands, shared, "detokenize", "print the text of each line, a JSON list of ids", _detokenize)
    detokenize.add_argument("--skip-special-tokens", action="store_true", help="leave special tokens out of the text")
    for command in (tokenize, detokenize):
        command.add_argument("--model", metavar="MODEL", help="default: the catalog's default model")


def _add_catalog(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    inner = commands.add_parser("catalog", help="add a model, or take over its new files").add_subparsers(
        required=True, metavar="COMMAND"
    )
    speed: dict[str, Any] = {
        "type": _speed, "metavar": "N", "help": "tokens one replica answers in a second; default: measured here",
    }  # fmt: skip
    add = _add(inner, shared, "add", "append a checkpoint to the catalog", _catalog_add)
    add.add_argument("checkpoint", metavar="FOLDER", help="a folder, s3://bucket/prefix or hub:name@revision")
    add.add_argument("--name", required=True, help="how requests will name it: a-z 0-9 . _ -")
    add.add_argument("--head", action="append", default=[], help="serve only this head or task; repeatable")
    add.add_argument("--default", action="append", default=[], metavar="HEAD", help="its task's default; repeatable")
    add.add_argument("--tokens-per-s", **speed)
    add.add_argument("--lane", choices=get_args(SizeClass), help="default: base")
    add.add_argument("--languages", help="a line for people: what it was trained on")
    _add_stored(add)
    refreshed = "rewrite a model's two sha256 from its files, and its tokens_per_s as measured here"
    refresh = _add(inner, shared, "refresh", refreshed, _catalog_refresh)
    refresh.add_argument("name", help="a model of the catalog")
    refresh.add_argument("--tokens-per-s", **speed)


def _add_stored(add: argparse.ArgumentParser) -> None:
    for flag, kinds, text in (
        ("--dtype", Dtype, "what weights are computed in"),
        ("--quantization", Quantization, "what the layers' weights are stored in"),
        ("--attn-implementation", AttnImplementation, "by the names of transformers"),
    ):
        choices = get_args(kinds)
        add.add_argument(flag, choices=choices, default=choices[0], help=f"{text}; default: %(default)s")
    add.add_argument("--int8-embeddings", action="store_true", help="store the rows of the word embeddings in 8 bits")


def _speed(text: str) -> float:
    if not 0 < (speed := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected tokens per second above 0")
    return speed


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    name: str,
    text: str,
    command: object,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, parents=[shared])
    parser.set_defaults(command=command)
    return parser
