"""Readiness check of the API."""

import http.client
from http import HTTPStatus

# Time-out of the request; longer than the limit of four seconds in /readyz itself.
ANSWER_SECONDS = 6.0


def is_ready(host: str, port: int) -> bool:
    """True if `GET /readyz` on `host`:`port` answers that all parts are ready; asks once."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
