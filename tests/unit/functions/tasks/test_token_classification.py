"""Where windows overlap, each token takes its label from one of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pytest

from functions.messages import TokenFacts, Window
from functions.tasks.postprocessing import graphemes
from functions.tasks.token_classification import borders
from functions.tokenizers.load import load_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from shared.messages import ModelOutput, Tensor
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import run_request, tokenize_request
from tests.unit.functions.tokenizers import tiny

STRATEGIES = ("simple", "first", "average", "max")
LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture(scope="module")
def reader() -> Tokenizer:
    """Load a tokenizer whose pieces are those of real vocabularies."""
    return load_tokenizer(XLMR_TOKENIZER / "tokenizer.json")


def found_in(tokenizer: Tokenizer, text: str, labels: Sequence[str], **parameters: object) -> list[tuple[str, str]]:
    """Return type and text of the entities, when the tokens of the text have these labels; the last one repeats."""
    model = tiny.catalog_model(tokenizer.vocab_size)
    heads = {"entities": model.heads["entities"].model_copy(update={"labels": LABELS})}
    model = model.model_copy(update={"heads": heads})
    [window] = tokenize_request(model, tokenizer, "token-classification", text).windows
    n_tokens = len(window.input_ids) - 2
    each = ["O", *[*labels, *labels[-1:] * n_tokens][:n_tokens], "O"]
    logits = [10.0 * (label == other) for label in each for other in LABELS]
    output = ModelOutput({"logits": Tensor.floats(logits, (len(each), len(LABELS)))})
    body = valid_body("token-classification", text, **parameters)
    [value] = run_request(model, tokenizer, body, "token-classification", lambda _: [output]).values
    assert isinstance(value, list)
    return [(entity["entity_group"], text[entity["start"] : entity["end"]]) for entity in value]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("space", ["\n", "\t", "\r\n", "\u2028", "\u2029", "\x85", "\n \n"])
def test_no_entity_goes_on_over_a_line_break(reader: Tokenizer, strategy: str, space: str) -> None:
    """Two names on two lines, or in two cells, are two entities, whatever their labels."""
    for labels in (["B-PER", "I-PER"], ["B-PER", "B-PER"], ["I-PER", "I-PER"]):
        found = found_in(reader, f"Anna{space}Berlin", labels, aggregation_strategy=strategy)
        assert found == [("PER", "Anna"), ("PER", "Berlin")]


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u3000", "\u202f", "\u2009", "\u200b"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_word_ends_at_any_white_space(reader: Tokenizer, strategy: str, space: str) -> None:
    """Words beside a space of any width have labels of their own: B- begins an entity, and I- goes on with one."""
    text = f"Anna{space}Berlin"
    assert found_in(reader, text, ["B-PER", "B-PER"], aggregation_strategy=strategy) == [
        ("PER", "Anna"),
        ("PER", "Berlin"),
    ]
    assert found_in(reader, text, ["B-PER", "I-PER"], aggregation_strategy=strategy) == [("PER", text)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_in_scripts_without_spaces_end_at_a_wide_space(reader: Tokenizer, strategy: str) -> None:
    """Two cities beside a wide space are two entities, although each begins with the piece of a space."""
    labels = ["B-PER", "B-PER", "I-PER"] * 2
    found = found_in(reader, "東京\u3000大阪", labels, aggregation_strategy=strategy)
    assert found == [("PER", "東京"), ("PER", "大阪")]


def test_offsets_count_code_points(reader: Tokenizer) -> None:
    """Flags and families before a name move its offsets by their code points; docs/texts.md shows UTF-16."""
    text = "🚀👩\u200d👩\u200d👧 Anna lives in Turku 🇫🇮."
    at = tokens_at(reader, text, "Anna")
    assert found_in(reader, text, ["O"] * at + ["B-PER", "O"]) == [("PER", "Anna")]
    start = text.index("Anna")
    assert len(text[:start].encode("utf-16-le")) // 2 == start + 4  # four code points take two units each


def tokens_at(tokenizer: Tokenizer, text: str, word: str) -> int:
    """Return the place of the token that begins with a word of the text."""
    starts = [start for start, _ in tokenizer.encode(text).offsets]
    return starts.index(text.index(word))


@pytest.mark.parametrize("text", [unicodedata.normalize("NFD", "서울에 삽니다"), "ﾄﾞｲﾂとﾌﾟﾗﾊ", "Ⅷ한국ﾃﾞｰﾀmix"])
def test_spans_of_decomposed_letters_stay_whole(reader: Tokenizer, text: str) -> None:
    """Ids are the reference's, with unknown pieces; no entity divides a syllable, or a kana from its voicing mark."""
    n_tokens = len(reader.encode(text).ids)
    for cut in range(1, n_tokens):
        found = found_in(reader, text, ["B-PER", *["I-PER"] * cut, "O"])
        ends = [place for _, part in found for place in (text.index(part), text.index(part) + len(part))]
        assert found
        assert not any(graphemes.inside(text, place) for place in ends)


def of(offsets: Sequence[tuple[int, int]], start: int) -> Window:
    """Make a window of tokens between two special ones. Its first token is the text's token `start`."""
    facts = TokenFacts(((0, 0), *offsets, (0, 0)), (True, *(False,) * len(offsets), True))
    return Window(0, (0,) * len(facts.offsets), lambda: facts, start=start)


def test_each_token_is_labelled_where_it_is_most_central() -> None:
    """The border between windows is the word start nearest to the middle of their overlap, or the middle."""

    def window(start: int, n: int, *, spaced: bool) -> Window:
        step = 2 if spaced else 1
        offsets = tuple(((start + i) * step, (start + i) * step + 1) for i in range(n))
        return of(offsets, start)

    assert borders([window(0, 10, spaced=True), window(4, 10, spaced=True)]) == [7, 14]
    assert borders([window(0, 10, spaced=False), window(4, 10, spaced=False)]) == [7, 14]
    assert borders([window(0, 10, spaced=True), window(10, 5, spaced=True)]) == [10, 15]
    assert borders([window(0, 10, spaced=True)]) == [10]


def test_a_word_is_labelled_by_one_window() -> None:
    """The border moves to the beginning of a word near the middle of the overlap."""
    spans = [(i, i + 1) for i in range(10)]
    spans[5] = (6, 7)  # a gap before token 5
    assert borders([of(spans, 0), of(spans[4:], 4)]) == [5, 10]
