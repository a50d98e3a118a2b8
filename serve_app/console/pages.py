"""Routes of console and API reference, with a Content-Security-Policy against other scripts."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from serve_app.console import reference_page

_HERE = Path(__file__).parent
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)

# The reference has no script, so a text of the document can never run as one.
_REFERENCE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)


def install(app: FastAPI) -> None:
    """Add the pages to the app."""
    console = (_HERE / "console.html").read_text(encoding="utf-8")
    policy = _console_policy(console)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(console, headers={"Content-Security-Policy": policy})

    shown = cache(lambda: reference_page.page(app.openapi()))

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        return HTMLResponse(shown(), headers={"Content-Security-Policy": _REFERENCE_POLICY})

    @app.get("/assets/reference.css", include_in_schema=False)
    async def reference_style() -> Response:
        return FileResponse(_HERE / "reference.css", media_type="text/css")


def _console_policy(html: str) -> str:
    """Build a policy that allows only the inline script and style of the page, by their hashes."""
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; "
        f"style-src {' '.join(allowed['style'])}; img-src blob:; connect-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
