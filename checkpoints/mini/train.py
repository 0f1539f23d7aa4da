"""Trains `checkpoints/mini` from public data: tokenizer, masked language model and four task heads in one run.

    python checkpoints/mini/train.py --data DATA --out OUT --work WORK --minutes 60 [--start LAST] [--resume]

DATA has one sub-folder per public set (each with its SOURCE.md: repository, commit, licence):
  sib200       github dadelani/sib-200                 topic, 205 languages (train + dev)
  nusax_senti  github IndoNLP/nusax                    sentiment, 12 languages
  afrisenti    github afrisenti-semeval/afrisent-semeval-2023  sentiment (tweets), 14 languages
  uner         github UniversalNER/UNER_*              named entities, 6 languages
  gatitos      github google-research/url-nlp          word list, 173 languages
  udhr         github eric-muller/udhr                 plain text, 417 languages
  documents    github github/opensource.guide          plain text, 29 languages
  pud          github UniversalDependencies/UD_*-PUD   plain text, 3 languages
  xquad        github google-deepmind/xquad            plain text, 6 languages
  xcopa        github cambridgeltl/xcopa               plain text, 11 languages
  indonli      github ir-nlp-csui/indonli              plain text, Indonesian

Linear teachers teach the topic head (`recipe/teacher.py`). They score every token and every shuffled mixture of parts
of sentences. The gradient of these losses is far smaller than that of masked tokens, hence the weights below. Late in
the run, masked tokens, sentiment and entities weigh more. Then every step predicts masked tokens, before only every
third. --start takes weights and the momentum of the layers' matrices from `last.pt` of an earlier run. Names that no
longer exist are ignored. The learning rate follows the clock: warm-up, constant, then linear decay until --minutes,
however busy the machine is. A file named PAUSE in the work folder or its parent stops the loop until it is gone. On a
CPU set `MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000`: large buffers are then kept, which
takes a third less time.
"""

import argparse
import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from finetuning.data import corpus
from recipe import export, pool, tokenizer
from recipe.batches import Batches, Pool
from recipe.model import Mini
from recipe.muon import Muon

WEIGHTS = {
    "mlm": 0.2, "topic": 1.0, "mean_topic": 1.0, "vote": 40.0, "language": 0.15, "sentiment": 0.3, "entities": 0.5,
}  # fmt: skip
LATE_WEIGHTS = WEIGHTS | {"mlm": 0.5, "sentiment": 0.5, "entities": 0.8}
LATE = 0.6  # the share of the time after which LATE_WEIGHTS count
FACTORS = (
    1.3,
    2.0,
)  # times the learning rate: AdamW (embeddings, heads, biases, norms) and Muon (matrices of the layers)


@dataclass
class Plan:
    """The settings of a run: rates per step, budget in tokens, times in seconds."""

    peak: float = 1e-3
    warm: int = 200
    fall: float = 0.8  # the share of the time in which the rate falls to zero
    decay: float = 0.05
    average: float = 0.998
    budget: int = 2_740
    every: float = 240.0
    seconds: float = 60 * 60


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to export to")
    parser.add_argument("--work", type=Path, required=True, help="folder for training checkpoints")
    parser.add_argument("--minutes", type=float, default=60, help="length of the whole run")
    parser.add_argument("--start", type=Path, help="take the weights of this checkpoint first")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in --work")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def tokenizer_texts(data: Path) -> list[str]:
    """Return every training text for the tokenizer, and the word lists with sixteen words a line."""
    rows = corpus.sib_train(data)
    texts = [r.text for r in rows]
    texts += [p.text for p in corpus.passages(data, {r.lang for r in rows})]
    texts += [o.text for o in corpus.opinions(data, "train")]
    texts += [t.text for t in corpus.entities(data, "train", corpus.ENTITY_LANGUAGES)]
    for words in corpus.lexicon(data).values():
        values = list(words.values())
        texts += [" ".join(values[i : i + 16]) for i in range(0, len(values), 16)]
    return texts


class Training:
    """One run: model, its moving average, optimizer, clock and step count."""

    def __init__(self, plan: Plan, texts: Pool, languages: list[str], work: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.plan, self.languages, self.work, self.seed = plan, languages, work, seed
        self.model = Mini(len(languages)).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(requires_grad=False)
        layers = [p for p in self.model.reference.roberta.encoder.layer.parameters() if p.ndim > 1]
        self.optimizers = [
            torch.optim.AdamW(self.groups(layers), lr=plan.peak, betas=(0.9, 0.98), eps=1e-6, fused=True),
            Muon(layers, lr=plan.peak, weight_decay=plan.decay),
        ]
        self.step, self.spent = 0, 0.0
        self.texts = texts
        self.means: dict[str, float] = {}

    def groups(self, layers: list[torch.Tensor]) -> list[dict[str, object]]:
        """Return the other parameters: with weight decay (matrices) and without (biases, norms)."""
        taken = {id(p) for p in layers}
        matrices = [p for p in self.model.parameters() if p.ndim > 1 and id(p) not in taken]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        return [{"params": matrices, "weight_decay": self.plan.decay}, {"params": others, "weight_decay": 0.0}]

    def rate(self) -> float:
        """Return the current learning rate: warm-up by steps, then constant, then linear decay by time."""
        left = max(0.0, 1 - self.spent / self.plan.seconds)
        return self.plan.peak * min(1.0, (self.step + 1) / self.plan.warm, left / self.plan.fall)

    def advance(self, batches: Batches) -> None:
        """Make one step on one batch."""
        late = self.spent > LATE * self.plan.seconds
        weights = LATE_WEIGHTS if late else WEIGHTS
        losses = self.model.losses(batches.next(long=self.step % 40 == 39), masked=late or self.step % 3 == 0)
        torch.stack([weights[name] * loss for name, loss in losses.items()]).sum().backward()  # type: ignore[no-untyped-call] # torch has no types for it
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, factor in zip(self.optimizers, FACTORS, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = self.rate() * factor
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        for name, loss in losses.items():
            self.means[name] = 0.98 * self.means.get(name, loss.item()) + 0.02 * loss.item()
        if self.step % 5 == 0:
            self.blend()

    @torch.no_grad()
    def blend(self) -> None:
        """Move the average towards the model: for five steps at once, and faster at the start of a run."""
        keep = min(self.plan.average**5, self.step / (self.step + 50))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "spent": self.spent,
        }  # fmt: skip
        partial = self.work / "last.pt.partial"
        torch.save(state, partial)
        partial.replace(self.work / "last.pt")

    def load(self) -> None:
        """Continue from the checkpoint."""
        state = torch.load(self.work / "last.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, mine in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(mine)
        self.step, self.spent = state["step"], state["spent"]

    def begin(self, path: Path) -> None:
        """Take the weights of another run and the momentum of its matrices, but not AdamW's state or the clock."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizers[1].load_state_dict(state["optimizers"][1])
        self.average.load_state_dict(self.model.state_dict())

    def run(self, out: Path) -> None:
        """Train until the time is over. Write a checkpoint and an export every few minutes."""
        batches = Batches(self.texts, self.plan.budget, self.seed + self.step)
        last, saved = time.monotonic(), self.spent
        while self.spent < self.plan.seconds:
            while (self.work / "PAUSE").exists() or (self.work.parent / "PAUSE").exists():
                time.sleep(2)
            self.advance(batches)
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if self.step % 50 == 0:
                shown = " ".join(f"{k} {v:.3f}" for k, v in self.means.items())
                print(f"step {self.step} {self.spent / 60:.1f} min rate {self.rate():.1e} {shown}", flush=True)
            if self.spent - saved > self.plan.every:
                saved = self.spent
                self.save()
                export.write(out, self.average, self.languages)
        self.save()
        print(f"done: {self.step} steps, {export.write(out, self.average, self.languages)} bytes", flush=True)


def main() -> int:
    """Make the tokenizer unless it is there, then the pool, then run the training."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / "tokenizer.json").exists():
        tokenizer.fit(tokenizer_texts(options.data), options.out, options.threads)
        tokenizer.convert(options.out)
    texts, languages = pool.build(options.data, options.out)
    plan = Plan(seconds=options.minutes * 60)
    training = Training(plan, texts, languages, options.work, options.seed)
    if options.resume and (options.work / "last.pt").exists():
        training.load()
    elif options.start:
        training.begin(options.start)
    training.run(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
