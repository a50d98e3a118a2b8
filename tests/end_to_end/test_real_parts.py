"""Pixlake with the servers of production: S3, Apache Kafka, PostgreSQL.

One test kills one process after the other by SIGKILL under load. `make soak-crashes`, or
PIXLAKE_CRASH_SECONDS=600, does this for longer.
"""

import hashlib
import io
import itertools
import json
import os
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.end_to_end.running import Pixlake
from tests.end_to_end.truth import rows, seal, wait_for_rows
from tests.photos import photographs
from tests.serve_app.postgres import postgres_or_reason
from tests.servers.kafka import ApacheKafka
from tests.servers.s3 import S3Server
from tests.servers.streams import committed, create_topic, produce
from tests.waiting import wait_until

SECONDS = float(os.environ.get("PIXLAKE_CRASH_SECONDS", "20"))
# Shorter than the restart of a replica, so that sometimes several replicas are missing.
PACE_SECONDS = 3.0
CLIENTS = 3
# Messages for each second; few, because the machine also restarts the killed processes.
MESSAGES = 4
DRAIN_SECONDS = 180
PHOTOS = photographs()[:4]
# Replicas have their deployment's name in the command line, decoders their module's.
VICTIMS = ("UploadApi", "KafkaIngest", "ImageProcessor", "Sealer", "processors.sandbox.fork_server")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 500)]


class Load:
    """Sends photographs by HTTP and Kafka until `finish`; no two have the same bytes."""

    def __init__(self, pixlake: Pixlake, bootstrap: str, topic: str) -> None:
        self.uploaded: dict[str, str] = {}
        self.produced: list[str] = []
        self.answers: Counter[str] = Counter()
        self._pixlake = pixlake
        self._kafka = bootstrap, topic
        self._numbers = itertools.count()
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS + 1)
        self._tasks = [self._pool.submit(self._upload) for _ in range(CLIENTS)]
        self._tasks.append(self._pool.submit(self._produce))

    def finish(self) -> None:
        """Send no further photographs; return when those sent are acknowledged."""
        self._ending.set()
        for task in self._tasks:
            task.result(DRAIN_SECONDS)
        self._pool.shutdown()

    def _upload(self) -> None:
        headers = {"Content-Type": "image/jpeg", **self._pixlake.headers}
        with httpx.Client(base_url=self._pixlake.url, headers=headers, timeout=60) as client:
            while not self._ending.is_set():
                photo = photograph(next(self._numbers))
                image_id = self._until_acknowledged(client, photo)
                self.uploaded[image_id] = hashlib.sha256(photo).hexdigest()

    def _until_acknowledged(self, client: httpx.Client, photo: bytes) -> str:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        ends = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < ends:
            try:
                answer = client.post("/v1/images", content=photo, headers=key)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                time.sleep(0.2)  # the pause of a client before its retry
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.is_success:
                return str(answer.json()["image_id"])
            assert answer.status_code in {502, 503, 504}, answer.text
            time.sleep(float(answer.headers["Retry-After"]))
        raise AssertionError(f"not acknowledged in {DRAIN_SECONDS} s: {self.answers}")

    def _produce(self) -> None:
        while not self._ending.wait(1):
            photos = [photograph(next(self._numbers)) for _ in range(MESSAGES)]
            produce(*self._kafka, photos)
            self.produced += [hashlib.sha256(photo).hexdigest() for photo in photos]


def photograph(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def kill_in_turn(pixlake: Pixlake, seed: int) -> Counter[str]:
    """Kill processes of each kind in turn; return the number of kills of each kind.

    This takes SECONDS, or longer on a busy machine: until a process of each kind was killed, but at
    most DRAIN_SECONDS longer.
    """
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    ends = time.monotonic() + SECONDS
    for name in itertools.cycle(VICTIMS):
        if (now := time.monotonic()) > ends:
            if all(killed[each] for each in VICTIMS) or now > ends + DRAIN_SECONDS:
                return killed
            if killed[name]:
                continue
        found = pixlake.processes(name)
        if found:
            try:
                chance.choice(found).kill()
            except psutil.NoSuchProcess:
                continue
            killed[name] += 1
            time.sleep(PACE_SECONDS)  # the load between two kills is what the test plays
    raise AssertionError("unreachable")


def queried(pixlake: Pixlake, sql: str) -> list[dict[str, Any]]:
    done = pixlake.run("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def check_audit(pixlake: Pixlake, images: int) -> None:
    done = pixlake.run("audit", "--full", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    seen = report["seen"]
    assert (seen["images"], seen["hashed"], seen["rows"]) == (images, images, images)
    assert {
        code: check["found"] for code, check in report["checks"].items() if check["found"]
    } == {}


@pytest.fixture(scope="module")
def topic(kafka_server: ApacheKafka) -> str:
    name = uuid.uuid4().hex
    create_topic(kafka_server.bootstrap, name)
    return name


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory,
    topic: str,
    s3_server: S3Server,
    kafka_server: ApacheKafka,
) -> Iterator[Pixlake]:
    """A Pixlake with these servers; topic, group and prefix in the bucket have the same name."""
    postgres = postgres_or_reason()
    if isinstance(postgres, str):
        pytest.skip(postgres)
    with postgres:
        made = Pixlake(
            tmp_path_factory.mktemp("real-parts") / "home",
            KAFKA_BOOTSTRAP_SERVERS=kafka_server.bootstrap,
            PIXLAKE_KAFKA_GROUP=topic,
            PIXLAKE_KAFKA_TOPIC=topic,
            # The partitions of a killed member get a new member after this time.
            PIXLAKE_KAFKA_SESSION_TIMEOUT_MS="2000",
            PIXLAKE_STORE_URL=f"s3://{s3_server.bucket}/{topic}",
            PIXLAKE_S3_ENDPOINT=s3_server.endpoint,
            PIXLAKE_S3_ACCESS_KEY_ID=s3_server.access_key,
            PIXLAKE_S3_SECRET_ACCESS_KEY=s3_server.secret_key,
            PIXLAKE_DATABASE_URL=postgres.new_database(),
            # Short times, so that the sealer works, and is killed, during the load.
            PIXLAKE_WINDOW_SECONDS="5",
            PIXLAKE_GRACE_SECONDS="2",
            PIXLAKE_SEAL_INTERVAL_SECONDS="1",
        )
        try:
            made.start()
            yield made
        finally:
            made.end()


def test_kills_lose_and_double_nothing_that_was_acknowledged(
    own: Pixlake, topic: str, kafka_server: ApacheKafka
) -> None:
    """Has to be the first test of the file, because the audit counts all images of the store."""
    load = Load(own, kafka_server.bootstrap, topic)
    seed = random.randrange(10**6)
    killed = kill_in_turn(own, seed)
    load.finish()
    what = f"seed {seed}, killed {dict(killed)}, answers {dict(load.answers)}"
    said = f"{what}: {len(load.uploaded)} uploaded, {len(load.produced)} produced\n"
    sys.stdout.write(said)
    assert all(killed[name] for name in VICTIMS), what
    wait_until(
        lambda: committed(kafka_server.bootstrap, topic, group=topic) == len(load.produced),
        DRAIN_SECONDS,
    )
    seal(own)

    found = queried(own, 'SELECT image_id, sha256, source, "offset" FROM images')
    by_api = sorted((row["image_id"], row["sha256"]) for row in found if row["source"] == "api")
    assert by_api == sorted(load.uploaded.items()), what
    by_kafka = {row["offset"]: row["sha256"] for row in found if row["source"] == "kafka"}
    assert len(by_api) + len(by_kafka) == len(found), what
    # Each message has a row, and the kills caused no refusal.
    assert queried(own, "SELECT * FROM rejections") == [], what
    assert sorted(by_kafka) == [*range(len(load.produced))], what
    assert all(load.produced[offset] == sha256 for offset, sha256 in by_kafka.items()), what
    check_audit(own, len(found))
    own.wait_ready()


def test_s3_kafka_and_postgres(
    own: Pixlake, topic: str, s3_server: S3Server, pixlake: Pixlake
) -> None:
    """Also tests two Pixlakes on one machine; the other one uses embedded servers."""
    run = uuid.uuid4().hex
    done = own.run("upload", *PHOTOS, "-m", f"run={run}", "--json")
    assert json.loads(done.stdout)["created"] == len(PHOTOS)
    done = own.run("produce", *PHOTOS, "-t", topic, "-m", f"run={run}", "--json")
    assert done.returncode == 0, done.stderr
    wait_for_rows(own, run, 2 * len(PHOTOS))

    bucket = boto3.resource("s3", **s3_server.client_options()).Bucket(s3_server.bucket)
    for row in rows(own, run):
        names = [(row["original_key"], row["sha256"])]
        names += [(rendition["key"], rendition["sha256"]) for rendition in row["renditions"]]
        for key, digest in names:
            body = bucket.Object(f"{topic}/{key}").get()["Body"].read()
            assert hashlib.sha256(body).hexdigest() == digest
    assert not (own.home / "store").exists()
    assert not (own.home / "accounts.sqlite").exists()
    assert own.stop() == 0
    assert pixlake.is_ready()
