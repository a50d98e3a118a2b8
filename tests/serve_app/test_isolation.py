"""Scopes and tenants, of every route that the OpenAPI document describes.

A route that is added is tested, too. A parameter that is added must be put into one of two lists.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from serve_app.accounts import ADMIN, PRESETS, SCOPES
from serve_app.settings import ServeSettings
from tests.serve_app.batches import entry, tar
from tests.serve_app.document import Document, Operation
from tests.serve_app.site import MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABSENT = "f" * 32
# Parameters by which a request could reach what another tenant owns: each with a value of the same
# form that no tenant owns. A cursor names a place in a listing.
OWNED = {
    "image_id": ABSENT,
    "key": ABSENT[:12],
    "cursor": None,
    "Idempotency-Key": "of-nobody",
    "metadata_name": "of-nobody",
    "code": "of nobody",
    "name": "of-nobody",
    "preset": "of-nobody",
}
# Parameters that name nothing of a tenant.
SHARED = {
    *("limit", "fields", "since", "until", "source", "format", "metadata_value", "from", "to"),
    *("rendition", "If-Match", "If-None-Match"),
    *("X-Pixlake-Filename", "Content-MD5", "Content-Digest", "x-amz-content-sha256"),
    *(f"x-amz-checksum-{a}" for a in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256", "sha512")),
}


@pytest_asyncio.fixture(loop_scope="session")
async def site(make_site: MakeSite, tmp_path: Path) -> Site:
    return await make_site(ServeSettings(home=tmp_path))


def keyed(site: Site) -> list[Operation]:
    found = [each for each in Document(site.app).operations if each.scopes]
    assert len(found) > 20
    return found


def of_tenants(site: Site) -> list[Operation]:
    """List the operations in which a key acts for its own tenant."""
    return [each for each in keyed(site) if each.scopes != [ADMIN]]


async def send(
    site: Site, operation: Operation, headers: Mapping[str, str], **values: str
) -> httpx.Response:
    """Send a request that the document describes, with these values of its parameters."""
    document = Document(site.app)
    query = {
        one["name"]: values[one["name"]]
        for one in operation.parameters("query")
        if one["name"] in values
    }
    more = {
        one["name"]: values[one["name"]]
        for one in operation.parameters("header")
        if one["name"] in values
    }
    body = document.example(operation)
    content = None if body is None else json.dumps(body).encode()
    if operation.about["operationId"] == "upload_image":
        content, more["Content-Type"] = png(seed=2), "image/png"
    if operation.about["operationId"] == "upload_batch":
        content, more["Content-Type"] = tar(entry("a.png", png(seed=2))), "application/x-tar"
    return await site.client.request(
        operation.method,
        operation.url(values),
        params=query,
        headers={**headers, **more},
        content=content,
    )


async def test_a_key_without_the_scope_of_a_route_is_refused(site: Site) -> None:
    lacking = {scope: site.key("acme", *(SCOPES - {scope})) for scope in SCOPES}
    before = await site.stored()
    for operation in keyed(site):
        (scope,) = operation.scopes
        answer = await send(site, operation, lacking[scope])
        problem = answer.json()
        assert answer.status_code == 403, str(operation)
        assert (problem["code"], problem["value"]) == ("forbidden", scope), str(operation)
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer realm="pixlake", error="insufficient_scope", scope="{scope}"'
        )
    assert await site.stored() == before


async def test_a_route_without_a_good_key_answers_with_a_challenge(site: Site) -> None:
    del site.client.headers["Authorization"]
    before = await site.stored()
    realm = 'Bearer realm="pixlake"'
    unknown = f"Bearer pxl_{'0' * 12}_{'0' * 64}"
    for operation in keyed(site):
        for key, challenge in (
            ({}, realm),
            ({"Authorization": "Basic YTpi"}, realm),
            ({"Authorization": "Bearer nonsense"}, f'{realm}, error="invalid_token"'),
            ({"Authorization": unknown}, f'{realm}, error="invalid_token"'),
        ):
            answer = await send(site, operation, key)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), operation
            assert answer.headers["WWW-Authenticate"] == challenge, str(operation)
    assert await site.stored() == before


async def test_every_parameter_is_owned_or_shared(site: Site) -> None:
    for operation in of_tenants(site):
        unknown = operation.names - OWNED.keys() - SHARED
        assert not unknown, f"{operation}: is {unknown} of a tenant? Put it into a list."


async def test_another_tenants_things_are_answered_like_missing_ones(site: Site) -> None:
    mine = {"Idempotency-Key": "mine", "X-Pixlake-Meta-secret": "s3"}
    first = (await site.upload(headers=mine)).json()
    await site.upload(png())
    page = (await site.client.get("/v1/images", params={"limit": 1})).json()
    theirs = {
        "image_id": first["image_id"],
        "key": site.accounts.keys(tenant="acme")[0].prefix,
        "cursor": page["next"],
        "Idempotency-Key": "mine",
        "metadata_name": "secret",
        "code": "of acme",
        "name": "secret",
        "preset": "secret",
    }
    assert theirs.keys() == OWNED.keys()
    stored = await site.client.put(
        "/v1/presets/secret",
        json={"renditions": [{"name": "hidden", "operations": []}]},
        headers=site.key("acme", PRESETS),
    )
    assert stored.status_code == 201
    rival = site.key("rival", *(SCOPES - {ADMIN}))
    kept = {key: tag for key, tag in (await site.stored()).items() if "/acme/" in key}
    asked = 0
    for operation in of_tenants(site):
        for name in operation.names & OWNED.keys():
            asked += 1
            told = await send(site, operation, rival, **{name: theirs[name]})
            assert first["sha256"] not in told.text, (str(operation), name)
            assert "hidden" not in told.text, (str(operation), name)
            absent = OWNED[name]
            if absent is not None:
                missing = await send(site, operation, rival, **{name: absent})
                assert seen(told, theirs[name]) == seen(missing, absent), (str(operation), name)
    assert asked >= 8
    left = {key: tag for key, tag in (await site.stored()).items() if "/acme/" in key}
    assert left == kept


def seen(answer: httpx.Response, value: str) -> tuple[int, Any]:
    """Return what an answer tells, without the value that was sent and the request's id."""
    if answer.status_code == 201:
        return 201, sorted(answer.json())
    body = json.loads(answer.text.replace(value, "VALUE"))
    return answer.status_code, {name: body[name] for name in body if name != "request_id"}
