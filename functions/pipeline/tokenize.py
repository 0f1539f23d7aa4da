"""The second stage: the texts of a request -> windows that the model can read. No text is cut in silence.

The task's parameters say what is read together and which text may be split. Must not know what becomes of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from functions.messages import TextInput, Tokenized, Window
from functions.pipeline import windows
from functions.pipeline.request_limits import MAX_MASKS, check_input_tokens, check_tokens
from functions.pipeline.truncation import KeptSpans, LongText, split_into_windows
from functions.pipeline.windows import Side
from functions.tasks.task import TaskParameters, TextPair, TextRequest
from functions.tokenizers.tokenizer import Encoded, Tokenizer, target_ids
from shared.catalog import Model
from shared.error_text import count
from shared.errors import GlossaError, Unprocessable

ANY_MASK = "<mask>"  # what a caller may write for the mask token of any model
EncodedPair = tuple[Encoded, ...]  # a text, or both texts of a pair
Masks = Sequence[tuple[int, ...]]  # for each text of a pair, the places of its mask tokens


def tokenize(request: TextRequest, model: Model, tokenizer: Tokenizer) -> Tokenized:
    """Tokenize every input of a request, and split long texts into windows.

    An input that cannot be tokenized has its error (Unprocessable, TooLarge) in `errors`, by its index. Raises
    Unprocessable when the parameters are wrong for every input, and TooLarge when all inputs together are too long.
    """
    window_maker = _WindowMaker(request.parameters, model, tokenizer)
    found: list[Window] = []
    truncated: list[bool] = []
    errors: dict[int, GlossaError] = {}
    n_tokens = 0
    for index, item in enumerate(request.inputs):
        try:
            made, is_cut = window_maker.windows(len(truncated), item, f"inputs[{index}]")
        except GlossaError as error:
            errors[index] = error
        else:
            found += made
            truncated.append(is_cut)
            n_tokens += sum(len(window.input_ids) for window in made)
        check_tokens(n_tokens, index + 1)
    targets = _target_ids(request.parameters.target_words, tokenizer)
    return Tokenized(tuple(found), tokenizer.fingerprint, tuple(truncated), targets, errors)


@dataclass(slots=True)
class _WindowMaker:
    """Makes the windows of one request's inputs. A text that is read more than once is tokenized once."""

    parameters: TaskParameters
    model: Model
    tokenizer: Tokenizer
    encoded: dict[tuple[str, str | None], Encoded] = field(default_factory=dict)
    room: int = field(init=False)  # tokens of a single text that one window holds whole

    def __post_init__(self) -> None:
        """Find the room once for all inputs. Windows around masks are made by `_split` alone."""
        around_masks = self.parameters.truncation_strategy == "masks"
        window = 0 if around_masks else self.parameters.window_tokens(self.model.max_tokens)
        self.room = window - windows.n_special(self.tokenizer.layout, pair=False)

    def windows(self, input_index: int, item: TextInput, where: str) -> tuple[list[Window], bool]:
        """Return the windows of one input, and whether some of its text is in none of them."""
        pairs = self.parameters.text_pairs(item)
        encoded = [self._encode_pair(pair, where) for pair in pairs]
        longest_second = max([len(texts[-1].ids) for texts in encoded if len(texts) > 1], default=0)
        made: list[Window] = []
        is_cut, n_tokens = False, 0
        for part, (pair, texts) in enumerate(zip(pairs, encoded, strict=True)):
            if len(texts) == 1 and len(texts[0].ids) <= self.room:  # most texts
                side = Side(texts[0], (0, len(texts[0].ids)), self._lang_id(pair.lang, where))
                made.append(windows.window(input_index, part, (side,), self.tokenizer.layout))
                n_tokens += len(made[-1].input_ids)
                check_input_tokens(n_tokens, where)
                continue
            split = self._split(texts, longest_second, where)
            n_tokens = self._add_tokens([kept for kept, _ in split], n_tokens, where)
            langs = [self._lang_id(lang, where) for lang in (pair.lang, pair.lang_pair)]
            for kept, masks in split:
                sides = [Side(*side) for side in zip(texts, kept, langs, masks, strict=False)]
                made.append(self._window(input_index, part, sides))
            is_cut = is_cut or _is_cut(texts, [kept for kept, _ in split])
        return made, is_cut

    def _split(self, texts: EncodedPair, longest_second: int, where: str) -> list[tuple[KeptSpans, Masks]]:
        """Return, for each window of a pair, the span it keeps of each text, and the places of the masks in it."""
        lengths = tuple(len(text.ids) for text in texts)
        window = self.parameters.window_tokens(self.model.max_tokens)
        room = window - windows.n_special(self.tokenizer.layout, pair=len(texts) > 1)
        if room < 1:
            raise Unprocessable(f"got windows of {window} tokens, expected more than {window - room}, the special ones")
        around_masks = self.parameters.truncation_strategy == "masks"
        masks = self._masks(texts, where) if around_masks else [()] * len(texts)
        if around_masks and len(texts) == 1:
            return [((span,), [found]) for span, found in windows.spans_around_masks(masks[0], lengths[0], room)]
        if self._fits(lengths, longest_second, room):
            return [(tuple((0, length) for length in lengths), masks)]
        long_text = LongText(lengths, window, room, longest_second, self.parameters.window_rule, where)
        return [(kept, masks) for kept in split_into_windows(long_text)]

    def _fits(self, lengths: Sequence[int], longest_second: int, room: int) -> bool:
        """Whether one window holds all of a text, or of a pair.

        Where the first text is split, the longest second text decides, so that all pairs of an input have their
        windows at the same places.
        """
        parameters = self.parameters
        if parameters.truncation_strategy == "first" and len(lengths) > 1 and not parameters.truncates:
            return lengths[0] + longest_second <= room
        return sum(lengths) <= room

    def _window(self, input_index: int, part: int, sides: Sequence[Side]) -> Window:
        reset = self.parameters.resets_positions and len(sides) > 1
        if reset and self.model.family != "xlm":
            raise Unprocessable(
                f"parameters.position_reset: got true, expected false: model {self.model.name} is of family"
                f" {self.model.family}; XLM alone was trained on translations side by side"
            )
        return windows.window(input_index, part, sides, self.tokenizer.layout, reset=reset)

    def _encode_pair(self, pair: TextPair, where: str) -> EncodedPair:
        text = self._encode(pair.text, pair.lang, where)
        return (text,) if pair.pair is None else (text, self._encode(pair.pair, pair.lang_pair, where))

    def _encode(self, text: str, lang: str | None, where: str) -> Encoded:
        own = self.model.mask_token
        if self.parameters.truncation_strategy == "masks" and own is not None and own != ANY_MASK:
            text = text.replace(ANY_MASK, own)  # this shifts offsets; fill-mask reports none
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

    def _masks(self, texts: EncodedPair, where: str) -> Masks:
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

    def _add_tokens(self, kept: Sequence[KeptSpans], n_tokens: int, where: str) -> int:
        """Return `n_tokens` with the tokens of one more pair. Raises TooLarge before too many windows are made."""
        n_special = windows.n_special(self.tokenizer.layout, pair=True)
        n_tokens += sum(n_special + sum(end - start for start, end in spans) for spans in kept)
        check_input_tokens(n_tokens, where)
        return n_tokens


def _is_cut(texts: EncodedPair, kept: Sequence[KeptSpans]) -> bool:
    """Whether some of a text, or of a pair, is in no window."""
    spans_of_texts = zip(*kept, strict=True)
    return any(not windows.cover_all(spans, len(text.ids)) for text, spans in zip(texts, spans_of_texts, strict=True))


def _target_ids(targets: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids of targets, each once. The reference, too, skips a target that reads as nothing."""
    found = [ids for target in targets if (ids := target_ids(tokenizer, target)) is not None]
    if targets and not found:
        raise Unprocessable(f"parameters.targets: got {targets[0]!a}, which reads as nothing, expected a word")
    return tuple(dict.fromkeys(id_ for ids in found for id_ in (ids.of_word, ids.of_rest)))
