"""Web pages: `/`, a small console, and `/docs`, the API reference, without files of other hosts."""

from serve_app.console.pages import install

__all__ = ["install"]
