"""The first desk: the texts of a request -> windows the model can read, none cut in silence.

A task says by its parameters how an input is read and which text gives way. Must not know where a
request goes or what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from functions.http.text_request import AS_JOB, parse_parameters
from functions.pipeline import windows
from functions.pipeline.truncation import Case, Kept, keep
from functions.pipeline.windows import Side
from functions.tasks.task import TaskParameters, TextPair
from functions.tokenizers.tokenizer import Encoded, Tokenizer
from shared.catalog import Model
from shared.error_text import count
from shared.errors import GlossaError, TooLarge, Unprocessable
from shared.messages import TextInput, TextRequest, Tokenized, Window

ANY_MASK = "<mask>"
MAX_MASKS = 64
SHORTER = "shorten the text, or what is read beside it, or let windows share fewer tokens"
MAX_READ_TOKENS = 2_000_000  # of all windows of one input; 16 bytes of memory and more for each
MAX_REQUEST_TOKENS = 2 * MAX_READ_TOKENS  # of all inputs together
Cut = tuple[list[Window], bool]  # the windows of one input, and whether some of it is in none
Texts = tuple[Encoded, ...]  # of one reading: a text, or both of a pair


def tokenize(request: TextRequest, model: Model, head: str, tokenizer: Tokenizer) -> Tokenized:
    """Tokenize every input of a request.

    Raises the first input's error (Unprocessable, TooLarge), NotFound for an unknown head.
    """
    tokenized, errors = tokenize_valid_inputs(request, model, head, tokenizer)
    if errors:
        raise errors[min(errors)]
    return tokenized


def tokenize_valid_inputs(
    request: TextRequest, model: Model, head: str, tokenizer: Tokenizer
) -> tuple[Tokenized, dict[int, GlossaError]]:
    """Tokenize the inputs that can be; the others' errors are keyed by their index.

    Rows of the windows count the good inputs only. Raises Unprocessable when the parameters are at
    fault, TooLarge when all inputs together are, NotFound for an unknown head.
    """
    model.head_for(request.task, head)
    parameters = parse_parameters(request.task, request.parameters)
    cutter = _Cutter(parameters, model, tokenizer)
    cut: list[Window] = []
    truncated: list[bool] = []
    errors: dict[int, GlossaError] = {}
    n_tokens = 0
    for index, item in enumerate(request.inputs):
        try:
            found, some_left = cutter.cut(len(truncated), item, f"inputs[{index}]")
        except GlossaError as error:
            errors[index] = error
        else:
            cut += found
            truncated.append(some_left)
            n_tokens += sum(len(window.input_ids) for window in found)
        if n_tokens > MAX_REQUEST_TOKENS:
            most = f"at most {MAX_REQUEST_TOKENS} in one request"
            raise TooLarge(f"got {n_tokens} tokens to read for {index + 1} inputs, {most}", hint=AS_JOB)
    targets = _target_ids(getattr(parameters, "targets", None) or (), tokenizer)
    return Tokenized(tuple(cut), tokenizer.fingerprint, tuple(truncated), targets), errors


@dataclass(slots=True)
class _Cutter:
    """Cuts the inputs of one request; a text that is read more than once is tokenized once."""

    parameters: TaskParameters
    model: Model
    tokenizer: Tokenizer
    encoded: dict[tuple[str, str | None], Encoded] = field(default_factory=dict)

    def cut(self, row: int, item: TextInput, where: str) -> Cut:
        text_pairs = self.parameters.text_pairs(item)
        texts = [self._texts(text_pair, where) for text_pair in text_pairs]
        n_beside = max(len(both[-1].ids) if len(both) > 1 else 0 for both in texts)
        cut: list[Window] = []
        some_left, n_read = False, 0
        for part, (text_pair, both) in enumerate(zip(text_pairs, texts, strict=True)):
            placed = self._placed(both, n_beside, where)
            n_read = self._count([kept for kept, _ in placed], n_read, where)
            langs = [self._lang_id(lang, where) for lang in (text_pair.lang, text_pair.lang_pair)]
            for kept, marks in placed:
                sides = [Side(*side) for side in zip(both, kept, langs, marks, strict=False)]
                cut.append(self._window(row, part, sides))
            for text, spans in zip(both, zip(*(kept for kept, _ in placed), strict=True), strict=True):
                some_left |= not windows.covers(spans, len(text.ids))
        return cut, some_left

    def _placed(self, texts: Texts, n_beside: int, where: str) -> list[tuple[Kept, Sequence[tuple[int, ...]]]]:
        """Return what each window of a reading holds of its texts, and the places of masks in it."""
        lengths = tuple(len(text.ids) for text in texts)
        window = self.parameters.window_tokens(self.model.max_tokens)
        room = window - self.tokenizer.layout.n_special(pair=len(texts) > 1)
        if room < 1:
            raise Unprocessable(f"got windows of {window} tokens, expected more than {window - room}, the special ones")
        marks = self._masks(texts, where) if self.parameters.cut == "masks" else [()] * len(texts)
        if self.parameters.cut == "masks" and len(texts) == 1:
            return [((span,), [found]) for span, found in windows.around(marks[0], lengths[0], room)]
        case = Case(lengths, window, room, n_beside, self.parameters, where)
        return [(kept, marks) for kept in keep(case)]

    def _window(self, row: int, part: int, sides: Sequence[Side]) -> Window:
        reset = self.parameters.resets_positions and len(sides) > 1
        if reset and self.model.family != "xlm":
            raise Unprocessable(
                f"parameters.position_reset: got true, expected false: model {self.model.name} is of family"
                f" {self.model.family}; XLM alone was trained on translations side by side"
            )
        return windows.window(row, part, sides, self.tokenizer.layout, reset=reset)

    def _texts(self, text_pair: TextPair, where: str) -> Texts:
        text = self._encode(text_pair.text, text_pair.lang, where)
        return (text,) if text_pair.pair is None else (text, self._encode(text_pair.pair, text_pair.lang_pair, where))

    def _encode(self, text: str, lang: str | None, where: str) -> Encoded:
        own = self.model.mask_token
        if self.parameters.cut == "masks" and own is not None and own != ANY_MASK:
            text = text.replace(ANY_MASK, own)  # offsets then count in this spelling; fill-mask reports none
        self._lang_id(lang, where)
        if (found := self.encoded.get((text, lang))) is None:
            found = self.encoded[text, lang] = self.tokenizer.encode(text, lang)
        if not found.ids:
            found_text = f"got a text of {count(len(text), 'character')} that reads as nothing"
            raise Unprocessable(f"{where}: {found_text}, expected some text")
        return found

    def _lang_id(self, lang: str | None, where: str) -> int | None:
        known = self.model.lang2id
        if lang is None:
            return None
        if not known:
            raise Unprocessable(
                f"{where}.lang: got {lang!a}, expected none: model {self.model.name} reads no languages"
            )
        if lang not in known:
            raise Unprocessable(f"{where}.lang: got {lang!a}, expected one of {', '.join(sorted(known))}")
        return known[lang]

    def _masks(self, texts: Texts, where: str) -> list[tuple[int, ...]]:
        if self.model.mask_id is None:
            raise Unprocessable(f"model {self.model.name} has no mask token, expected one that has")
        masks = [tuple(i for i, token in enumerate(text.ids) if token == self.model.mask_id) for text in texts]
        n_masks = sum(map(len, masks))
        if not n_masks:
            mask = self.model.mask_token or ANY_MASK
            raise Unprocessable(f"{where}: got a text without a mask, expected at least one {mask}")
        if n_masks > MAX_MASKS:
            raise Unprocessable(f"{where}: got {n_masks} masks, expected at most {MAX_MASKS}")
        return masks

    def _count(self, kept: Sequence[Kept], n_read: int, where: str) -> int:
        """Return the tokens read for an input with one more reading; refuse too many before they are made."""
        n_special = self.tokenizer.layout.n_special(pair=True)
        n_read += sum(n_special + sum(end - start for start, end in spans) for spans in kept)
        if n_read > MAX_READ_TOKENS:
            raise TooLarge(f"{where}: got {n_read} tokens to read for it, at most {MAX_READ_TOKENS}", hint=SHORTER)
        return n_read


def _target_ids(targets: tuple[str, ...], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids of targets, each once: the piece itself, else the first piece it is made of."""
    ids: dict[int, None] = {}
    for target in targets:
        found = tokenizer.id_of(target)
        if found is None and (pieces := tokenizer.encode(target).ids):
            found = pieces[0]
        if found is not None:  # the reference passes over what reads as nothing, too
            ids[found] = None
    if targets and not ids:
        raise Unprocessable(f"parameters.targets: got {targets[0]!a}, which reads as nothing, expected a word")
    return tuple(ids)
