"""Stores of every kind, each empty; and a lake on one of them."""

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from lake.lake import Lake
from lake.object_store import ObjectStore
from lake.settings import LakeSettings
from tests.servers.s3 import S3Server

KINDS = ("memory", "folder", "s3")


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
def lake_settings(request: pytest.FixtureRequest, tmp_path: Path) -> LakeSettings:
    return settings_for(request.param, tmp_path, request)


@pytest.fixture
def store(lake_settings: LakeSettings) -> ObjectStore:
    return ObjectStore.open(lake_settings)


@pytest.fixture
async def lake(lake_settings: LakeSettings) -> Lake:
    return await Lake.open(lake_settings)
