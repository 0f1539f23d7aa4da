"""Shows a person the tokens of an input, and the text of ids.

The same rules hold as in the pipeline, but no text is split. Must not know request bodies or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.messages import TextInput
from functions.pipeline import windows
from functions.tokenizers.tokenizer import Encoded, Tokenizer
from shared.catalog import Model
from shared.error_text import shown
from shared.errors import Unprocessable


def tokens_of(
    item: TextInput, model: Model, tokenizer: Tokenizer, where: str, *, special: bool = True
) -> dict[str, Any]:
    """Return one input's `ids, tokens, offsets, special_tokens_mask, token_type_ids, count, n_windows`.

    Offsets are in code points of the token's own text. `n_windows` is how many windows a classifier would read. It is
    None when a classifier would refuse the input: a pair whose shorter text takes more than half of a window. Raises
    Unprocessable for a language that the model does not read.
    """
    texts = [_encode(item.text, item.lang, model, tokenizer, where)]
    if item.text_pair is not None:
        texts.append(_encode(item.text_pair, item.lang_pair or item.lang, model, tokenizer, where))
    layout = tokenizer.layout
    joints = [layout.first, *([layout.middle] if len(texts) > 1 else []), layout.last] if special else [()] * 3
    ids, offsets, mask, types = list(joints[0]), [(0, 0)] * len(joints[0]), [1] * len(joints[0]), [0] * len(joints[0])
    for place, (text, after) in enumerate(zip(texts, joints[1:], strict=False)):
        n_text, n_after = len(text.ids), len(after)
        ids += [*text.ids, *after]
        offsets += [*text.offsets, *[(0, 0)] * n_after]
        mask += [*[0] * n_text, *[1] * n_after]
        types += [layout.pair_type if place and special else 0] * (n_text + n_after)
    return {
        "ids": ids,
        "tokens": tokenizer.pieces(ids),
        "offsets": [list(span) for span in offsets],
        "special_tokens_mask": mask,
        "token_type_ids": types,
        "count": len(ids),
        "n_windows": _n_windows(texts, model, tokenizer),
    }


def text_of(ids: Sequence[object], tokenizer: Tokenizer, where: str, *, skip_special: bool = False) -> str:
    """Return the text of ids. Raises Unprocessable for a value that is no id of the vocabulary, and names its place."""
    last = tokenizer.vocab_size - 1
    good = []
    for place, i in enumerate(ids):
        if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i <= last:
            raise Unprocessable(f"{where}[{place}]: got {shown(i, 40)}, expected an id from 0 to {last}")
        good.append(i)
    return tokenizer.decode(good, skip_special=skip_special)


def _encode(text: str, lang: str | None, model: Model, tokenizer: Tokenizer, where: str) -> Encoded:
    if lang is not None and lang not in model.lang2id:
        known = f"one of {', '.join(sorted(model.lang2id))}" if model.lang2id else "none: it reads no languages"
        raise Unprocessable(f"{where}.lang: got {lang!a}, model {model.name} expects {known}")
    return tokenizer.encode(text, lang)


def _n_windows(texts: Sequence[Encoded], model: Model, tokenizer: Tokenizer) -> int | None:
    pair = len(texts) > 1
    room = model.max_tokens - windows.n_special(tokenizer.layout, pair=pair)
    if not pair:
        return len(windows.even_spans(len(texts[0].ids), room))
    spans = windows.pair_spans(len(texts[0].ids), len(texts[1].ids), room)
    return len(spans) if spans is not None else None
