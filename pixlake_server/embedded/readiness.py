"""Readiness check of the API."""

import http.client
import json
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


def why_unready(host: str, port: int) -> str:
    """Details of the parts that are not ready, as `/readyz` gives them; empty without an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        parts = json.loads(connection.getresponse().read()).get("parts", {})
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    return "; ".join(
        f"{name}: {part.get('detail') or 'not ready'}"
        for name, part in parts.items()
        if not part.get("ready")
    )
