"""Test that a start first checks its servers: store, Kafka cluster, database of accounts."""

import asyncio
import socket
from pathlib import Path

import pytest

from ingest.cluster import check_cluster
from ingest.errors import KafkaUnavailable
from ingest.settings import IngestSettings
from lake.commit.preset_store import PresetStore
from lake.errors import StoreUnreachable
from lake.settings import LakeSettings
from lake.store.bucket import check_store
from lake.store.opening import open_store
from pixlake_server.embedded import preflight
from pixlake_server.embedded.errors import (
    DatabaseUnusable,
    PresetUnusable,
)
from pixlake_server.embedded.preflight import Settings, check_machine, check_servers, prepare_store
from processors.preset import Preset
from processors.preset_registry import PresetRegistry
from tests.servers.kafka import ApacheKafka
from tests.servers.s3 import S3Server

LOOPBACK = "127.0.0.1"

pytestmark = pytest.mark.usefixtures("no_settings")


def test_a_store_is_asked_before_a_start(s3_server: S3Server, tmp_path: Path) -> None:
    def ask(url: str, **changed: str) -> None:
        fine = {
            "s3_endpoint": s3_server.endpoint,
            "s3_access_key_id": s3_server.access_key,
            "s3_secret_access_key": s3_server.secret_key,
        }
        check_store(LakeSettings.model_validate({"store_url": url, **fine, **changed}), 3)

    bucket = f"s3://{s3_server.bucket}/some/where"
    ask(bucket)
    ask(f"file://{tmp_path}/new/folder")
    wrong = [
        (bucket, {"s3_secret_access_key": "wrong"}, "PIXLAKE_S3_SECRET_ACCESS_KEY"),
        (bucket, {"s3_access_key_id": "nobody"}, "PIXLAKE_S3_ACCESS_KEY_ID"),
        ("s3://nonesuch", {}, "create the bucket"),
        (bucket, {"s3_endpoint": "http://127.0.0.1:9"}, "PIXLAKE_S3_ENDPOINT"),
        (bucket, {"s3_endpoint": "http://nohost.invalid"}, "PIXLAKE_S3_ENDPOINT"),
        ("file:///proc/nonesuch", {}, "can't be created"),
        ("memory://", {}, "PIXLAKE_STORE_URL"),
    ]
    for url, changed, told in wrong:
        with pytest.raises(StoreUnreachable, match=told):
            ask(url, **changed)


def test_a_store_that_is_slow_is_not_refused(s3_server: S3Server) -> None:
    settings = LakeSettings.model_validate(
        {
            "store_url": f"s3://{s3_server.bucket}",
            "s3_endpoint": s3_server.endpoint,
            "s3_access_key_id": s3_server.access_key,
            "s3_secret_access_key": s3_server.secret_key,
        }
    )
    s3_server.pause()
    try:
        check_store(settings, 0.5)
    finally:
        s3_server.resume()


def test_a_store_that_takes_no_writes() -> None:
    # This folder belongs to the kernel: not even root may write there.
    denied = LakeSettings(store_url="file:///sys/kernel")
    with pytest.raises(StoreUnreachable, match=r"/sys/kernel: .*denied.* PIXLAKE_STORE_URL"):
        asyncio.run(prepare_store(denied, "web"))


def test_a_store_without_the_default_preset(tmp_path: Path) -> None:
    settings = LakeSettings(store_url=tmp_path.as_uri())
    for name, told in (("wbe", "did you mean web?"), ("web@7", "version 1"), ("shop", "shop")):
        with pytest.raises(PresetUnusable, match=f"PIXLAKE_DEFAULT_PRESET: .*{told}"):
            asyncio.run(prepare_store(settings, name))
    asyncio.run(_stored_preset(settings, "shop"))
    asyncio.run(prepare_store(settings, "shop"))


async def _stored_preset(settings: LakeSettings, name: str) -> None:
    async def trial(_: Preset) -> None:
        pass

    store, _ = await open_store(settings, make=True)
    await PresetRegistry(PresetStore(store)).put(name, b'{"renditions": []}', "test", trial)


def test_the_disk_of_a_store_elsewhere_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Path]] = []
    monkeypatch.setattr(preflight, "check_disk", asked.append)
    monkeypatch.setattr(preflight, "check_ports", lambda _: None)
    monkeypatch.setenv("PIXLAKE_STORE_URL", (tmp_path / "not" / "yet").as_uri())
    check_machine(Settings.read(tmp_path / "home"), tmp_path / "home")
    assert asked[0]["name a folder on another disk in PIXLAKE_STORE_URL"] == tmp_path


def test_a_cluster_is_asked_before_a_start(kafka_server: ApacheKafka) -> None:
    def ask(servers: str, **settings: object) -> None:
        known = {"kafka_bootstrap_servers": servers, **settings}
        check_cluster(IngestSettings.model_validate(known), 1.5)

    ask(kafka_server.bootstrap)
    with pytest.raises(KafkaUnavailable, match=r"no such topic: .*CREATE_TOPICS"):
        ask(kafka_server.bootstrap, kafka_topic="nonesuch", kafka_create_topics=False)
    for servers in (f"{LOOPBACK}:9", "nohost.invalid:9092"):
        with pytest.raises(KafkaUnavailable, match="see KAFKA_BOOTSTRAP_SERVERS"):
            ask(servers)
    with pytest.raises(KafkaUnavailable, match="SSL"):
        ask(f"{LOOPBACK}:9", kafka_security_protocol="SSL", kafka_ssl_ca_location="/nonesuch")
    with socket.create_server((LOOPBACK, 0)) as silent:
        ask(f"{LOOPBACK}:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:9/x",
        "no url",
        "mysql://x/y",
        "sqlite:////proc/nonesuch/a.sqlite",
    ],
)
def test_a_database_is_asked_before_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PIXLAKE_DATABASE_URL", url)
    with pytest.raises(DatabaseUnusable, match="PIXLAKE_DATABASE_URL") as refused:
        check_servers(Settings.read(tmp_path))
    assert "secret" not in str(refused.value)
