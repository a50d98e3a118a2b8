"""Batches for tests: archives, forms, and the lines of their answers."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.serve_app.site import Site, png

TAR = {"Content-Type": "application/x-tar"}
BATCH = "/v1/images:batch"
Line = dict[str, Any]


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(
    *entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT, **options: Any
) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, **options) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def files(count: int, first: int = 0) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [entry(f"photos/{n}.png", png(seed=n)) for n in range(first, first + count)]


def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    async def each() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    return each()


async def send(site: Site, body: bytes, **options: Any) -> httpx.Response:
    headers = {**TAR, **options.pop("headers", {})}
    return await site.client.post(BATCH, content=body, headers=headers, **options)


def lines(answer: httpx.Response) -> list[Line]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def by_name(answer: httpx.Response) -> dict[str | None, Line]:
    found = lines(answer)
    named = {line["name"]: line for line in found}
    assert len(named) == len(found)
    return named


async def ids(site: Site) -> set[str]:
    page = await site.client.get("/v1/images", params={"limit": 200})
    return {image["image_id"] for image in page.json()["images"]}


def is_released(site: Site) -> bool:
    admission = site.app.state.context.admission
    return (admission.uploads, admission.bytes) == (0, 0)


def mixed(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b"--b\r\n" + headers.encode() + b"\r\n\r\n" + data + b"\r\n" for headers, data in parts
    )
    return body + b"--b--\r\n"


MIXED = {"Content-Type": "multipart/mixed; boundary=b"}
