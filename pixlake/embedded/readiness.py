"""Whether the API says that both doors take images."""

import http.client
from http import HTTPStatus

# /readyz itself gives up after four seconds.
_ANSWER_SECONDS = 6.0


def is_ready(host: str, port: int) -> bool:
    """Ask `GET /readyz` on `host`:`port` once."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
