"""`glossa cost`: prints what a million texts and documents cost, from a file of prices.

    glossa cost [--prices FILE] [--write docs/cost.md]

Must not know how a cost is computed.
"""

from __future__ import annotations

from pathlib import Path

import click

from glossa.commands.arguments import examples
from glossa.cost.prices import SHIPPED, load_prices
from glossa.cost.tables import all_tables, fill


@click.command(
    "cost",
    help="Print what a million texts and documents cost, at three loads.",
    epilog=examples("glossa cost", "glossa cost --prices my-prices.toml"),
)
@click.option(
    "--prices", "prices_path", type=click.Path(path_type=Path), default=SHIPPED, help="A TOML file of prices."
)
@click.option("--write", "page_path", type=click.Path(path_type=Path), help="Put the tables into this page instead.")
def cost_command(*, prices_path: Path, page_path: Path | None) -> int:
    """Run the command; return its exit code."""
    prices = load_prices(prices_path)
    if page_path is None:
        print(all_tables(prices))
    else:
        page_path.write_text(fill(page_path.read_text(encoding="utf-8"), prices), encoding="utf-8")
    if prices.missing:
        click.echo(f"glossa: no price, so in no figure: {', '.join(prices.missing)}", err=True)
    return 0
