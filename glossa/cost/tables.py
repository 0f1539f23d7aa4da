"""Writes the tables of docs/cost.md from the inputs, so that the page and the calculator never differ.

Must not know how a cost is computed.
"""

from __future__ import annotations

from collections.abc import Iterator

from glossa.cost.model import (
    document_lambda_dollars,
    full_load_dollars,
    machine_dollars,
    managed_dollars,
    n_machines,
    text_lambda_dollars,
)
from glossa.cost.prices import Machine, Prices

NO_RATE = "not measured"
BEGIN, END = "<!-- tables: glossa cost -->", "<!-- end of tables -->"


def all_tables(prices: Prices) -> str:
    """Return every table in Markdown."""
    parts = (_full_load(prices), _loads(prices, is_text=True), _loads(prices, is_text=False), _sources(prices))
    return "\n\n".join("\n".join(part) for part in parts)


def fill(page: str, prices: Prices) -> str:
    """Return a page with the tables of these prices between its two marks. Raises ValueError when a mark is missing."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"got a page without the marks {BEGIN} and {END}, expected both")
    return f"{head}{BEGIN}\n{all_tables(prices)}\n{END}{tail}"


def _full_load(prices: Prices) -> Iterator[str]:
    yield "**Dollars for a million texts on a machine that is never idle.** This is the floor: machines alone."
    yield ""
    yield "| machine | $/hour | tokens/s | a million texts | how the rate is known |"
    yield "|---|---|---|---|---|"
    for machine in prices.machine:
        dollars = full_load_dollars(machine, prices.load.tokens_per_text)
        rate = NO_RATE if machine.tokens_per_s is None else f"{machine.tokens_per_s:,.0f}"
        shown = "" if dollars is None else money(dollars)
        yield f"| {machine.name} ({machine.chip}) | {machine.dollars_per_hour:g} | {rate} | {shown} | {machine.basis} |"


def _loads(prices: Prices, *, is_text: bool) -> Iterator[str]:
    load = prices.load
    item, tokens = ("texts", load.tokens_per_text) if is_text else ("documents", load.tokens_per_document)
    rates = [rate if is_text else rate * load.documents_per_text for rate in load.texts_per_s]
    yield f"**Dollars for a million {item} of {tokens:,} tokens.** In brackets: how many machines run at the peak."
    yield ""
    heads = [f"{rate:,.4g}/s" for rate in rates]
    yield "| | " + " | ".join([f"{head}, always on" for head in heads] + [f"{head}, to zero" for head in heads]) + " |"
    yield "|---" * (1 + 2 * len(rates)) + "|"
    for machine in prices.machine:
        if machine.tokens_per_s is not None:
            cells = [_cell(prices, machine, rate, tokens, is_text, zero) for zero in (False, True) for rate in rates]
            yield f"| {machine.name} | " + " | ".join(cells) + " |"
    for managed in prices.managed:
        dollars = money(managed_dollars(managed, tokens, is_text=is_text))
        yield f"| {managed.name} ({managed.note}) | " + " | ".join([dollars] * 2 * len(rates)) + " |"


def _cell(prices: Prices, machine: Machine, rate: float, tokens: int, is_text: bool, zero: bool) -> str:  # noqa: FBT001 - private, called once
    dollars = machine_dollars(prices, machine, rate, tokens, zero=zero)
    if machine.ours:
        dollars += text_lambda_dollars(prices) if is_text else document_lambda_dollars(prices, machine)
    elif zero:
        return "does not"
    share = prices.load.busy_share if zero else 1.0
    return f"{money(dollars)} ({n_machines(prices.load, machine, rate, tokens, busy_share=share)})"


def _sources(prices: Prices) -> Iterator[str]:
    yield "**Where each price was read.**"
    yield ""
    yield "| price | dollars | source |"
    yield "|---|---|---|"
    for machine in prices.machine:
        yield f"| {machine.name}, an hour | {machine.dollars_per_hour:g} | {machine.price_source} |"
    for managed in prices.managed:
        yield f"| {managed.name} | {managed.note} | {managed.price_source} |"
    for name, service in prices.service.items():
        dollars = "in no figure" if service.dollars is None else f"{service.dollars:.10f}".rstrip("0")
        yield f"| `{name}` | {dollars} | {service.price_source} |"


def money(dollars: float) -> str:
    """Return dollars with three figures that count."""
    if dollars >= 100:  # noqa: PLR2004 - three figures
        return f"{dollars:,.0f}"
    return f"{dollars:.3g}" if dollars < 10 else f"{dollars:.1f}"  # noqa: PLR2004 - three figures
