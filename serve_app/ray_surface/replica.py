"""Preparation of a replica; Ray calls it before the replica listens."""

from starlette.middleware import Middleware

from serve_app.asgi.serve_headers import ServeHeaders
from serve_app.ray_surface.accept_burst import listen_eagerly


def prepare() -> list[Middleware]:
    """Set the server class; returns Serve's middleware (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH).

    Serve has no other callback in a replica.
    """
    listen_eagerly()
    return [Middleware(ServeHeaders)]
