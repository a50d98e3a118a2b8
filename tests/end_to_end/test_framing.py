"""Test in the running service that a body of one client never becomes another's request."""

import json
import secrets
import select
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from skimage import data

from tests.end_to_end.running import Pixlake

PHOTO = Path(data.__file__).with_name("rocket.jpg").read_bytes()
ROUNDS = 40


def answer(pixlake: Pixlake, *parts: bytes) -> tuple[int, str, bytes]:
    """Send a request in parts; return status, request id and body of the answer.

    Each later part waits at most 2 ms for the answer to begin.
    """
    with socket.create_connection(("127.0.0.1", pixlake.http_port), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            select.select([client], [], [], 0 if part is parts[0] else 0.002)
            client.sendall(part)
        response = HTTPResponse(client)
        response.begin()
        return response.status, response.headers["X-Request-Id"], response.read()


def test_a_hidden_request_never_meets_a_bystander(pixlake: Pixlake) -> None:
    key = f"Host: a\r\nAuthorization: Bearer {pixlake.key}\r\nContent-Type: image/jpeg\r\n"
    post = "POST /v1/images HTTP/1.1\r\n" + key
    # If the hidden request were executed, the next request on its connection would be its body.
    hidden = f"{post}Content-Length: 150\r\n\r\n"
    offer = "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"
    head = f"{post}Content-Length: {len(hidden)}\r\n{offer}\r\n"
    for _ in range(ROUNDS):
        status, _, refused = answer(pixlake, head.encode(), hidden.encode())
        assert (status, json.loads(refused)["code"]) == (415, "not_an_image")
        mark = secrets.token_hex(16)
        asked = (
            f"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: {mark}\r\nX-Pad: {mark * 4}\r\n\r\n"
        )
        assert answer(pixlake, asked.encode())[:2] == (200, mark)


def in_pieces() -> Iterator[bytes]:
    yield PHOTO[:1000]
    yield PHOTO[1000:]


@pytest.mark.parametrize("offered", ["TLS/1.2", "h2c, foo", "foo/1"])
def test_a_client_that_offers_an_upgrade_can_upload(pixlake: Pixlake, offered: str) -> None:
    headers = {**pixlake.headers, "Content-Type": "image/jpeg"}
    headers |= {"Connection": "Upgrade", "Upgrade": offered}
    url = f"{pixlake.url}/v1/images"
    for body in (PHOTO, in_pieces()):
        assert httpx.post(url, content=body, headers=headers, timeout=60).is_success


def test_trailers_make_no_other_image_of_a_retry(pixlake: Pixlake) -> None:
    head = f"POST /v1/images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {pixlake.key}\r\n"
    head += "Content-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n" % (len(PHOTO), PHOTO)
    trailer = b"X-Pixlake-Meta-album: summer\r\n\r\n"
    _, _, early = answer(pixlake, head.encode() + body + trailer)
    _, _, late = answer(pixlake, head.encode() + body, trailer)
    assert json.loads(early)["metadata"] == {}
    assert json.loads(early)["image_id"] == json.loads(late)["image_id"]
