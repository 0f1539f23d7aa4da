"""The contract of the API: docs/openapi.json is what the code gives, and nothing that callers rely on is gone.

    python -m tests.gates.contract

The document of the code is compared with the one of the newest release tag, else of the last commit. A caller's request
must still be taken, and an answer must still be one that the caller knows. `contract_breaks.toml` lists the breaks that
are meant, each with its reason. Must not know any route.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from functions.http.openapi_document import document
from tests.gates.schemas import Schemas, refused

ROOT = Path(__file__).parents[2]
COMMITTED = "docs/openapi.json"
MEANT = Path(__file__).with_name("contract_breaks.toml")
Document = Mapping[str, Any]


def breaks(old: Document, new: Document) -> list[str]:
    """Return what a caller of the old document cannot do any more, a sentence each."""
    found: list[str] = []
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            after = new["paths"].get(path, {}).get(method)
            at = f"{method.upper()} {path}"
            found += [f"{at}: is gone"] if after is None else _of_operation(at, (before, old), (after, new))
    return found


def _of_operation(at: str, before: tuple[Any, Document], after: tuple[Any, Document]) -> Iterator[str]:
    (old, old_page), (new, new_page) = before, after
    known, taken = (
        {(each["in"], each["name"]): each for each in operation.get("parameters", ())} for operation in (old, new)
    )
    for key in known.keys() - taken.keys():
        yield f"{at}: the {key[0]} parameter {key[1]} is not taken any more"
    for key, parameter in taken.items():
        if parameter.get("required") and not known.get(key, {}).get("required"):
            yield f"{at}: the {key[0]} parameter {key[1]} is required"
        if key in known:
            schemas = Schemas(old_page), Schemas(new_page)
            yield from refused(known[key]["schema"], parameter["schema"], schemas, f"{at}: parameter {key[1]}")
    yield from _of_contents(f"{at}: body", old.get("requestBody"), new.get("requestBody"), (old_page, new_page))
    for status, response in old["responses"].items():
        if status.startswith("2"):
            if status not in new["responses"]:
                yield f"{at}: the answer {status} is gone"
                continue
            answers = (new["responses"][status], response)
            yield from _of_contents(f"{at}: answer {status}", *answers, (new_page, old_page))


def _of_contents(at: str, given: Any, taking: Any, pages: tuple[Document, Document]) -> Iterator[str]:
    """Yield why what `given` describes may be refused by who reads `taking`."""
    if given is None or taking is None:
        return
    for kind, content in given["content"].items():
        if kind not in taking["content"]:
            if at.endswith("body"):
                yield f"{at}: {kind} is not taken any more"
        elif "schema" in content:
            schemas = Schemas(pages[0]), Schemas(pages[1])
            yield from refused(content["schema"], taking["content"][kind]["schema"], schemas, at)


def released() -> tuple[str, Document] | None:
    """Return the name and the document of the newest release, else of the last commit; None without git."""
    tags = _git("tag", "--list", "v*", "--merged", "HEAD", "--sort=-creatordate")
    name = (tags or "").split("\n")[0] or "HEAD"
    text = _git("show", f"{name}:{COMMITTED}")
    return None if text is None else (name, json.loads(text))


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Compare, and return 1 with a reason for each difference."""
    made = document()
    if json.loads((ROOT / COMMITTED).read_text(encoding="utf-8")) != json.loads(json.dumps(made)):
        _say(
            f"{COMMITTED} is not what the code gives; write it: python -m functions.http.openapi_document > {COMMITTED}"
        )
        return 1
    baseline = released()
    if baseline is None:
        _say("contract: there is no earlier document to compare with")
        return 0
    meant = {each["what"] for each in tomllib.loads(MEANT.read_text(encoding="utf-8")).get("breaks", [])}
    found = [each for each in breaks(baseline[1], made) if each not in meant]
    for each in found:
        _say(f"breaks callers of {baseline[0]}: {each}")
    if found:
        _say(f"make it compatible, or list it in {MEANT.relative_to(ROOT)} with its reason")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
