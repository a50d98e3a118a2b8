"""Routes of console and API explorer, with a Content-Security-Policy against other scripts."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

_HERE = Path(__file__).parent
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)

# Swagger UI lies in this package, so that /docs works without the internet.
_EXPLORER = _HERE / "swagger"
_EXPLORER_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
# Swagger UI sets style attributes, and its icons are data: URLs.
_EXPLORER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def install(app: FastAPI) -> None:
    """Add the pages to the app."""
    console = (_HERE / "console.html").read_text(encoding="utf-8")
    policy = _console_policy(console)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(console, headers={"Content-Security-Policy": policy})

    docs = (_HERE / "explorer.html").read_text(encoding="utf-8")

    @app.get("/docs", include_in_schema=False)
    async def api_explorer() -> Response:
        return HTMLResponse(docs, headers={"Content-Security-Policy": _EXPLORER_POLICY})

    @app.get("/assets/explorer.js", include_in_schema=False)
    async def explorer_start() -> Response:
        return FileResponse(_HERE / "explorer.js", media_type="text/javascript")

    @app.get("/assets/swagger/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        # Only names of a fixed list are served, so a client's text never becomes a path.
        if name not in _EXPLORER_FILES:
            return Response(status_code=404)
        return FileResponse(
            _EXPLORER / name,
            media_type=_EXPLORER_FILES[name],
            headers={"Cache-Control": "public, max-age=86400"},
        )


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
