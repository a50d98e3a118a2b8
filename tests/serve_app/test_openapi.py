"""The OpenAPI document is exact: schemathesis, with all checks, finds no difference to the API."""

import asyncio
import sys
from pathlib import Path

import pytest

from serve_app.accounts import SCOPES
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

SETTINGS = Path(__file__).with_name("schemathesis.toml")
PROGRAM = Path(sys.executable).with_name("schemathesis")


async def test_no_answer_contradicts_the_document(make_site: MakeSite, tmp_path: Path) -> None:
    # The run limits and suspends its own key and tenant. The service notices after this time.
    site = await make_site(ServeSettings(home=tmp_path, key_cache_seconds=300))
    key = site.key("acme", *SCOPES)["Authorization"]
    await site.upload()  # so that listings lead to an image
    async with serving(site.app) as url:
        run = await asyncio.create_subprocess_exec(
            *(PROGRAM, "--config-file", SETTINGS, "run", f"{url}/openapi.json"),
            *("--header", f"Authorization: {key}", "--checks", "all", "--seed", "1"),
            *("--continue-on-failure", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await run.communicate())[0].decode()
    assert run.returncode == 0, said
    operations = sum(map(len, site.app.openapi()["paths"].values()))
    assert f"Selected: {operations}/{operations}" in said
    assert "Tested: " + str(operations) in said
