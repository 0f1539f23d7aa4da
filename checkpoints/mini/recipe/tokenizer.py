"""Trains the SentencePiece unigram model, and writes the tokenizer files in the layout of XLM-R. Must not know models.

The method is the subword unigram model (Kudo 2018) with `nmt_nfkc`. The ids have the layout of XLM-R (Conneau et al.
2020): `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the pieces in the order of the unigram model, and `<mask>` last.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from transformers import AutoTokenizer, XLMRobertaTokenizer

VOCABULARY = 32_000


def fit(texts: Iterable[str], folder: Path, threads: int = 2) -> Path:
    """Train the unigram model on texts. Write `sentencepiece.bpe.model` into the folder."""
    made = io.BytesIO()  # a file name would be stored in the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=made,
        vocab_size=VOCABULARY - 2,  # the layout adds <pad> and <mask>
        model_type="unigram",
        character_coverage=0.99995,
        normalization_rule_name="nmt_nfkc",
        byte_fallback=False,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        num_threads=threads,
        max_sentence_length=20_000,
        train_extremely_large_corpus=False,
    )  # fmt: skip
    path = folder / "sentencepiece.bpe.model"
    path.write_bytes(made.getvalue())
    return path


def convert(folder: Path, limit: int = 512) -> None:
    """Write `tokenizer.json` and its other files from the SentencePiece model with the converter of transformers."""
    tokenizer = XLMRobertaTokenizer.from_pretrained(str(folder), model_max_length=limit)
    tokenizer.save_pretrained(str(folder))
    check(folder)


def check(folder: Path) -> None:
    """Raise ValueError unless the saved tokenizer has XLM-R's layout."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    ids = tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    if ids != [0, 1, 2, 3, VOCABULARY - 1] or len(tokenizer) != VOCABULARY:
        raise ValueError(f"got special ids {ids} of {len(tokenizer)}, expected 0 1 2 3 and the last of {VOCABULARY}")
    pair = tokenizer("a", "b")["input_ids"]
    if pair[0] != 0 or pair[-1] != 2 or sum(i == 2 for i in pair) != 3:
        raise ValueError(f"got pair {pair}, expected <s> A </s></s> B </s>")
