"""`lifecycle`, with moto as the S3 server, because VersityGW has no lifecycle rules."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lake import layout
from lake.store.store_settings import StoreSettings, as_json
from tests.pixlake.conftest import Run


@pytest.fixture
def bucket(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    del run  # requested because `run` sets the store of the shared API first
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "PIXLAKE_STORE_URL": "s3://lake",
        "PIXLAKE_S3_ENDPOINT": f"http://{host}:{port}",
        "PIXLAKE_S3_ACCESS_KEY_ID": "key",
        "PIXLAKE_S3_SECRET_ACCESS_KEY": "secret",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="lake")
    client.put_object(Bucket="lake", Key=layout.STORE, Body=as_json(StoreSettings()))
    yield client
    server.stop()


def test_check_apply_check(run: Run, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = run("lifecycle", "apply", "--check")
    assert missing.exit_code == 1
    assert "pixlake-images" in missing.stdout
    unasked = run("lifecycle", "apply")
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "pixlake-images: missing" in unasked.stderr
    assert run("lifecycle", "apply", "--check").stdout == missing.stdout
    written = run("lifecycle", "apply", "--yes")
    assert written.exit_code == 0, written.output
    assert "6 rules written" in written.stdout
    there = run("lifecycle", "apply", "--check")
    assert (there.exit_code, there.stdout) == (0, "every rule of the bucket is as it should be\n")
    monkeypatch.setenv("PIXLAKE_RETENTION_DAYS", "30")
    contradicted = run("lifecycle", "apply", "--yes")
    assert contradicted.exit_code == 2
    assert "30, but the store has 7" in contradicted.stderr
    # A future change counts already: a shorter rule would delete images that the change keeps.
    longer = StoreSettings().changed(30, datetime.now(UTC) + timedelta(hours=3))
    bucket.put_object(Bucket="lake", Key=layout.STORE, Body=as_json(longer))
    said = json.loads(run("lifecycle", "apply", "--check", "--json").stdout)
    assert said["ok"] is False
    assert said["differences"][0]["wanted"]["Expiration"] == {"Days": 30}
