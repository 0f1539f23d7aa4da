"""The scenarios: what is broken when, under which load, and what must hold. Pure descriptions.

`scenario` makes one by its name, for a number of seconds in which something is broken. Must not know how anything is
broken, or how figures are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.chaos.holds import Hold, at_least, at_most

Action = Literal[
    "kill", "pause", "resume", "end Ray", "start Ray", "network", "fill disk", "free disk", "load", "roll", "submit job"
]
Texts = Literal["short", "long"]

CALM_S, AFTER_S = 15.0, 25.0  # before the first fault and after the last one
API_S = 30.0  # API Gateway answers within 29 s
NO_WRONG = at_most("n_wrong", 0)
NO_HANG = at_most("slowest_request_s", API_S)
FEW_RETRIES = at_most("amplification", 1.2)
BACK = at_most("recover_s", 15.0)
ALWAYS = (NO_WRONG, NO_HANG, FEW_RETRIES)
QUICK_REFUSALS = (at_most("refusal_p99_ms", 200.0), at_least("refusals_with_wait", 1.0))


@dataclass(frozen=True, slots=True)
class Network:
    """What the network between functions and model server does to one reply in `every`; `delay_s` is for all of them.

    `cut_bytes` ends the connection after so many bytes of a reply. `corrupt` spoils the first line of a reply, or the
    JSON at the start of its body. `silent` lets nothing through. Without any of it the network is as it should be.
    """

    every: int = 1
    delay_s: float = 0.0
    cut_bytes: int | None = None
    corrupt: Literal["head", "json"] | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One action, `at_s` seconds after the calm time. `part` is what it is done to.

    `factor` is the load in times of the calm load, for "load". A step is a fault, or it heals one, or neither.
    """

    at_s: float
    action: Action
    part: str = ""
    factor: float = 1.0
    network: Network | None = None
    is_fault: bool = False
    heals: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and what must hold. The load is `per_s` calls a second, or a share of the peak that was measured.

    `seconds` is how long it is broken; `calm_s` come before and `after_s` after that.
    """

    name: str
    says: str
    seconds: float
    steps: tuple[Step, ...]
    holds: tuple[Hold, ...]
    replicas: int = 1
    texts: Texts = "short"
    per_s: float | None = None
    peak_share: float | None = None
    calm_s: float = CALM_S
    after_s: float = AFTER_S


def _every(seconds: float, period_s: float, action: Action, part: str) -> tuple[Step, ...]:
    """Return a fault at each period, the first one at once, and none in the last half of a period."""
    n_faults = max(1, round(seconds / period_s))
    return tuple(Step(n * period_s, action, part, is_fault=True) for n in range(n_faults))


def _broken(seconds: float, begin: Step, end: Step) -> tuple[Step, ...]:
    return begin, Step(seconds, end.action, end.part, end.factor, end.network, heals=True)


def only_replica(seconds: float) -> Scenario:
    """Kill the only replica once."""
    holds = (
        *ALWAYS, *QUICK_REFUSALS, at_most("in_flight_s", 2.0), at_most("notice_s", 2.0), BACK,
        at_least("honest_waits", 0.9),
    )  # fmt: skip
    says = "the only replica gets SIGKILL"
    return Scenario(
        "kill-only-replica", says, seconds, (Step(0.0, "kill", "replica", is_fault=True),), holds, per_s=5.0
    )


def one_of_two(seconds: float) -> Scenario:
    """Kill one of two replicas every 30 seconds."""
    holds = (*ALWAYS, at_least("success", 0.999), at_most("p99_ratio", 3.0), BACK)
    says = "one of two replicas gets SIGKILL every 30 s"
    steps = _every(seconds, 30.0, "kill", "replica")
    return Scenario("kill-replica", says, seconds, steps, holds, replicas=2, per_s=5.0)


def stalled_replica(seconds: float) -> Scenario:
    """Stop the only replica, and let it go on at the end."""
    holds = (*ALWAYS, *QUICK_REFUSALS, at_most("notice_s", 10.0), BACK)
    steps = _broken(seconds, Step(0.0, "pause", "replica", is_fault=True), Step(0.0, "resume", "replica"))
    says = f"the only replica gets SIGSTOP, and SIGCONT {seconds:g} s later"
    return Scenario("stall-replica", says, seconds, steps, holds, per_s=5.0)


def proxy(seconds: float) -> Scenario:
    """Kill the process that listens for the model servers."""
    holds = (*ALWAYS, *QUICK_REFUSALS, at_most("notice_s", 2.0), BACK)
    says = "the proxy of Ray Serve gets SIGKILL every 30 s"
    return Scenario("kill-proxy", says, seconds, _every(seconds, 30.0, "kill", "proxy"), holds, per_s=5.0)


def controller(seconds: float) -> Scenario:
    """Kill the controller of Serve, which requests do not need."""
    holds = (*ALWAYS, at_least("success", 0.999), BACK)
    says = "the controller of Ray Serve gets SIGKILL every 30 s"
    return Scenario("kill-controller", says, seconds, _every(seconds, 30.0, "kill", "controller"), holds, per_s=5.0)


def handlers(seconds: float) -> Scenario:
    """Kill processes of the function infer, as a crash of the runtime would end them."""
    holds = (NO_WRONG, NO_HANG, at_least("success", 0.99), BACK)
    says = "one process of the function infer gets SIGKILL every 5 s"
    return Scenario("kill-handler", says, seconds, _every(seconds, 5.0, "kill", "handler"), holds, per_s=5.0)


def ray_away(seconds: float) -> Scenario:
    """Kill all processes of Ray, and start them again at the end, while a batch job waits."""
    holds = (
        *ALWAYS, *QUICK_REFUSALS, at_most("notice_s", 2.0), at_most("recover_s", 60.0),
        at_most("jobs_lost", 0, must_happen=True), at_most("dead_letters", 0, must_happen=True),
    )  # fmt: skip
    begin = Step(0.0, "end Ray", is_fault=True)
    steps = (Step(0.0, "submit job"), *_broken(seconds, begin, Step(0.0, "start Ray")))
    says = f"all processes of Ray get SIGKILL, and Ray starts again {seconds:g} s later; a batch job waits meanwhile"
    return Scenario("ray-away", says, seconds, steps, holds, per_s=5.0, after_s=90.0)


def ray_suspended(seconds: float) -> Scenario:
    """Stop all processes of Ray, and let them go on at the end."""
    holds = (*ALWAYS, *QUICK_REFUSALS, at_most("notice_s", 10.0), at_most("recover_s", 30.0))
    steps = _broken(seconds, Step(0.0, "pause", "ray", is_fault=True), Step(0.0, "resume", "ray"))
    says = f"all processes of Ray get SIGSTOP, and SIGCONT {seconds:g} s later"
    return Scenario("ray-suspended", says, seconds, steps, holds, per_s=5.0, after_s=60.0)


def _network(name: str, says: str, seconds: float, network: Network, holds: tuple[Hold, ...]) -> Scenario:
    begin = Step(0.0, "network", network=network, is_fault=True)
    steps = _broken(seconds, begin, Step(0.0, "network", network=Network()))
    return Scenario(name, says, seconds, steps, (NO_WRONG, NO_HANG, *holds, BACK), per_s=5.0)


def cut(seconds: float) -> Scenario:
    """Cut replies of the model server in the middle."""
    network, says = Network(every=5, cut_bytes=200), "one reply in five of the model server ends after 200 bytes"
    return _network("cut", says, seconds, network, (FEW_RETRIES, at_least("success", 0.95)))


def corrupt(seconds: float) -> Scenario:
    """Make replies of the model server unreadable."""
    network, says = Network(every=5, corrupt="json"), "one reply in five of the model server has bytes that are wrong"
    return _network("corrupt", says, seconds, network, (FEW_RETRIES, at_least("success", 0.95)))


def slow_network(seconds: float) -> Scenario:
    """Delay each reply."""
    network, says = Network(delay_s=0.3), "each reply of the model server comes 300 ms later"
    return _network("slow-network", says, seconds, network, (FEW_RETRIES, at_least("success", 0.999)))


def silent_network(seconds: float) -> Scenario:
    """Take connections, and answer nothing."""
    network, says = Network(silent=True), "the network takes connections, and lets no byte through"
    return _network("silent-network", says, seconds, network, (*QUICK_REFUSALS, at_most("notice_s", 10.0)))


def full_disk(seconds: float) -> Scenario:
    """Let replicas and functions write no file any more."""
    steps = _broken(seconds, Step(0.0, "fill disk", is_fault=True), Step(0.0, "free disk"))
    says = "replicas and functions can make no file longer (their limit of file size is 0)"
    return Scenario(
        "full-disk", says, seconds, steps, (*ALWAYS, at_least("success", 0.999), BACK), per_s=5.0
    )  # fmt: skip


def overload(seconds: float) -> Scenario:
    """Send five times of what the stack can answer, in long texts, so that the replica is what is full."""
    factor = 10.0  # of half the peak
    begin = Step(0.0, "load", factor=factor, is_fault=True)
    holds = (
        NO_WRONG, NO_HANG, at_least("goodput_share", 0.9, must_happen=True), at_most("refusal_p99_ms", 100.0),
        at_least("refusals_with_wait", 1.0), at_most("recover_s", 5.0), at_most("growth", 2.0),
    )  # fmt: skip
    says = "five times the load that the stack answers at its best, in long texts"
    return Scenario(
        "overload", says, seconds, _broken(seconds, begin, Step(0.0, "load")), holds, texts="long", peak_share=0.5
    )


def rolling_update(seconds: float) -> Scenario:
    """Change the catalog, so that every replica is replaced."""
    holds = (*ALWAYS, at_least("success", 1.0), at_least("first_try", 1.0), at_most("p99_ratio", 10.0))
    steps = (Step(0.0, "roll", is_fault=True),)
    return Scenario("rolling-update", "the catalog gets a new revision", seconds, steps, holds, per_s=5.0)


def soak(seconds: float) -> Scenario:
    """Break nothing, for long."""
    holds = (NO_WRONG, NO_HANG, at_least("success", 1.0), at_most("growth", 1.1), at_most("file_growth", 1.1))
    return Scenario("soak", "nothing is broken", seconds, (), holds, peak_share=0.7, calm_s=0.0, after_s=0.0)


MAKERS: dict[str, tuple[Callable[[float], Scenario], float]] = {  # with the seconds that are usual
    "kill-only-replica": (only_replica, 30.0),
    "stall-replica": (stalled_replica, 15.0),
    "ray-away": (ray_away, 60.0),
    "overload": (overload, 120.0),
    "kill-replica": (one_of_two, 300.0),
    "rolling-update": (rolling_update, 60.0),
    "kill-proxy": (proxy, 60.0),
    "kill-controller": (controller, 60.0),
    "kill-handler": (handlers, 60.0),
    "ray-suspended": (ray_suspended, 30.0),
    "cut": (cut, 30.0),
    "corrupt": (corrupt, 30.0),
    "slow-network": (slow_network, 30.0),
    "silent-network": (silent_network, 30.0),
    "full-disk": (full_disk, 30.0),
    "soak": (soak, 60.0),
}


def scenario(name: str, seconds: float | None = None) -> Scenario:
    """Return a scenario. Raises ValueError for a name that is none."""
    if name not in MAKERS:
        raise ValueError(f"got scenario {name!r}, expected one of {', '.join(MAKERS)}")
    make, usual_s = MAKERS[name]
    return make(seconds if seconds is not None else usual_s)
