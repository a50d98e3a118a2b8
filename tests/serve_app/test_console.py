import base64
import hashlib
import json
import re

import pytest

from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_console_runs_its_own_script_and_no_other(site: Site) -> None:
    answer = await site.client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        [inline] = re.findall(rf"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_need_nothing_from_outside(site: Site, path: str) -> None:
    page = await site.client.get(path)
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|<link [^>]*href)="([^"]*)"', page.text)
    assert "//" not in "".join(loaded)
    for asset in loaded:
        assert (await site.client.get(asset)).status_code == 200


async def test_the_description_is_complete(site: Site) -> None:
    described = (await site.client.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    upload = described["paths"]["/v1/images"]["post"]
    assert set(upload["requestBody"]["content"]) == {
        "image/*",
        "application/octet-stream",
        "multipart/form-data",
    }
    assert {"200", "201", "400", "401", "413", "415", "422", "503"} <= set(upload["responses"])
    problem = upload["responses"]["413"]["content"]["application/problem+json"]["schema"]
    assert problem["allOf"][0]["$ref"].endswith("/ProblemDetails")
    # The upload's schema is not generated, so each name in it must be one that FastAPI has defined.
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(upload)))
    assert named <= described["components"]["schemas"].keys()
    for path, methods in described["paths"].items():
        refusals = [
            set(about["content"])
            for operation in methods.values()
            for status, about in operation["responses"].items()
            if status >= "400" and path.startswith("/v1/")
        ]
        assert all(types == {"application/problem+json"} for types in refusals), path
    assert "HTTPValidationError" not in described["components"]["schemas"]
    [scheme] = upload["security"]
    assert scheme.keys() <= described["components"]["securitySchemes"].keys()
