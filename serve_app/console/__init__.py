"""Pages for people: `/`, a small console, and `/docs`, the API explorer; nothing from outside."""

from serve_app.console.pages import install

__all__ = ["install"]
