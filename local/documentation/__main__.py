"""Builds the site of the pages: `python -m local.documentation [--out FOLDER]`. It ends with 1 when a page is wrong.

mkdocs refuses links that lead nowhere and pages that the navigation lacks. What a browser would load from another host
is refused here. Must not know what the pages say.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from local.documentation.pages import lay_out

ROOT = Path(__file__).resolve().parents[2]
MKDOCS = ROOT / ".venv-docs/bin/mkdocs"
LOADED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
NOT_LOADED = re.compile(r"rel=[\"']?(?:canonical|prev|next)\b")


def main() -> int:
    """Build the site, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build/site", help="folder of the site")
    out: Path = parser.parse_args().out.resolve()
    if not MKDOCS.exists():
        raise SystemExit(f"{MKDOCS} is not there, expected it; `make site` makes it")
    lay_out(ROOT, ROOT / "build/site-pages")
    command = [str(MKDOCS), "build", "--quiet", "--strict", "--site-dir", str(out)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement that the theme prints
    built = subprocess.run(command, cwd=ROOT, env=quiet, check=False)
    if built.returncode:
        return 1
    foreign = sorted(from_other_hosts(out))
    print("\n".join(foreign) or f"the site is in {out}: open {out / 'index.html'}")
    return 1 if foreign else 0


def from_other_hosts(site: Path) -> Iterator[str]:
    """Yield `page: address` for what a browser would load from another host."""
    for page in site.rglob("*.html"):
        for found in LOADED.finditer(page.read_text(encoding="utf-8")):
            if not NOT_LOADED.search(found[0]):
                yield f"{page.relative_to(site)}: {found[1]}"


if __name__ == "__main__":
    raise SystemExit(main())
