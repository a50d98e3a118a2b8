"""Test that every checksum of a client is verified, or refused with its name."""

import base64
import hashlib
import zlib
from itertools import pairwise

import pytest
from awscrt import checksums as crc
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from serve_app.errors import ChecksumMismatch, InvalidChecksum
from serve_app.upload.checksums import Checksums
from tests.serve_app.site import PHOTO, Site


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def sums(body: bytes) -> dict[str, str]:
    """Return each known checksum header with the correct value for `body`."""
    sha256, sha512 = hashlib.sha256(body), hashlib.sha512(body)
    sha1, md5 = hashlib.sha1(body).digest(), hashlib.md5(body).digest()  # noqa: S324  # as the headers are
    return {
        "Content-MD5": b64(md5),
        "x-amz-checksum-crc32": b64(zlib.crc32(body).to_bytes(4, "big")),
        "x-amz-checksum-crc32c": b64(crc.crc32c(body).to_bytes(4, "big")),
        "x-amz-checksum-crc64nvme": b64(crc.crc64nvme(body).to_bytes(8, "big")),
        "x-amz-checksum-sha1": b64(sha1),
        "x-amz-checksum-sha256": b64(sha256.digest()),
        "x-amz-checksum-sha512": b64(sha512.digest()),
        "x-amz-content-sha256": sha256.hexdigest(),
        "Content-Digest": f"sha-256=:{b64(sha256.digest())}:;foo=1, unixsum=:AAAA:",
        "Repr-Digest": f"sha-512=:{b64(sha512.digest())}:",
        "Digest": f"SHA-256={b64(sha256.digest())},md5={b64(md5)},SHA={b64(sha1)}",
    }


def verify(body: bytes, headers: dict[str, str], pieces: list[int]) -> None:
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    announced = Checksums.announced(Headers(raw=sent))
    for start, end in pairwise([0, *sorted(pieces), len(body)]):
        announced.update(body[start:end])
    announced.verify()


def test_the_published_check_values() -> None:
    # Source: the CRC catalogue, where "123456789" is the check input of every entry.
    nine = sums(b"123456789")
    assert base64.b64decode(nine["x-amz-checksum-crc32"]).hex() == "cbf43926"
    assert base64.b64decode(nine["x-amz-checksum-crc32c"]).hex() == "e3069283"
    assert base64.b64decode(nine["x-amz-checksum-crc64nvme"]).hex() == "ae8b14860a799888"
    verify(b"123456789", nine, [])


@given(st.data())
def test_any_body_in_any_pieces(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=200))
    pieces = data.draw(st.lists(st.integers(0, len(body)), max_size=4))
    verify(body, sums(body), pieces)


@pytest.mark.parametrize("name", sums(b""))
def test_another_body_is_told_by_each_header_alone(name: str) -> None:
    with pytest.raises(ChecksumMismatch):
        verify(b"sent", {name: sums(b"meant")[name]}, [])


UNKNOWN = {
    "x-amz-checksum-xxhash64": "AAAAAAAAAAA=",
    "x-amz-checksum-future": "AAAA",
    "x-goog-hash": "crc32c=AAAAAA==",
    "x-ms-content-crc64": "AAAAAAAAAAA=",
    "x-bz-content-sha1": "0" * 40,
    "OC-Checksum": "SHA1:" + "0" * 40,
    "Upload-Checksum": "sha1 " + "A" * 27 + "=",
    "Content-Digest": "unixsum=:AAAA:",
    "Repr-Digest": "sha-256=17",
    "Digest": "unixsum=30637",
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "x-amz-trailer": "x-amz-checksum-crc32",
    "Trailer": "Expires, Content-Digest",
    "x-amz-checksum-sha256": "not base64",
}


@pytest.mark.parametrize(("name", "value"), UNKNOWN.items())
def test_what_is_not_known_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidChecksum) as refused:
        verify(b"", {name: value}, [])
    named = str(refused.value.value)
    assert named in {name.lower(), *value.lower().replace(" ", "").split(",")}


def test_headers_that_only_sound_like_a_checksum_are_left_alone() -> None:
    verify(
        b"body",
        {
            "Want-Content-Digest": "sha-256=1",
            "X-Pixlake-Meta-md5": "mine",
            "x-amz-meta-sha256": "mine",
            "x-amz-sdk-checksum-algorithm": "CRC32",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "Trailer": "Expires",
        },
        [],
    )


def test_a_checksum_that_comes_twice_is_refused() -> None:
    twice = [(b"content-md5", b"AAAAAAAAAAAAAAAAAAAAAA==")] * 2
    with pytest.raises(InvalidChecksum):
        Checksums.announced(Headers(raw=twice))


@pytest.mark.asyncio(loop_scope="session")
async def test_all_of_them_with_an_upload(site: Site) -> None:
    assert (await site.upload(headers=sums(PHOTO))).status_code == 201


@pytest.mark.asyncio(loop_scope="session")
async def test_a_checksum_of_a_part_is_that_of_the_part(site: Site) -> None:
    lines = "".join(f"{name}: {sums(PHOTO)[name]}\r\n" for name in ("Content-MD5", "Digest"))
    head = f'--x\r\nContent-Disposition: form-data; name="file"\r\n{lines}\r\n'
    answer = await site.client.post(
        "/v1/images",
        content=head.encode() + PHOTO + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 201


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", ["x-amz-checksum-crc32", "Repr-Digest", "Digest"])
async def test_a_wrong_one_stores_nothing(site: Site, name: str) -> None:
    before = await site.stored()
    answer = await site.upload(headers={name: sums(b"another body")[name]})
    assert (answer.status_code, answer.json()["code"]) == (400, "checksum_mismatch")
    assert await site.stored() == before
