"""Checks the file of prices, and what is refused in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.cost.prices import SHIPPED, load_prices


def test_every_price_that_is_used_has_a_source() -> None:
    """Each number of the shipped file has a place where it was read."""
    prices = load_prices()
    named = [*prices.machine, *prices.managed, *prices.service.values()]
    assert all(len(each.price_source) > 5 for each in named)
    assert "api_gateway_request" in prices.missing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("peak_factor = 3 ", "peak_factor = 0 "), "load.peak_factor"),
        (("utilization = 0.7", "utilization = 1.7"), "load.utilization"),
        (("texts_per_s = [0.1, 10, 1000]", "texts_per_s = []"), "load.texts_per_s"),
        (("dollars_per_hour = 0.1078", "dollars_per_hour = -1"), "machine.0.dollars_per_hour"),
        (("dollars_per_hour = 0.1078", "dollar_per_hour = 0.1078"), "machine.0.dollar_per_hour"),
        (("[load]", "[load"), "are no TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """A file with a number that makes no sense, an unknown key or a broken line is refused, and the key is named."""
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_prices(path)
