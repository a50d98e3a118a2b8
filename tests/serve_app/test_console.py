import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from requirements.installed import table
from serve_app.console import pages
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
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page.text))
    for asset in re.findall(r'(?:src|href)="(/assets/[^"]*)"', page.text):
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


async def test_swagger_ui_is_the_version_that_its_page_names() -> None:
    folder = Path(pages.__file__).with_name("swagger")
    sums = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    listed = {path.name for path in folder.iterdir()} - {"README.md", "SHA256SUMS"}
    assert {name for _, name in sums} == listed
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    (release,) = re.findall(r"`swagger-ui-dist` ([\d.]+),", (folder / "README.md").read_text())
    bundle = (folder / "swagger-ui-bundle.js").read_text()
    assert f'PACKAGE_VERSION:"{release}"' in bundle
    parts = {one["name"]: one["version"] for one in table("bundled")["pixlake-server"]["parts"]}
    assert parts["swagger-ui-dist"] == release
    assert f'DOMPurify.version="{parts["DOMPurify"]}"' in bundle
