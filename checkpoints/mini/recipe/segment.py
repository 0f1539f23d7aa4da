"""Makes ids, tags and label distributions from texts. Must not know batches or models."""

import numpy as np
import sentencepiece
from finetuning.data import corpus
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ids = NDArray[np.int32]
BLANK = "\u2581"


class Segmenter:
    """Makes ids with the shipped tokenizer, and with subword sampling on its SentencePiece model."""

    def __init__(self, folder: str) -> None:
        self.exact = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/sentencepiece.bpe.model")

    def __call__(self, texts: list[str]) -> list[Ids]:
        """Return the tokenizer's own ids without special tokens."""
        return [np.array(e.ids, np.int32) for e in self.exact.encode_batch_fast(texts, add_special_tokens=False)]

    def spelled(self, texts: list[str], *, sampled: bool = False) -> list[list[str]]:
        """Return the pieces of each text as strings. When sampled, it is one random segmentation."""
        found: list[list[str]] = self.pieces.encode(
            texts, out_type=str, enable_sampling=sampled, nbest_size=-1, alpha=0.25
        )
        return found

    def numbers(self, pieces: list[str]) -> Ids:
        """Return the ids of pieces."""
        ids = np.array([self.pieces.piece_to_id(p) for p in pieces], np.int32)
        return np.where(ids == 0, 3, ids + 1).astype(np.int32)

    def opens(self) -> NDArray[np.bool_]:
        """Return for every id whether its piece opens a word."""
        size = len(self.pieces)
        found = np.zeros(size + 2, np.bool_)
        found[1 : size + 1] = [self.pieces.id_to_piece(i).startswith(BLANK) for i in range(size)]
        found[:4] = False
        return found

    def sampled(self, texts: list[str], alpha: float = 0.25) -> list[Ids]:
        """Return the ids of one random segmentation of each text."""
        drawn = self.pieces.encode(texts, out_type=int, enable_sampling=True, nbest_size=-1, alpha=alpha, num_threads=2)
        return [np.where((row := np.array(r, np.int32)) == 0, 3, row + 1) for r in drawn]


def tags(tagged: corpus.Tagged, offsets: list[tuple[int, int]]) -> Ids:
    """Return the tag number of every token: B- for the first token of an entity, I- for its others."""
    out = np.zeros(len(offsets), np.int32)
    for start, end, kind in tagged.spans:
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        for nth, i in enumerate(inside):
            out[i] = corpus.TAGS.index(f"{'I' if nth else 'B'}-{kind}")
    return out


def one_hot(topic: int, weight: float = 1.0) -> NDArray[np.float32]:
    """Return the label distribution of a topic. All other topics share the rest of the weight."""
    row = np.full(len(corpus.TOPICS), (1 - weight) / len(corpus.TOPICS), np.float32)
    row[topic] += weight
    return row
