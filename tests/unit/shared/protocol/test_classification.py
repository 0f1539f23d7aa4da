"""The best classes of an output in place of its numbers, as clients of Triton ask for them."""

from __future__ import annotations

import json

import pytest

from shared.errors import TooLarge, Unprocessable
from shared.messages import ModelOutput, Tensor
from shared.protocol import decode_call, encode_output
from shared.protocol.classification import best_classes
from tests.unit.shared.protocol.bodies import packed, padded
from tests.unit.shared.protocol.strategies import LIMITS

LOGITS = ModelOutput({"logits": Tensor.floats([0.5, 2.0, 2.0, -1.0, 0.25, 0.0], (2, 3))})
LABELS = ("a", "b", "ç")
PADDED = padded([[0, 5, 2], [0, 2, 1]], [[1, 1, 1], [1, 1, 0]])


def answer(
    n_classes: int, *, output: ModelOutput = LOGITS, binary: bool = False, labels: tuple[str, ...] = LABELS
) -> bytes:
    """Return the body that answers a request for the best classes of each row."""
    asked = {"name": "logits", "parameters": {"classification": n_classes, "binary_data": binary}}
    decoded = decode_call("mini", {}, json.dumps(packed() | {"outputs": [asked]}).encode(), LIMITS)
    return encode_output(decoded, "mini", "1", output, labels=labels).data


def test_each_row_has_its_best_classes_first() -> None:
    """A class is its number, its index and its label. Of equal numbers the lower index is first."""
    (entry,) = json.loads(answer(2))["outputs"]
    assert entry == {
        "name": "logits", "datatype": "BYTES", "shape": [2, 2],
        "data": ["2.000000:1:b", "2.000000:2:ç", "0.250000:1:b", "0.000000:2:ç"],
    }  # fmt: skip


def test_more_classes_than_there_are_are_all() -> None:
    """The shape says how many there are."""
    assert json.loads(answer(9))["outputs"][0]["shape"] == [2, 3]


def test_labels_stand_only_where_there_is_one_for_each_class() -> None:
    """An output with numbers of something else has no labels."""
    assert json.loads(answer(1, labels=("a",)))["outputs"][0]["data"] == ["2.000000:1", "0.250000:1"]


def test_as_bytes_each_class_stands_behind_its_length() -> None:
    """Four bytes, little-endian, as tritonclient reads them."""
    body = answer(1, binary=True)
    assert body.endswith(b"\x0c\0\0\x002.000000:1:b\x0c\0\0\x000.250000:1:b")
    assert b'"parameters":{"binary_data_size":32}' in body


def test_classes_of_tokens_are_padded_like_their_numbers() -> None:
    """A padded request has classes for each of its columns."""
    asked = [{"name": "logits", "parameters": {"classification": 1}}]
    decoded = decode_call("mini", {}, json.dumps(PADDED | {"outputs": asked}).encode(), LIMITS)
    n_tokens = len(decoded.call.input_ids.int_values())
    output = ModelOutput({"logits": Tensor.floats([1.0, 2.0] * n_tokens, (n_tokens, 2))})
    body = encode_output(decoded, "mini", "1", output, per_token={"logits"}, labels=("O", "B"))
    (entry,) = json.loads(body.data)["outputs"]
    assert entry["shape"] == [2, 3, 1]
    assert entry["data"].count("2.000000:1:B") == n_tokens


@pytest.mark.parametrize("tensor", [Tensor.floats([1.0, 2.0]), Tensor.ints([1, 2], (1, 2))], ids=["flat", "ids"])
def test_what_has_no_classes_is_refused(tensor: Tensor) -> None:
    """One number for each row, and ids, are no numbers of classes."""
    with pytest.raises(Unprocessable, match="classification of output 'logits', expected one with a number for each"):
        answer(1, output=ModelOutput({"logits": tensor}))


def test_classes_over_the_limit_are_refused_before_they_are_made() -> None:
    """A class takes more bytes than its number. Long labels count."""
    logits = Tensor.floats([0.0] * 20, (2, 10))
    with pytest.raises(TooLarge, match="got classes of 280 bytes, at most 100"):
        best_classes("logits", logits, 10, (), 100)
    with pytest.raises(TooLarge, match="got classes of 2300 bytes, at most 300"):
        best_classes("logits", logits, 10, ["x" * 100] * 10, 300)
