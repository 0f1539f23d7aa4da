"""Tags become entities, and entities a label for each token, whatever the tokens are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glossa.head_training.data.examples import Span
from glossa.head_training.data.tags import spans_of_tags, tag_names, token_labels

WORDS = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=4), st.sampled_from(["O", "B-X", "I-X", "B-Y"])), min_size=1
)


@given(words=WORDS)
def test_labels_of_words_are_the_tags_they_came_from(words: list[tuple[str, str]]) -> None:
    """With the words as tokens, each gets its tag back; an I- that continues nothing becomes a B-."""
    tokens, tags = [word for word, _ in words], [tag for _, tag in words]
    text, spans = spans_of_tags(tokens, tags)
    offsets, at = [], 0
    for token in tokens:
        offsets.append((at, at + len(token)))
        at += len(token) + 1
    names = tag_names(["X", "Y"])
    found = token_labels(offsets, [False] * len(tokens), spans, {name: place for place, name in enumerate(names)})
    expected = [
        "B-X" if tag == "I-X" and (place == 0 or tags[place - 1][2:] != "X") else tag for place, tag in enumerate(tags)
    ]
    assert text == " ".join(tokens)
    assert [names[label] for label in found] == expected


def test_a_window_that_begins_amid_an_entity_goes_on_with_it() -> None:
    """Its first token is I-, special tokens are -1, and a token that only touches an entity is O."""
    names = tag_names(["X"])
    index = {name: place for place, name in enumerate(names)}
    found = token_labels([(0, 0), (4, 6), (6, 9), (9, 9)], [True, False, False, True], [Span(2, 6, "X")], index)
    assert found == [-1, index["I-X"], index["O"], -1]
