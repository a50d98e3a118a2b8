"""Test that the servers behave as the other tests assume."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import boto3
import obstore
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient
from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError
from obstore.store import S3Store

from pixlake_server.embedded.kraft import MAX_MESSAGE_BYTES
from tests.servers.kafka import ApacheKafka
from tests.servers.lock_kafka_jars import LOCK, lock_text
from tests.servers.s3 import S3Server
from tests.servers.streams import committed, consume, create_topic, produce

ROUNDS = 20
WRITERS = 32
Put = Callable[[str, bytes], bool]


@pytest.fixture
def kafka(kafka_server: ApacheKafka) -> ApacheKafka:
    if kafka_server.external:
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS: a cluster that is not ours to kill")
    return kafka_server


@pytest.fixture(scope="module")
def s3(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture(scope="module")
def boto(s3: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name=s3.region,
        config=Config(max_pool_connections=WRITERS, s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="module")
def store(s3: S3Server) -> S3Store:
    return S3Store(
        s3.bucket,
        endpoint=s3.endpoint,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
        region=s3.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_kafka_keeps_messages_offsets_and_topic_ids(kafka: ApacheKafka, end: str) -> None:
    topic = f"kept-{uuid4()}"
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, [b"one", b"two", b"three"])
    assert consume(kafka.bootstrap, topic, group=topic, count=2) == [b"one", b"two"]
    before = _topic_id(kafka.bootstrap, topic)

    getattr(kafka, end)()
    kafka.start()

    assert committed(kafka.bootstrap, topic, group=topic) == 2
    assert consume(kafka.bootstrap, topic, group=topic, count=1) == [b"three"]
    assert _topic_id(kafka.bootstrap, topic) == before


def test_kafka_goes_on_after_a_pause(kafka: ApacheKafka) -> None:
    topic = f"paused-{uuid4()}"
    create_topic(kafka.bootstrap, topic)
    kafka.pause()
    kafka.resume()
    produce(kafka.bootstrap, topic, [b"after"])
    assert consume(kafka.bootstrap, topic, group=topic, count=1) == [b"after"]


def test_kafka_takes_the_largest_messages(kafka: ApacheKafka) -> None:
    topic = f"large-{uuid4()}"
    create_topic(kafka.bootstrap, topic)
    large = bytes(MAX_MESSAGE_BYTES - 1024)
    produce(kafka.bootstrap, topic, [large])
    assert consume(kafka.bootstrap, topic, group=topic, count=1) == [large]


@pytest.mark.skipif(shutil.which("mvn") is None, reason="not installed: mvn")
def test_the_lock_of_jars_is_what_maven_resolves() -> None:
    assert LOCK.read_text(encoding="utf-8") == lock_text()


def test_s3_create_only_has_one_winner_for_boto3(s3: S3Server, boto: Any) -> None:
    def put(key: str, body: bytes) -> bool:
        try:
            boto.put_object(Bucket=s3.bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    def get(key: str) -> bytes:
        body: bytes = boto.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
        return body

    _assert_one_winner(put, get)


def test_s3_create_only_has_one_winner_for_obstore(store: S3Store) -> None:
    def put(key: str, body: bytes) -> bool:
        try:
            obstore.put(store, key, body, mode="create")
        except AlreadyExistsError:
            return False
        return True

    _assert_one_winner(put, lambda key: bytes(obstore.get(store, key).bytes()))


def test_s3_swap_has_one_winner_for_obstore(store: S3Store) -> None:
    def put(key: str, body: bytes) -> bool:
        try:
            obstore.put(store, key, body, mode={"e_tag": tags[key]})
        except PreconditionError:
            return False
        return True

    tags = {key: obstore.put(store, key, b"first")["e_tag"] for key in _fresh_keys()}
    _assert_one_winner(put, lambda key: bytes(obstore.get(store, key).bytes()), list(tags))


def test_s3_if_match(s3: S3Server, boto: Any, store: S3Store) -> None:
    def status(key: str, tag: str) -> int:
        try:
            answer = boto.put_object(Bucket=s3.bucket, Key=key, Body=b"new", IfMatch=tag)
        except ClientError as error:
            answer = error.response
        code: int = answer["ResponseMetadata"]["HTTPStatusCode"]
        return code

    tag = boto.put_object(Bucket=s3.bucket, Key="matched", Body=b"old")["ETag"]
    assert status("matched", tag) == 200
    assert status("matched", tag) == 412
    assert status("missing", tag) in (404, 412)
    with pytest.raises((PreconditionError, NotFoundError)):
        obstore.put(store, "missing", b"new", mode={"e_tag": tag})


def test_s3_keeps_objects_over_a_kill(s3: S3Server, store: S3Store) -> None:
    obstore.put(store, "kept", b"bytes")
    s3.kill()
    s3.start()
    assert bytes(obstore.get(store, "kept").bytes()) == b"bytes"


def test_s3_refuses_a_wrong_key(s3: S3Server) -> None:
    wrong = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key="wrong",
        region_name=s3.region,
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_objects_v2(Bucket=s3.bucket)


def _fresh_keys() -> list[str]:
    return [f"probe/{uuid4()}" for _ in range(ROUNDS)]


def _assert_one_winner(
    put: Put, get: Callable[[str], bytes], keys: list[str] | None = None
) -> None:
    bodies = [f"writer {number}".encode() * 1000 for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        for key in keys or _fresh_keys():
            won = list(pool.map(put, [key] * WRITERS, bodies))
            winners = [body for body, first in zip(bodies, won, strict=True) if first]
            assert winners == [get(key)]


def _topic_id(bootstrap: str, topic: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    (described,) = admin.describe_topics(TopicCollection([topic])).values()
    return str(described.result(10).topic_id)
