"""The routes of the playground and the API reference. Without them on a resolver, their paths are unknown.

They answer everybody: a browser sends no key with an address. The pages hold no secret, and what they ask of the API
needs a key as ever. Must not know tasks, models or callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_lambda_powertools.event_handler import Response

from functions.http.page.files import File, digest, files
from functions.http.request_body import header, takes_bytes
from functions.http.resolver import Resolver
from shared.error_text import shown, visible
from shared.errors import NotFound

PAGES = ("/", "/docs", "/page/<version>/<name>")
FOR_A_YEAR = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"  # a browser keeps it, and asks each time whether it has changed
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def policy(stores: Sequence[str] = ()) -> str:
    """Return the Content-Security-Policy. `stores` are the origins that documents are uploaded to.

    No script may make markup of text: assigning to innerHTML fails, whatever the text is.
    """
    rules = {
        "default-src": "'self'",
        "connect-src": " ".join(["'self'", *stores]),
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def add_page_routes(api: Resolver, stores: Sequence[str] = ()) -> None:
    """Add the routes to a resolver. Whatever their query holds is ignored, as browsers use it to get around caches."""
    headers = {**HEADERS, "Content-Security-Policy": policy(stores)}

    @api.get(PAGES[0], compress=True)
    def playground() -> Response[str]:
        return _page(api, PAGES[0], "index.html", headers)

    @api.get(PAGES[1], compress=True)
    def reference() -> Response[str]:
        return _page(api, PAGES[1], "docs.html", headers)

    @api.get(PAGES[2], compress=True)
    def asset(version: str, name: str) -> Response[str]:
        if name.endswith(".html") or name not in files():
            raise NotFound(f"got the file {shown(name)}, expected one that a page names", hint="open the page again")
        keep = FOR_A_YEAR if version == digest() else ASK_AGAIN  # another version's page asked while it was replaced
        return _answer(api, files()[name], {**headers, "Cache-Control": keep})


def _page(api: Resolver, place: str, name: str, headers: Mapping[str, str]) -> Response[str]:
    """Answer with a page. Its files are named relative to it, so a slash at its end would lead them astray.

    One slash leads back to the place, whose name alone is in the answer. The resolver lets any number of slashes pass;
    with more of them there is no page.
    """
    path = api.current_event.path
    if path == place:
        return _answer(api, files()[name], {**headers, "Cache-Control": ASK_AGAIN})
    if path == f"{place}/" and place != PAGES[0]:
        return Response(308, None, "", {**headers, "Location": f"..{place}"}, compress=False)
    raise NotFound(f"no route GET {visible(path)}", hint="see GET /v1/openapi.json")


def _answer(api: Resolver, file: File, headers: Mapping[str, str]) -> Response[str]:
    """Answer with a file, or with 304 when the browser has it."""
    api.add_log_fields(route="GET /page")
    tag = f'W/"{file.tag}"'  # weak: one for the text as it is and compressed
    sent = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
    event = api.current_event.raw_event
    known = [each.strip() for each in header(event, "if-none-match").split(",")]
    if tag in known or "*" in known:
        return Response(304, None, "", sent, compress=False)
    return Response(200, file.content_type, file.text, sent, compress=takes_bytes(event))
