"""Makes the model that ships, in stages that each resume: pieces, start, training, export, figures, card.

    python -m checkpoints.mini.finetuning --start E5 --data DATA --work build/mini --out build/mini/out

E5 is a folder of multilingual-e5-small (BertModel, fp32). DATA has one sub-folder for each public set. The same command
again continues where the last one stopped. With --choosing a part of each training set is held out and judged; without
it everything is trained on, and the dev files are judged once. A file PAUSE in --work halts the training.
On a CPU set `MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000`: large buffers are then kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from checkpoints.mini.finetuning import card, examples, export, judging, pruning, teacher, vocabulary
from checkpoints.mini.finetuning.data import corpus, data_sets
from checkpoints.mini.finetuning.examples import Encoder, Examples
from checkpoints.mini.finetuning.network import Network
from checkpoints.mini.finetuning.training import Plan, Training

OTHER_MINUTES = 15.0  # pieces, teacher, export and figures; the rest of --minutes is training
ALL_LAYERS = "0 1 2 3 4 5 6 7 8 9 10 11"


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, required=True, help="folder of multilingual-e5-small")
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to export to")
    parser.add_argument("--work", type=Path, required=True, help="folder for what a later run continues from")
    parser.add_argument("--minutes", type=float, default=90, help="length of the whole run")
    parser.add_argument("--train-minutes", type=float, help="length of the training alone, instead of --minutes")
    parser.add_argument("--pieces", type=int, default=vocabulary.MOST, help="ids of the tokenizer")
    parser.add_argument("--layers", default=ALL_LAYERS, help="layers of e5 to keep, by number")
    parser.add_argument("--without", nargs="*", default=["choice"], metavar="HEAD", help="heads that are not shipped")
    parser.add_argument("--choosing", action="store_true", help="hold out a part of the training sets and judge it")
    parser.add_argument("--every", type=int, default=1, help="judge every nth row or language only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(given)


def make_pieces(options: argparse.Namespace) -> None:
    """Choose the vocabulary and write the tokenizer, unless it is there."""
    file = options.work / "vocabulary.json"
    if file.exists():
        return
    source = json.loads((options.start / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_str(json.dumps(source))
    pieces = [piece for piece, _ in source["model"]["vocab"]]
    texts = data_sets.texts_by_language(options.data, choosing=options.choosing)
    counts = [vocabulary.count(tokenizer, listed, len(pieces)) for listed in texts.values()]
    sentences = data_sets.sib(options.data, "train", choosing=options.choosing)
    added = vocabulary.added(tokenizer, set(pieces), [row.text for row in sentences])
    kept = vocabulary.choose(source, counts, options.pieces - vocabulary.N_SPECIAL - 1 - len(added))
    chosen = vocabulary.Vocabulary(kept, added)
    vocabulary.write(options.out, vocabulary.tokenizer_json(source, chosen))
    file.write_text(json.dumps({"kept": kept, "added": added}) + "\n", encoding="utf-8")
    print(f"pieces: {len(chosen)} ids, {len(added)} new", flush=True)


def begin(options: argparse.Namespace, encode: Encoder, languages: list[str]) -> Network:
    """Return e5 with the chosen pieces and layers; new pieces begin as mixtures of English ones."""
    stored = json.loads((options.work / "vocabulary.json").read_text(encoding="utf-8"))
    chosen = vocabulary.Vocabulary(tuple(stored["kept"]), tuple((piece, score) for piece, score in stored["added"]))
    layers = [int(number) for number in options.layers.split()]
    torch.manual_seed(options.seed)
    network = Network(len(chosen), len(layers), len(languages))
    pruning.fill(network, pruning.tensors(options.start, chosen, layers))
    first, last = vocabulary.N_SPECIAL + len(chosen.kept), len(chosen) - 1
    rows = data_sets.sib(options.data, "train", choosing=options.choosing)
    ids = [row[1:-1] for row in encode([row.text for row in rows])]
    english = {row.index: own for row, own in zip(rows, ids, strict=True) if row.lang == card.ENGLISH}
    new = [
        (own, english[row.index]) for row, own in zip(rows, ids, strict=True) if ((own >= first) & (own < last)).any()
    ]
    with torch.no_grad():
        pruning.mix(network.reference.roberta.embeddings.word_embeddings.weight, pruning.align(new), first, last)
    return network


def training_data(
    options: argparse.Namespace, encode: Encoder, languages: list[str]
) -> tuple[dict[str, Examples], dict[str, Tensor]]:
    """Return all sets as ids, and the teacher's vectors of the aligned ones."""
    sets = examples.training_sets(encode, options.data, languages, choosing=options.choosing)
    sentences = data_sets.sib(options.data, "train", choosing=options.choosing)
    english = sorted((row.index, row.text) for row in sentences if row.lang == card.ENGLISH)
    originals = {"topics": [text for _, text in english]}
    for name, rows in (("parallel", data_sets.parallel(options.data)), ("words", data_sets.words(options.data))):
        sets[name], originals[name] = examples.aligned(encode, rows)
    return sets, teacher.banks(options.start, originals, options.work / "teacher.safetensors")


def facts(options: argparse.Namespace, training: Training, size: int) -> Mapping[str, object]:
    """Return what the card says of the run."""
    return {
        "command": "python -m checkpoints.mini.finetuning, with its default settings"
        if not options.choosing
        else "a trial",
        "layers of e5": options.layers,
        "ids": training.network.config.vocab_size,
        "bytes of the weights": f"{size:,}",
        "steps": training.step,
        "tokens, padding included": f"{training.n_tokens:,}",
        "minutes of training": f"{training.spent_s / 60:.0f}",
        "seed": options.seed,
    }


def main(given: list[str] | None = None) -> int:
    """Run the stages that are not done yet."""
    options = arguments(given)
    torch.set_num_threads(options.threads)
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    make_pieces(options)
    encode = Encoder(options.out)
    languages = sorted({row.lang for row in corpus.sib_train(options.data)})
    sets, banks = training_data(options, encode, languages)
    print(f"data: {sum(len(one.ids) for one in sets.values()):,} texts, {time.monotonic() - began:.0f} s", flush=True)
    minutes = options.minutes - OTHER_MINUTES if options.train_minutes is None else options.train_minutes
    network = begin(options, encode, languages)
    training = Training(network, sets, banks, Plan(seconds=60 * minutes), options.work, seed=options.seed)
    resumed = training.load()
    if not resumed:
        print("heads:", {name: round(loss, 2) for name, loss in training.fit_heads().items()}, flush=True)
    print(f"training: {'continued' if resumed else 'begun'} after {time.monotonic() - began:.0f} s", flush=True)
    training.run()
    size = export.write(options.out, training.average, languages, options.without)
    print(f"exported: {size:,} bytes after {time.monotonic() - began:.0f} s", flush=True)
    if (options.out / "figures.json").exists():
        print(f"{options.out / 'figures.json'} is there: dev is judged once", flush=True)
        return 0
    figures = judging.judge(options.out, options.data, "select" if options.choosing else "dev", every=options.every)
    card.write(options.out, figures, facts(options, training, size))
    print("\n".join(card.held(figures)))
    print(f"done after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
