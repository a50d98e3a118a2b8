"""Every refusal: its status, code, limit and value; a refused upload stores nothing."""

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest

from serve_app.problems import MEDIA_TYPE
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

Ask = dict[str, Any]

RAW = {"Content-Type": "image/jpeg"}
SHA256 = base64.b64encode(hashlib.sha256(PHOTO).digest()).decode()

NO_SHA512 = base64.b64encode(bytes(64)).decode()


def form(body: bytes, boundary: str = "x") -> Ask:
    return {
        "content": body,
        "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    }


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def coded_part(header: str) -> bytes:
    """Return a form whose file part has one more header."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"\r\n{header}\r\n\r\n'
    return head.encode() + PHOTO + b"\r\n--x--\r\n"


HEADERS_OF_A_FILE = (
    ("has another checksum", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", 400, "checksum_mismatch"),
    ("has an unknown checksum", "X-Goog-Hash: crc32c=AAAAAA==", 400, "invalid_checksum"),
    ("is compressed", "Content-Encoding: gzip", 415, "unsupported_content_encoding"),
    ("is text", "Content-Transfer-Encoding: base64", 415, "unsupported_content_encoding"),
    (
        "has a header twice",
        'Content-Disposition: form-data; name="file"; filename="b"',
        400,
        "malformed_multipart",
    ),
)

CASES: dict[str, tuple[Ask, int, str]] = {
    "gzip as content coding": (
        {"content": PHOTO, "headers": {**RAW, "Content-Encoding": "gzip"}},
        415,
        "unsupported_content_encoding",
    ),
    "two content types": (
        {"content": PHOTO, "headers": [("Content-Type", "image/png"), ("Content-Type", "image/*")]},
        422,
        "invalid_request",
    ),
    "two file names": (
        {"content": PHOTO, "headers": [("X-Pixlake-Filename", "a"), ("X-Pixlake-Filename", "b")]},
        422,
        "invalid_request",
    ),
    "metadata that a form names twice": (
        form(part("file", PHOTO) + part("metadata", b'{"a":"1","a":"2"}') + b"--x--\r\n"),
        422,
        "invalid_metadata",
    ),
    "a quoted idempotency key without its end": (
        {"content": PHOTO, "headers": {**RAW, "Idempotency-Key": '"k'}},
        422,
        "invalid_idempotency_key",
    ),
    "not an image": ({"content": b"hello" * 50, "headers": RAW}, 415, "not_an_image"),
    "html that says it is one": (
        {"content": b"<html><script>1</script>", "headers": RAW},
        415,
        "not_an_image",
    ),
    "truncated": ({"content": PHOTO[: len(PHOTO) // 2], "headers": RAW}, 422, "truncated"),
    "zero bytes": ({"content": b"", "headers": RAW}, 400, "empty_body"),
    "missing body": ({}, 400, "missing_body"),
    "unknown preset": (
        {"content": PHOTO, "headers": RAW, "params": {"preset": "no-such"}},
        422,
        "unknown_preset",
    ),
    "wrong content type": (
        {"content": PHOTO, "headers": {"Content-Type": "application/json"}},
        415,
        "unsupported_media_type",
    ),
    "curl's default content type": (
        {"content": PHOTO, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        415,
        "unsupported_media_type",
    ),
    "wrong key": (
        {"content": PHOTO, "headers": {**RAW, "Authorization": "Bearer nonsense"}},
        401,
        "unauthorized",
    ),
    "two keys": (
        {
            "content": PHOTO,
            "headers": [("Authorization", "Bearer one"), ("Authorization", "Bearer two")],
        },
        422,
        "invalid_request",
    ),
    "a key in the wrong scheme": (
        {"content": PHOTO, "headers": {**RAW, "Authorization": "Basic cHhsOg=="}},
        401,
        "unauthorized",
    ),
    "form without boundary": (
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "malformed_multipart",
    ),
    "form without a file": (form(part("preset", b"web") + b"--x--\r\n"), 400, "missing_body"),
    "form with an empty file": (
        form(part("file", b"", '; filename="a"') + b"--x--\r\n"),
        400,
        "empty_body",
    ),
    "form cut off": (form(part("file", PHOTO)), 400, "malformed_multipart"),
    "form with two files": (
        form(part("file", PHOTO) + part("file", PHOTO) + b"--x--\r\n"),
        400,
        "malformed_multipart",
    ),
    **{
        f"form whose file {what}": (form(coded_part(header)), status, code)
        for what, header, status, code in HEADERS_OF_A_FILE
    },
    "form with bad metadata": (
        form(part("file", PHOTO) + part("metadata", b"[1]") + b"--x--\r\n"),
        422,
        "invalid_metadata",
    ),
    "form that is none": (form(b"hello"), 400, "malformed_multipart"),
    "form with an unknown preset": (
        form(part("file", PHOTO) + part("preset", b"nope") + b"--x--\r\n"),
        422,
        "unknown_preset",
    ),
    "boundary too long": (form(b"", "y" * 300), 400, "malformed_multipart"),
    "no idempotency key in the header": (
        {"content": PHOTO, "headers": {**RAW, "Idempotency-Key": ""}},
        422,
        "invalid_idempotency_key",
    ),
    "idempotency key with a space": (
        {"content": PHOTO, "headers": {**RAW, "Idempotency-Key": "a b"}},
        422,
        "invalid_idempotency_key",
    ),
    "metadata with a line break": (
        {"content": PHOTO, "headers": {**RAW, "X-Pixlake-Meta-a": "x%0d%0aSet-Cookie: y"}},
        422,
        "invalid_metadata",
    ),
    "metadata with NUL": (
        {"content": PHOTO, "headers": {**RAW, "X-Pixlake-Meta-a": "%00"}},
        422,
        "invalid_metadata",
    ),
    "wrong MD5": (
        {"content": PHOTO, "headers": {**RAW, "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}},
        400,
        "checksum_mismatch",
    ),
    "wrong digest": (
        {"content": png(), "headers": {**RAW, "Content-Digest": f"sha-256=:{SHA256}:"}},
        400,
        "checksum_mismatch",
    ),
    "one bit of the body flipped": (
        {
            "content": PHOTO[:-99] + bytes([PHOTO[-99] ^ 1]) + PHOTO[-98:],
            "headers": {**RAW, "x-amz-checksum-sha256": SHA256},
        },
        400,
        "checksum_mismatch",
    ),
    "one of two digests is wrong": (
        {
            "content": PHOTO,
            "headers": {
                **RAW,
                "Content-Digest": f"sha-256=:{SHA256}:, sha-512=:{NO_SHA512}:",
            },
        },
        400,
        "checksum_mismatch",
    ),
    "digest that does not parse": (
        {"content": PHOTO, "headers": {**RAW, "Content-Digest": f"sha-256={SHA256}"}},
        400,
        "invalid_checksum",
    ),
    "checksum of the wrong length": (
        {"content": PHOTO, "headers": {**RAW, "x-amz-checksum-sha256": "AAAA"}},
        400,
        "invalid_checksum",
    ),
}


@pytest.mark.parametrize(("ask", "status", "code"), CASES.values(), ids=CASES.keys())
async def test_refused_with_its_code_and_nothing_stored(
    site: Site, ask: Ask, status: int, code: str
) -> None:
    before = await site.stored()
    answer = await site.client.post("/v1/images", **ask)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["status"] == status
    assert problem["type"] == f"urn:pixlake:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert await site.stored() == before


LIMITS: dict[str, tuple[Ask, str, float, float]] = {
    "too many bytes": ({"content": png(64, 64)}, "too_many_bytes", 5000, len(png(64, 64))),
    "key too long": (
        {"content": png(), "headers": {"Idempotency-Key": "k" * 256}},
        "invalid_idempotency_key",
        255,
        256,
    ),
    "two keys": (
        {"content": png(), "headers": [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]},
        "invalid_idempotency_key",
        1,
        2,
    ),
    "metadata value too long": (
        {"content": png(), "headers": {"X-Pixlake-Meta-a": "v" * 1025}},
        "invalid_metadata",
        1024,
        1025,
    ),
    "too many metadata entries": (
        {"content": png(), "headers": {f"X-Pixlake-Meta-{n}": "" for n in range(33)}},
        "invalid_metadata",
        32,
        33,
    ),
    "form with too much image": (
        form(part("file", b"\0" * 5001) + b"--x--\r\n"),
        "too_many_bytes",
        5000,
        5001,
    ),
    "form with a long field": (
        form(part("metadata", json.dumps({"a": "b" * 80_000}).encode()) + b"--x--\r\n"),
        "malformed_multipart",
        65_536,
        80_009,
    ),
}


@pytest.mark.parametrize("case", LIMITS.values(), ids=LIMITS.keys())
async def test_a_limit_names_itself_and_what_was_measured(
    make_site: MakeSite, settings: ServeSettings, case: tuple[Ask, str, float, float]
) -> None:
    ask, code, limit, value = case
    site = await make_site(settings.model_copy(update={"max_bytes": 5000}))
    before = await site.stored()
    answer = await site.client.post("/v1/images", **ask)
    problem = answer.json()
    assert (problem["code"], problem["limit"], problem["value"]) == (code, limit, value)
    assert await site.stored() == before


async def test_too_many_pixels_by_a_header_that_lies(site: Site) -> None:
    before = await site.stored()
    huge = bytearray(png())
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    problem = (await site.upload(bytes(huge))).json()
    assert problem["code"] in {"too_many_pixels", "side_too_long"}
    assert problem["status"] == 422
    assert problem["value"] > problem["limit"] > 0
    assert await site.stored() == before


async def test_a_key_without_the_scope_is_told_which(site: Site) -> None:
    before = await site.stored()
    answer = await site.upload(headers=site.key("acme", "images:read"))
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["value"]) == (
        403,
        "forbidden",
        "images:write",
    )
    assert await site.stored() == before


async def test_without_a_key_the_challenge_says_how(site: Site) -> None:
    del site.client.headers["Authorization"]
    answer = await site.upload()
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pixlake"'
    wrong = await site.upload(headers={"Authorization": "Bearer wrong"})
    assert wrong.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    lacking = await site.upload(headers=site.key("acme", "images:read"))
    challenge = lacking.headers["WWW-Authenticate"]
    assert challenge.endswith('error="insufficient_scope", scope="images:write"')


async def test_query_and_form_must_not_name_different_presets(site: Site) -> None:
    answer = await site.client.post(
        "/v1/images?preset=web", files={"file": PHOTO}, data={"preset": "archive"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_refused_image_does_not_take_its_identity(site: Site) -> None:
    key = {"Idempotency-Key": "once"}
    assert (await site.upload(PHOTO[:2000], headers=key)).status_code == 422
    assert (await site.upload(headers=key)).status_code == 201


async def test_an_echoed_value_is_bounded(site: Site) -> None:
    problem = (await site.upload(params={"preset": "p" * 5000})).json()
    assert problem["code"] == "unknown_preset"
    assert len(problem["value"]) <= 200
    assert len(problem["detail"]) <= 500
