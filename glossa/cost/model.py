"""The arithmetic of cost: how many machines a load needs, and what a million texts or documents then cost.

Each function is one line of docs/cost.md. Must not know tables or files.
"""

from __future__ import annotations

import math

from glossa.cost.prices import Load, Machine, Managed, Prices

MILLION = 1_000_000
CHARS_PER_TOKEN = 4  # the usual rule of thumb for Latin script
LAMBDA_GB = 1769 / 1024  # the memory of infer and work in template.yaml


def n_machines(load: Load, machine: Machine, items_per_s: float, tokens: int, *, busy_share: float = 1.0) -> int:
    """Return how many machines answer `items_per_s` of `tokens` tokens each, at the peak of the busy hours.

    At least `min_machines` run when the service is always on, and at least one when it scales to zero. Raises
    ValueError for a machine without a rate.
    """
    if machine.tokens_per_s is None:
        raise ValueError(f"got machine {machine.name} without tokens_per_s, expected a measured or computed rate")
    peak_tokens_per_s = items_per_s / busy_share * load.peak_factor * tokens
    needed = math.ceil(peak_tokens_per_s / (machine.tokens_per_s * load.utilization))
    return max(needed, load.min_machines if busy_share == 1.0 else 1)


def machine_dollars(prices: Prices, machine: Machine, items_per_s: float, tokens: int, *, zero: bool) -> float:
    """Return the dollars that machines cost for a million items. With `zero` they run in the busy hours alone.

    For machines of ours, the share of Auto Mode is part of it, and what is paid by the hour: cluster, load balancer
    and endpoints.
    """
    share = prices.load.busy_share if zero else 1.0
    count = n_machines(prices.load, machine, items_per_s, tokens, busy_share=share)
    hourly = count * machine.dollars_per_hour * share
    if machine.ours:
        hourly = hourly * (1 + prices.dollars("eks_auto_mode_share")) + fixed_dollars_per_hour(prices)
    return hourly / (items_per_s * 3600) * MILLION


def fixed_dollars_per_hour(prices: Prices) -> float:
    """Return what is paid by the hour whether anything is answered or not, machines apart."""
    endpoints = prices.load.vpc_endpoints * prices.dollars("vpc_endpoint_hour")
    return prices.dollars("eks_cluster_hour") + prices.dollars("load_balancer_hour") + endpoints


def full_load_dollars(machine: Machine, tokens: int) -> float | None:
    """Return the dollars for a million items on a machine that is loaded fully; None when its rate is not known."""
    if machine.tokens_per_s is None:
        return None
    return tokens / machine.tokens_per_s * machine.dollars_per_hour / 3600 * MILLION


def text_lambda_dollars(prices: Prices) -> float:
    """Return what the API and its function cost for a million texts, one text a request."""
    gb_s = LAMBDA_GB * prices.load.lambda_ms_per_text / 1000
    requests = prices.dollars("lambda_request") + prices.dollars("api_gateway_request")
    return MILLION * (gb_s * prices.dollars("lambda_gb_s") + requests)


def document_lambda_dollars(prices: Prices, machine: Machine) -> float:
    """Return what functions, table and buckets cost for a million documents.

    `work` waits while one machine computes a document. Raises ValueError for a machine without a rate.
    """
    if machine.tokens_per_s is None:
        raise ValueError(f"got machine {machine.name} without tokens_per_s, expected a measured or computed rate")
    waits_s = prices.load.tokens_per_document / machine.tokens_per_s
    stored = prices.load.dynamodb_writes_per_document * prices.dollars("dynamodb_write")
    stored += prices.load.s3_requests_per_document * prices.dollars("s3_request")
    return MILLION * (LAMBDA_GB * waits_s * prices.dollars("lambda_gb_s") + stored)


def managed_dollars(managed: Managed, tokens: int, *, is_text: bool) -> float:
    """Return what a managed service asks for a million items of `tokens` tokens."""
    if managed.dollars_per_million_tokens is not None:
        return managed.dollars_per_million_tokens * tokens
    if is_text and managed.dollars_per_text is not None:
        return managed.dollars_per_text * MILLION
    units = math.ceil(tokens * CHARS_PER_TOKEN / 100)
    return units * (managed.dollars_per_100_chars or 0.0) * MILLION
