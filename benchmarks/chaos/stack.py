"""A local stack that may be broken: emulator, functions, Ray Serve, and the network between the last two.

It has a home of its own, so that a stack of `make run` is not touched. `do` carries out one step of a scenario, and
`heal` undoes what is undone by hand. Must not know scenarios, or what callers see.
"""

from __future__ import annotations

import random
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import psutil

from benchmarks.chaos import targets
from benchmarks.chaos.calls import Usage
from benchmarks.chaos.network import NetworkProxy
from benchmarks.chaos.scenarios import Network, Step
from local import deploy, model_server, stack
from local.build import make_artifacts
from local.ports import ports
from local.ray_workspace import end_leftovers
from local.workspace import Workspace

PROXY_OFFSET = 2  # of the block of ports; the emulator has 0, Ray Serve 1, and Ray those from 10 on
MEASURED = ("replica", "functions", "emulator")
READY_S = 120.0
REPLICAS = re.compile(r"^replicas = .*$", re.MULTILINE)
CHECKPOINT = re.compile(r'^checkpoint = "(?!hub:|s3:|/)', re.MULTILINE)


class LocalStack:
    """One stack in a workspace. `url` is the address of its API, once it is up."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.url = ""
        self._catalog = workspace.home / "catalog.toml"
        self._network = NetworkProxy(ports(workspace).serve, ports(workspace).base + PROXY_OFFSET)
        self._revision, self._replicas = 1, 1
        self._random = random.Random(0)
        self._actions: Mapping[str, Callable[[Step], str]] = {
            "kill": self._kill,
            "pause": lambda step: self._signal(step, signal.SIGSTOP),
            "resume": lambda step: self._signal(step, signal.SIGCONT),
            "end Ray": self._end_ray,
            "start Ray": self._start_ray,
            "network": self._set_network,
            "fill disk": lambda _: self._limit_files(0),
            "free disk": lambda _: self._limit_files(resource.RLIM_INFINITY),
            "roll": self._roll,
        }

    def up(self) -> None:
        """Start what does not run. Raises RuntimeError that names the step that failed."""
        self._network.start()
        make_artifacts(self.workspace)
        self._follow()
        running = stack.up(self.workspace, f"http://127.0.0.1:{self._network.port}")
        self.url = running.api_url

    def down(self) -> None:
        """End everything."""
        self.heal()
        stack.down(self.workspace)
        model_server.stop(self.workspace)
        self._network.stop()

    def make_ready(self, n_replicas: int) -> None:
        """Heal everything, and wait until so many replicas answer. Raises RuntimeError."""
        self.heal()
        self._replicas = n_replicas
        self._follow()
        ends_s = time.monotonic() + READY_S
        while not (model_server.is_up(self.workspace) and len(targets.find(self.workspace, "replica")) >= n_replicas):
            if time.monotonic() > ends_s:
                raise RuntimeError(f"got fewer than {n_replicas} replicas after {READY_S:.0f} s, see log/serve.log")
            time.sleep(0.5)

    def do(self, step: Step) -> str:
        """Carry out one step; return in words what was done. Raises ValueError for an action of nobody."""
        if step.action not in self._actions:
            raise ValueError(f"got action {step.action!r}, expected one of {', '.join(self._actions)}")
        return self._actions[step.action](step)

    def heal(self) -> None:
        """Let everything go on that was stopped, slowed or limited."""
        self._network.network = Network()
        targets.send(targets.find(self.workspace, "ray"), signal.SIGCONT)
        self._limit_files(resource.RLIM_INFINITY)

    def n_calls(self) -> int:
        """Return how many calls have reached the model server so far."""
        return self._network.n_calls

    def usage(self, at_s: float) -> Iterator[Usage]:
        """Yield the memory and the open files of each part now."""
        for part in MEASURED:
            rss_bytes = n_files = n_processes = 0
            for each in targets.find(self.workspace, part):
                with suppress(*targets.GONE):
                    rss_bytes += each.memory_info().rss
                    n_files += each.num_fds()
                    n_processes += 1
            if n_processes:
                yield Usage(at_s, part, rss_bytes, n_files, n_processes)

    def dead_letters(self) -> int:
        """Return how many messages lie in the dead letter queues."""
        sqs = deploy.client(self.workspace, "sqs")
        urls = [url for url in sqs.list_queues().get("QueueUrls", []) if re.search("dead|dlq", url, re.IGNORECASE)]
        name = "ApproximateNumberOfMessages"
        return sum(
            int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) for url in urls
        )

    def _follow(self) -> None:
        """Write the catalog of this stack, and let Ray Serve follow it, or start."""
        text = (self.workspace.root / "catalog.toml").read_text(encoding="utf-8")
        self._catalog.write_text(
            own_catalog(text, str(self.workspace.root), self._replicas, self._revision), encoding="utf-8"
        )
        model_server.start(self.workspace, self._catalog)

    def _kill(self, step: Step) -> str:
        found = targets.find(self.workspace, step.part)
        chosen = found if step.part == "proxy" else self._random.sample(found, min(1, len(found)))
        n_sent = targets.send(chosen, signal.SIGKILL)
        return f"SIGKILL to {n_sent} of {len(found)} {step.part}"

    def _signal(self, step: Step, number: signal.Signals) -> str:
        found = targets.find(self.workspace, step.part)
        return f"{number.name} to {targets.send(found, number)} {step.part}"

    def _end_ray(self, _: Step) -> str:
        n_sent = targets.send(targets.find(self.workspace, "ray"), signal.SIGKILL)
        end_leftovers(self.workspace, 0.0)
        return f"SIGKILL to all {n_sent} processes of Ray"

    def _start_ray(self, _: Step) -> str:
        model_server.start(self.workspace, self._catalog)
        return "Ray started again"

    def _set_network(self, step: Step) -> str:
        self._network.network = step.network or Network()
        return f"network: {self._network.network}"

    def _limit_files(self, n_bytes: int) -> str:
        """Bound the size of files that replicas and functions write. Python gets an error there, and no signal."""
        n_limited = 0
        for part in ("replica", "functions"):
            for each in targets.find(self.workspace, part):
                with suppress(*targets.GONE, OSError):
                    each.rlimit(psutil.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
                    n_limited += 1
        return (
            f"size of files {'unlimited' if n_bytes == resource.RLIM_INFINITY else n_bytes} for {n_limited} processes"
        )

    def _roll(self, _: Step) -> str:
        self._revision += 1
        self._follow()
        return f"revision {self._revision} of the model serves"


def own_catalog(text: str, root: str, n_replicas: int, revision: int) -> str:
    """Return the catalog of the checkout with so many replicas and this revision, readable from another folder."""
    cores = 2.0 / n_replicas
    counted = f'replicas = {{ min = {n_replicas}, max = {n_replicas}, num_cpus = {cores} }}\nrevision = "{revision}"'
    return CHECKPOINT.sub(f'checkpoint = "{root}/', REPLICAS.sub(counted, text))
