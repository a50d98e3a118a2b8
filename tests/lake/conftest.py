"""Fixtures: an empty store of every kind, and a lake on each kind that keeps its data."""

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from tests.servers.s3 import S3Server

KINDS = ("memory", "folder", "s3")
# A lake in memory differs from lakes of these kinds by its store only, and the store's contract has
# tests of its own: `tests/suites/object_store.py`.
LASTING_KINDS = ("folder", "s3")


def settings_for(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> LakeSettings:
    if kind == "memory":
        return LakeSettings(store_url="memory://")
    if kind == "folder":
        return LakeSettings(store_url=(tmp_path / "store").as_uri())
    server: S3Server = request.getfixturevalue("s3_server")
    return LakeSettings(
        store_url=f"s3://{server.bucket}/{uuid.uuid4().hex}",
        s3_endpoint=server.endpoint,
        s3_region=server.region,
        s3_access_key_id=server.access_key,
        s3_secret_access_key=SecretStr(server.secret_key),
    )


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(settings_for(request.param, tmp_path, request))


@pytest.fixture(params=LASTING_KINDS)
def lake_settings(request: pytest.FixtureRequest, tmp_path: Path) -> LakeSettings:
    return settings_for(request.param, tmp_path, request)


@pytest.fixture
async def lake(lake_settings: LakeSettings) -> Lake:
    return await Lake.open(lake_settings)
