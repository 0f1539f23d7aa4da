"""The first desk: the texts of a request -> windows the model can read, none cut in silence.

Must not know where a request goes or what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from functions.pipeline.schema import parse_parameters
from functions.pipeline.schemas.parameters import Common
from functions.pipeline.tokenize import windows
from functions.pipeline.tokenize.tokenizer import Encoded, Tokenizer
from shared.catalog import Model
from shared.errors import GlossaError, TooLarge, Unprocessable
from shared.messages import TextInput, TextRequest, Tokenized, Window

ANY_MASK = "<mask>"
MAX_MASKS = 64
Cut = tuple[list[Window], bool]  # the windows of one input, and whether some of it is in none


def tokenize(request: TextRequest, model: Model, head: str, tokenizer: Tokenizer) -> Tokenized:
    """Tokenize every input of a request.

    Raises the first input's error (Unprocessable, TooLarge), NotFound for an unknown head.
    """
    tokenized, errors = tokenize_each(request, model, head, tokenizer)
    if errors:
        raise errors[min(errors)]
    return tokenized


def tokenize_each(
    request: TextRequest, model: Model, head: str, tokenizer: Tokenizer
) -> tuple[Tokenized, dict[int, GlossaError]]:
    """Tokenize the inputs that can be; the others' errors are keyed by their index.

    Rows of the windows count the good inputs only. Raises Unprocessable when the parameters are at
    fault, NotFound for an unknown head.
    """
    model.head_for(request.task, head)
    parameters = parse_parameters(request.task, request.parameters)
    cutter = _Cutter(parameters, model, tokenizer)
    cut: list[Window] = []
    truncated: list[bool] = []
    errors: dict[int, GlossaError] = {}
    for index, item in enumerate(request.inputs):
        try:
            found, some_left = cutter.cut(len(truncated), item, f"inputs[{index}]")
        except GlossaError as error:
            errors[index] = error
        else:
            cut += found
            truncated.append(some_left)
    targets = _target_ids(getattr(parameters, "targets", None) or (), tokenizer)
    return Tokenized(tuple(cut), tokenizer.fingerprint, tuple(truncated), targets), errors


@dataclass(frozen=True, slots=True)
class _Cutter:
    parameters: Common
    model: Model
    tokenizer: Tokenizer

    def cut(self, row: int, item: TextInput, where: str) -> Cut:
        text = self._encode(item.text, where)
        if item.text_pair is not None:
            return self._cut_pair(row, (text, self._encode(item.text_pair, where)), where)
        n_tokens, room = len(text.ids), self._room(pair=False)
        if self.parameters.around_masks:
            return self._cut_around(row, text, self._masks(text, where))
        if self.parameters.cuts:
            kept = [(0, min(n_tokens, room))]
        else:
            kept = windows.spans(n_tokens, room, int(room * self.parameters.overlap))
        layout = self.tokenizer.layout
        return [windows.single_window(row, text, span, layout) for span in kept], not windows.covers(kept, n_tokens)

    def _cut_around(self, row: int, text: Encoded, masks: list[int]) -> Cut:
        placed = windows.around(masks, len(text.ids), self._room(pair=False))
        cut = [windows.single_window(row, text, span, self.tokenizer.layout, marks) for span, marks in placed]
        return cut, not windows.covers([span for span, _ in placed], len(text.ids))

    def _cut_pair(self, row: int, texts: tuple[Encoded, Encoded], where: str) -> Cut:
        lengths = (len(texts[0].ids), len(texts[1].ids))
        room = self._room(pair=True)
        if self.parameters.cuts:
            kept = [windows.longest_first(*lengths, room)]
        elif (spans := windows.pair_spans(*lengths, room)) is None:
            found = f"{where}: got a pair of {lengths[0]} and {lengths[1]} tokens"
            limit = f"at most {room} together, or {room // 2} in the shorter text"
            raise TooLarge(f"{found}, expected {limit}", hint='shorten one text, or ask for "truncation": true')
        else:
            kept = spans
        some_left = self.parameters.cuts and sum(lengths) > room
        return [windows.pair_window(row, texts, both, self.tokenizer.layout) for both in kept], some_left

    def _room(self, *, pair: bool) -> int:
        return self.model.max_tokens - self.tokenizer.layout.n_special(pair=pair)

    def _encode(self, text: str, where: str) -> Encoded:
        own = self.model.mask_token
        if self.parameters.around_masks and own is not None and own != ANY_MASK:
            text = text.replace(ANY_MASK, own)  # offsets then count in this spelling; fill-mask reports none
        encoded = self.tokenizer.encode(text)
        if not encoded.ids:
            raise Unprocessable(f"{where}: got {len(text)} characters that read as nothing, expected some text")
        return encoded

    def _masks(self, text: Encoded, where: str) -> list[int]:
        if self.model.mask_id is None:
            raise Unprocessable(f"model {self.model.name} has no mask token, expected one that has")
        masks = [place for place, token in enumerate(text.ids) if token == self.model.mask_id]
        if not masks:
            mask = self.model.mask_token or ANY_MASK
            raise Unprocessable(f"{where}: got a text without a mask, expected at least one {mask}")
        if len(masks) > MAX_MASKS:
            raise Unprocessable(f"{where}: got {len(masks)} masks, expected at most {MAX_MASKS}")
        return masks


def _target_ids(targets: tuple[str, ...], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids of targets, each once: the piece itself, else the first piece it is made of."""
    ids: dict[int, None] = {}
    for target in targets:
        found = tokenizer.id_of(target)
        if found is None and (pieces := tokenizer.encode(target).ids):
            found = pieces[0]
        if found is None:
            raise Unprocessable(f"parameters.targets: got {target!a}, which reads as nothing, expected a word")
        ids[found] = None
    return tuple(ids)
