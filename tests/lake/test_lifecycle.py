"""Lifecycle rules, on moto: VersityGW, the real server of the other tests, takes no rules."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from lake.errors import StoreUnavailable
from lake.retention.lifecycle import Lifecycle, NoLifecycle
from lake.settings import LakeSettings
from tests.lake.conftest import settings_for


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def settings(endpoint: str) -> LakeSettings:
    settings = LakeSettings(
        store_url=f"s3://b{uuid4().hex}/lakes/one",
        s3_endpoint=endpoint,
        s3_access_key_id="key",
        s3_secret_access_key=SecretStr("secret"),
    )
    client(settings).create_bucket(Bucket=bucket(settings))
    return settings


def client(settings: LakeSettings) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


def bucket(settings: LakeSettings) -> str:
    return settings.location.split("/")[2]


def rules(settings: LakeSettings) -> dict[str, dict[str, Any]]:
    answer = client(settings).get_bucket_lifecycle_configuration(Bucket=bucket(settings))
    return {rule["ID"]: rule for rule in answer["Rules"]}


def put(settings: LakeSettings, *rules: dict[str, Any]) -> None:
    client(settings).put_bucket_lifecycle_configuration(
        Bucket=bucket(settings), LifecycleConfiguration={"Rules": list(rules)}
    )


def test_what_is_written_is_what_is_wanted(settings: LakeSettings) -> None:
    lifecycle = Lifecycle(settings, 7)
    assert {difference.about for difference in lifecycle.check()} == {"missing"}
    assert len(lifecycle.apply()) == 6
    assert lifecycle.check() == []
    assert lifecycle.apply() == []
    expiring = {
        rule["Filter"]["Prefix"]: rule["Expiration"]["Days"]
        for rule in rules(settings).values()
        if "Days" in rule.get("Expiration", {})
    }
    assert expiring == {
        "lakes/one/images/": 7,
        "lakes/one/lake/": 7,
        "lakes/one/journal/": 7,
        "lakes/one/rejections/": 7,
        "lakes/one/probe/": 1,
    }
    rest = rules(settings)["pixlake-lakes-one-rest"]
    assert rest["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rest["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert rest["Expiration"] == {"ExpiredObjectDeleteMarker": True}


def test_another_retention_is_a_difference(settings: LakeSettings) -> None:
    Lifecycle(settings, 7).apply()
    longer = Lifecycle(settings, 30)
    assert [(d.rule, d.about) for d in longer.check()] == [
        (f"pixlake-lakes-one-{name}", "different")
        for name in ("images", "lake", "journal", "rejections")
    ]
    longer.apply()
    assert rules(settings)["pixlake-lakes-one-lake"]["Expiration"] == {"Days": 30}


def test_rules_of_others_stay_and_are_named_if_they_delete_too_early(
    settings: LakeSettings,
) -> None:
    theirs = {
        "ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1},
    }  # fmt: skip
    early = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
    off = early | {"ID": "off", "Status": "Disabled"}
    put(settings, theirs, early, off)
    lifecycle = Lifecycle(settings, 7)
    lifecycle.apply()
    assert set(rules(settings)) >= {"logs", "all", "off"}
    assert [(d.rule, d.about) for d in lifecycle.check()] == [
        ("all", "deletes objects of Pixlake too early")
    ]


def test_a_rule_that_would_delete_the_settings_is_named(settings: LakeSettings) -> None:
    late = {"ID": "year", "Status": "Enabled", "Filter": {"Prefix": ""}}
    put(settings, late | {"Expiration": {"Days": 365}})
    assert ("year", "deletes objects of Pixlake too early") in [
        (d.rule, d.about) for d in Lifecycle(settings, 7).check()
    ]


def test_two_lakes_share_a_bucket(settings: LakeSettings) -> None:
    other = settings.model_copy(update={"store_url": f"s3://{bucket(settings)}/lakes/two"})
    Lifecycle(settings, 7).apply()
    Lifecycle(other, 7).apply()
    assert Lifecycle(settings, 7).check() == Lifecycle(other, 7).check() == []
    assert len(rules(settings)) == 12


def test_stores_without_rules_say_so(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with pytest.raises(NoLifecycle, match="sweep"):
        Lifecycle(settings_for("folder", tmp_path, request), 7)
    with pytest.raises(NoLifecycle, match="sweep"):
        Lifecycle(settings_for("s3", tmp_path, request), 7).check()


def test_a_bucket_that_is_not_there(settings: LakeSettings) -> None:
    gone = settings.model_copy(update={"store_url": "s3://nosuchbucketanywhere"})
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        Lifecycle(gone, 7).check()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    away = settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"})
    with pytest.raises(StoreUnavailable):
        Lifecycle(away, 7).check()
