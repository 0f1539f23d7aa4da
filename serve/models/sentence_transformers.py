"""Reads what a folder of sentence-transformers declares: pooling, length 1, prompts, window and comparison of vectors.

A step that we do not apply is refused by name: vectors would be others without it. It must not know tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serve.checkpoints.files import CONFIG, MODULES, PROMPTS, WINDOWS, CheckpointError, read_any_json, read_json
from serve.checkpoints.folders import module_folders, transformer_folder
from serve.models.checkpoint_heads import read_head
from shared.catalog import Head
from shared.messages import Pooling

MODES: Mapping[str, Pooling] = {"cls": "cls", "mean": "mean", "max": "max"}
SERVED = "Transformer, then Pooling (cls, mean or max), then perhaps Normalize"
IDLE = ("Dropout",)  # modules that do nothing but in training
PACKAGE = "sentence_transformers."  # where its own modules are
TRANSFORMER, POOLING, NORMALIZE = "Transformer", "Pooling", "Normalize"
COSINE = ("cosine", "cos_sim")
LEAST_TOKENS = 8  # of a window, in the catalog


@dataclass(frozen=True, slots=True)
class Declared:
    """What a folder declares of its vectors. `max_tokens` is None where it declares no window.

    `ignored` has one plain line for each thing that we know and do not apply.
    """

    pooling: Pooling = "mean"
    normalize: bool = False
    dimensions: int | None = None
    prompts: Mapping[str, str] | None = None
    default_prompt: str = ""
    max_tokens: int | None = None
    compares: bool = True
    ignored: tuple[str, ...] = ()

    def of(self, head: Head, width: int) -> Head:
        """Return an embedder's head with what the folder declares, for vectors of `width` numbers.

        Raises CheckpointError for what cannot be kept.
        """
        is_shorter = self.dimensions is not None and self.dimensions < width
        facts = {
            "pooling": self.pooling,
            "normalize": self.normalize,
            "dimensions": self.dimensions if is_shorter else None,
            "prompts": self.prompts or {},
            "default_prompt": self.default_prompt,
        }
        also = head.also if self.compares else ()
        return read_head({**head.model_dump(), **facts, "also": also})


def read_declared(folder: Path) -> Declared:
    """Return what the files of sentence-transformers in a folder declare; the defaults where there are none.

    Raises CheckpointError that names the module or the setting that we do not apply.
    """
    pooling, normalize, excludes_prompt = _vectors(folder)
    prompts, default = _prompts(folder)
    if excludes_prompt and any(prompts.values()) and pooling != "cls":
        raise CheckpointError(
            f"{folder} has include_prompt = false in its pooling, expected true: vectors are made of all tokens",
            hint=f"to put no prompt before texts, remove `prompts` from {PROMPTS}",
        )
    compares, ignored = _comparison(folder, normalize=normalize)
    window, dimensions = _window(folder), _dimensions(folder)
    return Declared(pooling, normalize, dimensions, prompts, default, window, compares, ignored)


def _vectors(folder: Path) -> tuple[Pooling, bool, bool]:
    """Return the pooling, whether vectors get length 1, and whether a prompt's tokens are left out of them."""
    kinds = [(kind, path) for kind, path in _modules(folder) if kind not in IDLE]
    if not kinds:
        return "mean", False, False
    for kind, path in kinds:
        if kind not in {TRANSFORMER, POOLING, NORMALIZE}:
            raise _refused(f"{MODULES} has {path or kind}, a module of kind {kind}, which is not applied", path or kind)
    names = [kind for kind, _ in kinds]
    if names not in ([TRANSFORMER], [TRANSFORMER, POOLING], [TRANSFORMER, POOLING, NORMALIZE]):
        raise _refused(f"{MODULES} has the modules {', '.join(names)}", "the others")
    if POOLING not in names:
        return "mean", False, False
    place = folder / kinds[1][1] / CONFIG
    facts = read_json(place)
    return _pooling(facts, place), NORMALIZE in names, facts.get("include_prompt") is False


def _refused(what: str, path: str) -> CheckpointError:
    hint = f"for vectors without it, which are others, remove the entry of {path} from {MODULES} of a copy"
    return CheckpointError(f"{what}, expected {SERVED}", hint=hint)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the kind and the folder of each module. Without a type, the folder's name says the kind."""
    places = module_folders(folder)
    if not places:
        return []
    listed = read_any_json(folder / MODULES)
    types = [str(entry.get("type") or "") for entry in listed] if isinstance(listed, list) else []
    if own := [kind for kind in types if kind and not kind.startswith(PACKAGE)]:
        raise CheckpointError(f"{MODULES} asks for remote code ({own[0]}), which is never run")
    named = [re.sub(r"^\d+_", "", place) or TRANSFORMER for place in places]
    return [(kind.rpartition(".")[2] or name, place) for kind, name, place in zip(types, named, places, strict=True)]


def _pooling(facts: Mapping[str, object], path: Path) -> Pooling:
    """Return the only mode of pooling that a module's config.json names."""
    said = facts.get("pooling_mode")  # one name or several, in newer files
    if said is None:
        given = {name: value for name, value in facts.items() if name.startswith("pooling_mode_")}
        if wrong := [f"{name} {value!r}" for name, value in given.items() if not isinstance(value, bool)]:
            raise CheckpointError(f"{path} has {wrong[0]}, expected true or false")
        stated = [name for name, value in given.items() if value]
        modes = [name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for name in stated]
    else:
        modes = [str(mode).lower() for mode in (said if isinstance(said, list) else [said])]
    if not modes and said is None and "pooling_mode_mean_tokens" not in facts:
        return "mean"  # the default of sentence-transformers
    if len(modes) != 1 or modes[0] not in MODES:
        found = " and ".join(modes) or "none"
        raise CheckpointError(f"{path} has pooling {found}, expected one of {', '.join(MODES)}")
    return MODES[modes[0]]


def _prompts(folder: Path) -> tuple[dict[str, str], str]:
    """Return the prompts by name, and the name of the default one, or "". A text may be empty: null stands for it."""
    if not (folder / PROMPTS).is_file():
        return {}, ""
    facts = read_json(folder / PROMPTS)
    prompts = facts.get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise CheckpointError(f"{folder / PROMPTS} has prompts {prompts!r:.200}, expected texts by name")
    default = facts.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise CheckpointError(
            f"{folder / PROMPTS} has default_prompt_name {default!r}, expected one of {sorted(prompts)}"
        )
    kept = {str(name): text or "" for name, text in prompts.items()}
    return kept, str(default) if default is not None and kept[default] else ""


def _dimensions(folder: Path) -> int | None:
    """Return how many first numbers of a vector are answered: `truncate_dim`, which newer versions store and apply."""
    found = read_json(folder / PROMPTS).get("truncate_dim") if (folder / PROMPTS).is_file() else None
    if found is not None and (not isinstance(found, int) or isinstance(found, bool) or found < 1):
        raise CheckpointError(f"{folder / PROMPTS} has truncate_dim = {found!r}, expected a whole number from 1 on")
    return found


def _comparison(folder: Path, *, normalize: bool) -> tuple[bool, tuple[str, ...]]:
    """Return whether texts may be compared by cosine, and a line if not."""
    name = read_json(folder / PROMPTS).get("similarity_fn_name") if (folder / PROMPTS).is_file() else None
    if name is None or name in COSINE or normalize:  # of vectors of length 1 all of its functions give one order
        return True, ()
    return False, (f"similarity_fn_name {name}: texts are compared by cosine alone, so no head does",)


def _window(folder: Path) -> int | None:
    """Return the number of tokens of the longest text that the folder declares. Raises CheckpointError."""
    inner = transformer_folder(folder)
    path = next((inner / name for name in WINDOWS if (inner / name).is_file()), None)
    if path is None:
        return None
    facts = read_json(path)
    if facts.get("do_lower_case"):
        raise CheckpointError(
            f"{path} has do_lower_case = true, expected false: texts are read as they are",
            hint="put the lower-casing into tokenizer.json as a Lowercase normalizer, and set it to false",
        )
    found = facts.get("max_seq_length")
    if found is not None and (not isinstance(found, int) or found < LEAST_TOKENS):
        raise CheckpointError(f"{path} has max_seq_length = {found!r}, expected a whole number from {LEAST_TOKENS} on")
    return found
