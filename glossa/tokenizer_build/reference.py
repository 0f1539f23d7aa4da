"""Loads the tokenizer that transformers 5 gives for a checkpoint folder, and refuses what it gives wrongly.

`AutoTokenizer` is the reference. It believes `tokenizer_class`: under the class of another family it reads the right
files by wrong rules, without a word. Here that is an error that says what to change. No network is used and no code of
a checkpoint is run. Must not know catalogs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glossa.tokenizer_build.rules import lost_rule, prepend_scheme, rules_of, same_meaning
from serve.checkpoints.broken_files import AGAIN, what_is
from shared.error_text import kind, shown
from shared.errors import GlossaError

TOKENIZER, OLDER = "tokenizer.json", "sentencepiece.bpe.model"
CONFIG, ADDED = "tokenizer_config.json", "added_tokens.json"
OURS, KEEPING, XLM = "XLMRobertaTokenizer", "TokenizersBackend", "XLMTokenizer"
KEPT = "PreTrainedTokenizerFast"  # the name of KEEPING in files; transformers 4 knows it too
DECODER = "added_tokens_decoder"  # in CONFIG: the added tokens by id
VOCABULARIES = {  # what is read where there is no TOKENIZER
    OLDER: "a model of SentencePiece", "vocab.json": "the pieces of XLM", "merges.txt": "the merges of XLM",
}  # fmt: skip
NO_LIMIT = 10**30
READ = {OURS, KEEPING, XLM}
MAX_NAMED = 5


class TokenizerError(GlossaError, ValueError):
    """A checkpoint whose tokenizer cannot be read as it was trained. `hint` says what to change."""

    code = "tokenizer-error"


def reference_of(folder: Path) -> Any:
    """Return the tokenizer that `AutoTokenizer` of transformers 5 gives for a folder.

    A folder without `tokenizer_class`, whose model type has another tokenizer by default, is read as
    `XLMRobertaTokenizer` if it holds that one's files, as transformers 4 did. Raises TokenizerError when the folder
    cannot be read, or when the class that it names reads it by other rules than it was trained with.
    """
    stored = _stored(folder)
    _check_files(folder, stored)
    found = _load(folder, stored)
    found.model_max_length = NO_LIMIT  # it plays no role, and some folders have texts or 1e30 there
    name = type(found).__name__
    if name not in READ and not _is_as_stored(found, stored):
        raise _wrong_class(folder, stored, name)
    if getattr(found, "split_special_tokens", False):
        raise TokenizerError(
            f"{folder}: got split_special_tokens true, expected special tokens that are read whole",
            hint=f"delete split_special_tokens from {CONFIG}",
        )
    if name == OURS:
        _check_rules(folder, stored, json.loads(found.backend_tokenizer.to_str()))
    if name != XLM:
        _check_added(folder, stored, found)
    return found


def _load(folder: Path, stored: Mapping[str, Any] | None) -> Any:
    from transformers import AutoTokenizer, XLMRobertaTokenizer  # noqa: PLC0415 - slow, and few commands need it

    reason: Exception | None = None
    try:
        found: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - broken files raise whatever their reader meets first
        found, reason = None, error
    if found is not None and type(found).__name__ in READ and _has_vocabulary(found):
        return found
    named = _class_of(folder)[0]
    is_ours = named is None or named.removesuffix("Fast") == OURS
    if is_ours and _holds_ours(folder, stored):
        try:
            found = XLMRobertaTokenizer.from_pretrained(str(folder), local_files_only=True)
        except Exception as error:  # noqa: BLE001 - as above
            found, reason = None, error
    if found is not None and (type(found).__name__ not in READ or _has_vocabulary(found)):
        return found
    if named is not None and not is_ours and named not in (KEPT, KEEPING) and _holds_ours(folder, stored):
        raise _wrong_class(folder, stored, named)
    if stored is None and (folder / OLDER).is_file():
        raise TokenizerError(f"{folder / OLDER} cannot be read as a model of SentencePiece", hint=AGAIN)
    why = _one_line(reason) if reason else "it has special tokens alone, and no pieces"
    hint = "take its tokenizer files from the checkpoint's source again, or write them with save_pretrained"
    if read_object(folder / "config.json").get("model_type") == "xlm" and named != XLM:
        hint = f'set "tokenizer_class": "{XLM}" in {_class_of(folder)[1]}'
    raise TokenizerError(f"{folder}: transformers cannot read this tokenizer: {why}", hint=hint)


def _check_files(folder: Path, stored: Mapping[str, Any] | None) -> None:
    """Raise TokenizerError for files of which transformers would make something else, or nothing plain."""
    for file, what in VOCABULARIES.items() if stored is None else ():
        if (folder / file).is_file() and (known := what_is(folder / file)) is not None:
            raise TokenizerError(f"{folder / file} {known[0]}, expected {what}", hint=known[1])
    for file in (CONFIG, "config.json"):
        named = read_object(folder / file).get("tokenizer_class")
        if named is not None and not isinstance(named, str):
            raise TokenizerError(f"{folder / file} has tokenizer_class {named!r}, expected a name such as {OURS}")
    if read_object(folder / CONFIG).get("unk_token") == "":  # transformers asks for its id without an end
        raise TokenizerError(f"{folder / CONFIG} has unk_token '', expected a token such as <unk>")
    decoder = read_object(folder / CONFIG).get(DECODER) or {}
    are_objects = isinstance(decoder, Mapping) and all(isinstance(facts, Mapping) for facts in decoder.values())
    if not are_objects or not all(
        i.isdecimal() and isinstance(facts.get("content"), str) for i, facts in decoder.items()
    ):
        raise TokenizerError(f"{folder / CONFIG} has {DECODER} {shown(decoder)}, expected tokens by their ids")
    listed = read_object(folder / ADDED)
    if wrong := [f"{token} {i!r}" for token, i in listed.items() if type(i) is not int]:
        raise TokenizerError(f"{folder / ADDED} has {wrong[0]}, expected tokens with whole numbers as their ids")


def _holds_ours(folder: Path, stored: Mapping[str, Any] | None) -> bool:
    """Return whether a folder has the files that `XLMRobertaTokenizer` reads."""
    return stored["model"].get("type", "Unigram") == "Unigram" if stored else (folder / OLDER).is_file()


def _is_as_stored(found: Any, stored: Mapping[str, Any] | None) -> bool:
    """Return whether the tokenizer of another family applies exactly the stored rules."""
    backend = getattr(found, "backend_tokenizer", None)
    return stored is not None and backend is not None and same_meaning(stored, json.loads(backend.to_str()))


def _has_vocabulary(found: Any) -> bool:
    """Return whether a tokenizer was read from files: without them it has its special tokens alone."""
    return len(found) > len(set(found.all_special_ids))


def _stored(folder: Path) -> dict[str, Any] | None:
    """Return the content of tokenizer.json, None when there is no such file."""
    path = folder / TOKENIZER
    if not path.is_file():
        return None
    found = read_object(path)
    if not isinstance(found.get("model"), dict):
        raise TokenizerError(f"{path} has no model, expected the rules and vocabulary of a tokenizer")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object. A file that does not exist has no keys. Raises TokenizerError when it is none."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what, advice = what_is(path) or (f"cannot be read as JSON: {error}", AGAIN)
        raise TokenizerError(f"{path} {what}, expected JSON", hint=advice) from None
    if not isinstance(found, dict):
        raise TokenizerError(f"{path} holds {kind(found)}, expected an object")
    return found


def _class_of(folder: Path) -> tuple[str | None, str]:
    """Return the tokenizer class that a folder names, and the file that names it."""
    for file in (CONFIG, "config.json"):
        if isinstance(named := read_object(folder / file).get("tokenizer_class"), str):
            return named, file
    return None, CONFIG


def _wrong_class(folder: Path, stored: Mapping[str, Any] | None, given: str) -> TokenizerError:
    named, file = _class_of(folder)
    said = f"{file} names tokenizer_class {named}" if named else f"no tokenizer_class is named, so {given} is used"
    return TokenizerError(
        f"{folder}: {said}, with which transformers reads these files by the rules of another family; "
        f"expected {OURS} or {KEPT}",
        hint=_advice(folder, stored),
    )


def _advice(folder: Path, stored: Mapping[str, Any] | None) -> str:
    """Return what to change so that transformers applies the rules of the files."""
    steps = []
    wanted = KEPT if stored is not None and lost_rule(stored) is not None else OURS
    named, file = _class_of(folder)
    if named is None or named.removesuffix("Fast") != wanted.removesuffix("Fast"):
        steps.append(f'set "tokenizer_class": "{wanted}" in {file}')
    if wanted == OURS and read_object(folder / CONFIG).get("add_prefix_space") is False:
        steps.append(f"delete add_prefix_space from {CONFIG}")
    return f"{' and '.join(steps)}; of a remote checkpoint, in a copy of its folder"


def _check_rules(folder: Path, stored: Mapping[str, Any] | None, applied: Mapping[str, Any]) -> None:
    """Raise TokenizerError when `XLMRobertaTokenizer` applies other rules than those of training."""
    scheme = prepend_scheme(rules_of(applied)) or "always"
    own = (prepend_scheme(rules_of(stored)) if stored is not None else None) or "always"
    if scheme == "never" and own == "always":
        raise TokenizerError(
            f"{folder}: {CONFIG} has add_prefix_space false, expected a mark before each word as in the vocabulary",
            hint=_advice(folder, stored),
        )
    if stored is not None and (lost := lost_rule(stored, scheme)) is not None:
        raise TokenizerError(
            f"{folder}: {TOKENIZER} has the {lost}, which {OURS} of transformers 5 drops; expected rules that it keeps",
            hint=f'to keep it as in training: set "tokenizer_class": "{KEPT}" in {_class_of(folder)[1]}; of a remote '
            "checkpoint, in a copy of its folder",
        )


def _check_added(folder: Path, stored: Mapping[str, Any] | None, found: Any) -> None:
    """Raise TokenizerError when transformers does not read an added token, or gives it another id than the files."""
    ids: dict[str, int] = found.added_tokens_encoder
    in_file = {token["content"]: int(token["id"]) for token in (stored or {}).get("added_tokens") or ()}
    if other := {token: i for token, i in in_file.items() if ids.get(token) != i}:
        raise TokenizerError(
            f"{folder}: {TOKENIZER} has added tokens that transformers reads otherwise: {_named(other, ids)}",
            hint=_advice_for_tokens(folder, stored, other),
        )
    decoder = read_object(folder / CONFIG).get(DECODER) or {}
    in_decoder = {str(facts["content"]): int(i) for i, facts in decoder.items()}
    if other := {token: i for token, i in in_decoder.items() if found.convert_tokens_to_ids(token) != i}:
        raise TokenizerError(
            f"{folder}: {DECODER} of {CONFIG} has tokens that get other ids from transformers: {_named(other, ids)}",
            hint=f"name the tokens of all ids before them in {DECODER} too: transformers leaves no id out",
        )
    in_list = {token: int(i) for token, i in read_object(folder / ADDED).items()}
    if other := {token: i for token, i in in_list.items() if found.convert_tokens_to_ids(token) != i}:
        raise TokenizerError(
            f"{folder}: {ADDED} has tokens that get other ids from transformers: {_named(other, ids)}",
            hint=f"name the tokens of all ids before them in {ADDED} too: transformers leaves no id out",
        )


def _advice_for_tokens(folder: Path, stored: Mapping[str, Any] | None, other: Mapping[str, int]) -> str:
    """Return what to change so that the added tokens of tokenizer.json keep their ids."""
    vocab = (stored or {}).get("model", {}).get("vocab")
    for token, i in other.items():
        if isinstance(vocab, list) and i < len(vocab) and vocab[i][0] != token:
            return f"give id {i} one name in {TOKENIZER}: {vocab[i][0]} in its vocabulary, {token} in its added_tokens"
    if DECODER in read_object(folder / CONFIG):
        return f"delete {DECODER} from {CONFIG}, so that the tokens of {TOKENIZER} count"
    return f'to keep the tokens of {TOKENIZER}: set "tokenizer_class": "{KEPT}" in {_class_of(folder)[1]}'


def _named(wanted: Mapping[str, int], found: Mapping[str, int]) -> str:
    named = [f"{token} is {i}, there {found.get(token, 'no token')}" for token, i in wanted.items()]
    more = f", and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return ", ".join(named[:MAX_NAMED]) + more


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
