"""The parts that production has in place of the embedded ones: S3, Kafka cluster, PostgreSQL."""

import hashlib
import json
import uuid

import boto3
import pytest

from tests.end_to_end.conftest import NewPixlake
from tests.end_to_end.truth import rows, wait_for_rows
from tests.photos import photographs
from tests.serve_app.postgres import postgres_or_reason
from tests.servers.kafka import ApacheKafka
from tests.servers.s3 import S3Server

PHOTOS = photographs()[:4]


def test_s3_kafka_and_postgres(
    new_pixlake: NewPixlake, s3_server: S3Server, kafka_server: ApacheKafka
) -> None:
    postgres = postgres_or_reason()
    if isinstance(postgres, str):
        pytest.skip(postgres)
    prefix = uuid.uuid4().hex
    with postgres:
        own = new_pixlake(
            KAFKA_BOOTSTRAP_SERVERS=kafka_server.bootstrap,
            PIXLAKE_KAFKA_GROUP=prefix,
            PIXLAKE_STORE_URL=f"s3://{s3_server.bucket}/{prefix}",
            PIXLAKE_S3_ENDPOINT=s3_server.endpoint,
            PIXLAKE_S3_ACCESS_KEY_ID=s3_server.access_key,
            PIXLAKE_S3_SECRET_ACCESS_KEY=s3_server.secret_key,
            PIXLAKE_DATABASE_URL=postgres.new_database(),
        )
        own.start()
        run = uuid.uuid4().hex
        done = own.run("upload", *PHOTOS, "-m", f"run={run}", "-m", "by=http", "--json")
        assert json.loads(done.stdout)["created"] == len(PHOTOS)
        done = own.run("produce", *PHOTOS, "-m", f"run={run}", "-m", "by=kafka", "--json")
        assert done.returncode == 0, done.stderr
        wait_for_rows(own, run, 2 * len(PHOTOS))

        bucket = boto3.resource("s3", **s3_server.client_options()).Bucket(s3_server.bucket)
        for row in rows(own, run):
            names = [(row["original_key"], row["sha256"])]
            names += [(rendition["key"], rendition["sha256"]) for rendition in row["renditions"]]
            for key, digest in names:
                body = bucket.Object(f"{prefix}/{key}").get()["Body"].read()
                assert hashlib.sha256(body).hexdigest() == digest
        assert not (own.home / "store").exists()
        assert not (own.home / "accounts.sqlite").exists()
        assert own.stop() == 0
