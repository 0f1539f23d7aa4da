"""The playground and the API reference of the deployed template, as a browser gets them from the emulator."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest

from tests.stack.conftest import RunningStack

pytestmark = pytest.mark.stack
LIMIT_S = 60
BROWSER = {"accept": "*/*", "accept-encoding": "gzip"}


@pytest.mark.parametrize("path", ["", "docs"])
def test_a_page_and_its_files_come_with_their_headers(running: RunningStack, path: str) -> None:
    """Relative to its own address, below the stage; compressed; and not a second time."""
    address, pool = f"{running.api.base_url.rstrip('/')}/{path}", running.api.pool
    page = pool.request("GET", address, timeout=LIMIT_S)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert (page.headers["x-content-type-options"], page.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.data.decode())
    assert len(named) >= 3
    for name in named:
        file = pool.request("GET", urljoin(address, name), headers=BROWSER, timeout=LIMIT_S)
        assert (file.status, file.headers["content-encoding"]) == (200, "gzip"), name
        assert "immutable" in file.headers["cache-control"]
        plain = pool.request("GET", urljoin(address, name), headers={"accept-encoding": "gzip"}, timeout=LIMIT_S)
        assert file.data == plain.data  # urllib3 has unpacked the first
    again = pool.request("GET", address, headers={"if-none-match": page.headers["etag"]}, timeout=LIMIT_S)
    assert (again.status, again.data) == (304, b"")


def test_a_browser_may_upload_to_the_bucket_of_this_stack(running: RunningStack) -> None:
    """The signed form of a job leads to the page's own host, which its policy allows."""
    made = running.api.post("/v1/jobs", {"task": "text-classification", "files": ["a.txt"]}).body
    assert made["uploads"][0]["url"].startswith(running.stack.endpoint_url)
