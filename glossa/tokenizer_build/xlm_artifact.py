"""Makes the tokenizer artifact of an XLM checkpoint from the tokenizer that transformers loads.

transformers reads vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json and added_tokens.json, and
decides between them. This file writes down the result. Must not know catalogs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from functions.tokenizers.xlm.artifact import FORMAT, Added, Artifact

FILES = ("vocab.json", "merges.txt")
PAIR = 2  # a line of merges.txt with fewer words merges nothing


def holds_xlm_files(folder: Path) -> bool:
    """Return whether a folder has the files that an XLM tokenizer is read from."""
    return all((folder / name).is_file() for name in FILES)


def xlm_artifact(reference: Any) -> bytes:
    """Return the artifact of a loaded `XLMTokenizer`. Raises ValueError when the vocabulary lacks the unknown piece."""
    vocab: dict[str, int] = reference.encoder
    ranks: dict[tuple[str, ...], int] = reference.bpe_ranks
    if reference.unk_token not in vocab:
        raise ValueError(f"vocab.json lacks {reference.unk_token!r}, the piece of unknown characters")
    merges = sorted(ranks, key=lambda pair: ranks[pair])
    return Artifact(
        format=FORMAT,
        bos=reference.bos_token_id,
        sep=reference.sep_token_id,
        cls=None if reference.cls_token_id == reference.sep_token_id else reference.cls_token_id,
        unk=reference.unk_token,
        mask=reference.mask_token,
        special=tuple(sorted(set(reference.all_special_ids))),
        lowercase=bool(reference.do_lowercase_and_remove_accent),
        tidy=bool(reference.clean_up_tokenization_spaces),
        split_added=not reference.split_special_tokens,
        added=_added(reference),
        vocab=vocab,
        merges=tuple(" ".join(pair) for pair in merges if len(pair) == PAIR),
    ).to_bytes()


def _added(reference: Any) -> tuple[Added, ...]:
    """Return the added tokens in the order in which transformers added them. Of two equal texts the later counts."""
    return tuple(
        Added(
            id=i, content=token.content, lstrip=token.lstrip, rstrip=token.rstrip,
            single_word=token.single_word, special=token.special,
        )
        for i, token in reference._added_tokens_decoder.items()  # noqa: SLF001 - the public one is sorted by id
    )  # fmt: skip
