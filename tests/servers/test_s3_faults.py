"""Test that the faulty S3 fails as a fault says, and never without a fault."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.servers.s3 import S3Server
from tests.servers.s3_faults import Fault, FaultyS3


@pytest.fixture
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def client(faulty: FaultyS3, s3_server: S3Server) -> Iterator[Any]:
    config = Config(
        retries={"total_max_attempts": 1}, read_timeout=0.5, s3={"addressing_style": "path"}
    )
    options = {**s3_server.client_options(), "endpoint_url": faulty.endpoint, "config": config}
    made = boto3.client("s3", **options)
    yield made
    made.close()


def test_without_a_fault_it_is_the_server(client: Any, s3_server: S3Server) -> None:
    bucket = s3_server.bucket
    key = "faulty/ä b+c%2F.txt"
    body = bytes(range(256)) * 1000
    client.put_object(Bucket=bucket, Key=key, Body=body)
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)
    part = client.get_object(Bucket=bucket, Key=key, Range="bytes=5-9")
    assert (part["ContentLength"], part["Body"].read()) == (5, body[5:10])
    listed = client.list_objects_v2(Bucket=bucket, Prefix="faulty/")["Contents"]
    assert [found["Key"] for found in listed] == [key]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")
    client.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"kind": "error", "status": 503, "code": "SlowDown"}, ClientError),
        ({"kind": "reset"}, ConnectionClosedError),
        ({"kind": "hang"}, ReadTimeoutError),
        ({"kind": "slow", "seconds": 30}, ReadTimeoutError),
    ],
)
def test_a_request_fails_before_or_after_it_was_done(
    faulty: FaultyS3,
    client: Any,
    s3_server: S3Server,
    fault: dict[str, Any],
    seen: type[Exception],
    *,
    applied: bool,
) -> None:
    name = {"Bucket": s3_server.bucket, "Key": f"faulty-{fault['kind']}-{applied}"}
    with faulty.failing(Fault(**fault, applied=applied)), pytest.raises(seen):
        client.put_object(**name, Body=b"once")
    found = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=name["Key"])
    assert found["KeyCount"] == applied


def test_only_the_first_requests_that_match(
    faulty: FaultyS3, client: Any, s3_server: S3Server
) -> None:
    bucket = s3_server.bucket
    with faulty.failing(Fault("error", times=1, matching="^PUT /[^/]+/faulty-b$")):
        client.put_object(Bucket=bucket, Key="faulty-a", Body=b"")
        with pytest.raises(ClientError, match="InternalError"):
            client.put_object(Bucket=bucket, Key="faulty-b", Body=b"")
        client.put_object(Bucket=bucket, Key="faulty-b", Body=b"")
        assert faulty.met == 1


def test_a_share_of_requests(faulty: FaultyS3, client: Any, s3_server: S3Server) -> None:
    failed = 0
    with faulty.failing(Fault("error", share=0.3)):
        for _ in range(50):
            try:
                client.head_bucket(Bucket=s3_server.bucket)
            except ClientError:
                failed += 1
    assert 5 < failed < 25


def test_a_fault_that_meets_nothing_fails_the_test(faulty: FaultyS3) -> None:
    with pytest.raises(AssertionError, match="no request met"), faulty.failing(Fault("reset")):
        pass
