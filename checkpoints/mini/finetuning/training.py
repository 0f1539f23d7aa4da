"""Runs the multi-task training: optimizer, moving average, clock, progress, and a state from which it resumes.

Every step takes a batch of SIB-200 (topic, language, aligned vectors) and a batch of one other task. The learning rate
follows the clock: warm-up, constant, then linear decay until the time is over, however busy the machine is.
Must not know data sets or where the network comes from.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from checkpoints.mini.finetuning import losses, probing
from checkpoints.mini.finetuning.batches import Batches, thinned
from checkpoints.mini.finetuning.examples import Examples
from checkpoints.mini.finetuning.network import Network

# How often a step takes a batch of each other task, in so many steps of all together.
TURNS = {
    "masked": 2, "entities": 4, "answers": 7, "cloze": 2, "sentiment": 5, "nli": 4, "choice": 1, "similarity": 1,
    "parallel": 1, "words": 1,
}  # fmt: skip
WEIGHTS = {
    "topic": 0.5,
    "language": 0.3,
    "aligned": 0.5,
    "masked": 0.3,
    "words": 0.3,
    "parallel": 0.3,
    "similarity": 0.3,
}
CHOICES = 5  # answers of a question of the training set
# The embeddings and a third of the layers learn in every second batch of SIB-200 and in the batches of these tasks, and
# rest in others: new scripts need them, but their gradient costs a fifth of a step.
RESTING = 1 / 3
LOW_TASKS = ("parallel", "words")
RATES = {"words": 1.0, "body": 0.5, "heads": 1.5}  # times the peak


@dataclass(frozen=True)
class Plan:
    """The settings of a run: the peak rate, budgets in tokens, times in seconds."""

    seconds: float
    peak: float = 4e-4
    warm: int = 100  # steps
    fall: float = 0.7  # the share of the time in which the rate falls to zero
    decay: float = 0.01
    average: float = 0.08  # the share of all steps so far that the moving average reaches back
    topics_tokens: int = 2_048
    other_tokens: int = 2_048
    every_s: float = 180.0  # between two states


class Training:
    """One run. `banks` are the teacher's vectors of the sets `topics`, `parallel` and `words`."""

    def __init__(
        self, network: Network, sets: Mapping[str, Examples], banks: Mapping[str, Tensor], plan: Plan, work: Path,
        *, seed: int,
    ) -> None:  # fmt: skip
        self.network, self.sets, self.banks, self.plan, self.work, self.seed = network, sets, banks, plan, work, seed
        self.average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.average.reference.tie_weights()
        self.optimizer = torch.optim.AdamW(self.groups(), betas=(0.9, 0.98), eps=1e-6, fused=True)
        self.n_resting = int(RESTING * network.config.num_hidden_layers)
        self.step, self.spent_s, self.n_tokens = 0, 0.0, 0
        self.means: dict[str, float] = {}

    def fit_heads(self) -> dict[str, float]:
        """Fit the heads on the states of the start. It counts as time of the training. Return the last losses."""
        began = time.monotonic()
        losses = probing.fit_heads(self.network, self.sets, self.seed)
        self.average.load_state_dict(self.network.state_dict())
        self.spent_s = time.monotonic() - began
        return losses

    def groups(self) -> list[dict[str, object]]:
        """Return the parameters with their rates: word embeddings, body, heads; norms and biases do not decay."""
        kinds: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter in self.network.named_parameters():
            kind = "words" if "word_embeddings" in name else "body" if ".roberta." in name else "heads"
            kinds.setdefault((kind, parameter.ndim > 1), []).append(parameter)
        return [
            {"params": found, "factor": RATES[kind], "weight_decay": self.plan.decay if matrix else 0.0, "lr": 0.0}
            for (kind, matrix), found in kinds.items()
        ]

    def rate(self) -> float:
        """Return the current learning rate."""
        left = max(0.0, 1 - self.spent_s / self.plan.seconds)
        return self.plan.peak * min(1.0, (self.step + 1) / self.plan.warm, left / self.plan.fall)

    def run(self) -> None:
        """Train until the time is over. Write a state every few minutes, wait while a file PAUSE lies beside it."""
        batches = {
            name: Batches(
                examples,
                self.plan.topics_tokens if name == "topics" else self.plan.other_tokens,
                self.seed + self.step + n,
            )
            for n, (name, examples) in enumerate(sorted(self.sets.items()))
        }
        turns = [name for name, n in TURNS.items() if name in self.sets for _ in range(n)]
        last, saved_s, began = time.monotonic(), self.spent_s, (self.spent_s, self.n_tokens)
        while self.spent_s < self.plan.seconds:
            while (self.work / "PAUSE").exists():
                time.sleep(2)
                last = time.monotonic()
            random = np.random.default_rng((self.seed, self.step))
            torch.manual_seed(self.seed + self.step)
            self.advance(batches, str(random.choice(turns)), random)
            now = time.monotonic()
            self.spent_s, last = self.spent_s + now - last, now
            if self.step % 20 == 0:
                self.show(began)
            if self.spent_s - saved_s > self.plan.every_s:
                saved_s = self.spent_s
                self.save()
        self.save()

    def advance(self, batches: Mapping[str, Batches], other: str, random: np.random.Generator) -> None:
        """Make one step: SIB-200, then one batch of another task, then the update."""
        batch = thinned(batches["topics"].next(), random)
        self.network.n_fixed = self.n_resting * (self.step % 2)
        self.learn(losses.topics(self.network, batch, self.banks["topics"]))
        self.n_tokens += batch.ids.numel()
        batch = batches[other].next()
        self.network.n_fixed = 0 if other in LOW_TASKS else self.n_resting
        self.n_tokens += batch.ids.numel()
        if other in self.banks:
            loss = losses.vectors_only(self.network, batch, self.banks[other])
        elif other == "masked":
            loss = losses.masked(self.network, batch, random)
        elif other == "choice":
            loss = losses.choice(self.network, batch, CHOICES)
        else:
            loss = losses.SIMPLE[other](self.network, batch)
        self.learn({other: loss})
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["factor"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.step % 5 == 0:
            self.blend()

    def learn(self, found: Mapping[str, Tensor]) -> None:
        """Add the gradients of weighted losses, and note their values."""
        torch.stack([WEIGHTS.get(name, 1.0) * loss for name, loss in found.items()]).sum().backward()  # type: ignore[no-untyped-call] # torch has no types for it
        for name, loss in found.items():
            self.means[name] = 0.95 * self.means.get(name, loss.item()) + 0.05 * loss.item()

    @torch.no_grad()
    def blend(self) -> None:
        """Move the average towards the network, for five steps at once. A short run averages over fewer steps."""
        keep = 1 - 5 / (5 + self.plan.average * self.step)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - keep)

    def show(self, began: tuple[float, int]) -> None:
        """Print step, minutes spent and left, tokens per second of this start, and the means of the losses."""
        speed = (self.n_tokens - began[1]) / max(1e-9, self.spent_s - began[0])
        left = (self.plan.seconds - self.spent_s) / 60
        shown = " ".join(f"{name} {value:.2f}" for name, value in sorted(self.means.items()))
        print(
            f"step {self.step}: {self.spent_s / 60:.1f} min, {left:.1f} left, {speed:,.0f} tokens/s, {shown}",
            flush=True,
        )

    def save(self) -> None:
        """Write the state atomically."""
        state = {
            "network": self.network.state_dict(), "average": self.average.state_dict(), "means": self.means,
            "optimizer": self.optimizer.state_dict(), "step": self.step, "spent": self.spent_s, "tokens": self.n_tokens,
        }  # fmt: skip
        partial = self.work / "last.pt.partial"
        torch.save(state, partial)
        partial.replace(self.work / "last.pt")

    def load(self) -> bool:
        """Continue from the state, if there is one."""
        path = self.work / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent_s, self.n_tokens = state["step"], state["spent"], state["tokens"]
        self.means = state["means"]
        return True
