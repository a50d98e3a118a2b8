"""A cluster of three nodes: load is spread, and the death of a node loses no image."""

import hashlib
import itertools
import json
import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from tests.end_to_end.cluster import NODES, WAITING, PixlakeCluster
from tests.end_to_end.running import NO_TLS
from tests.end_to_end.truth import check_stored, rows, seal, wait_for_rows
from tests.photos import encoded, scene
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import create_topic, produce
from tests.waiting import wait_until

CLIENTS = 8
UPLOADS = 100  # before a node dies, and again after its death
MESSAGES = 90
ROUNDS = 15
TOPIC = "cluster"
PLACES = NODES * (1 + WAITING)
SPILLED = 8


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_server: ApacheKafka
) -> Iterator[PixlakeCluster]:
    create_topic(kafka_server.bootstrap, TOPIC, partitions=3)
    made = PixlakeCluster(
        tmp_path_factory.mktemp("cluster") / "home",
        kafka_server.bootstrap,
        PIXLAKE_KAFKA_TOPIC=TOPIC,
        PIXLAKE_KAFKA_GROUP=uuid.uuid4().hex,
        PIXLAKE_KAFKA_SESSION_TIMEOUT_MS="3000",
        PIXLAKE_KAFKA_BATCH_MESSAGES="4",  # many batches of few messages
    )
    try:
        made.start()
        yield made
    finally:
        made.end()


@dataclass
class Load:
    """Uploads until `enough` is set; each is retried until it is acknowledged or `ended` is set."""

    cluster: PixlakeCluster
    name: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def has(self, images: int) -> bool:
        return len(self.acknowledged) >= images

    def run_on(self) -> None:
        while not (self.enough.is_set() or self.ended.is_set()):
            self.upload(next(self.numbers))

    def upload(self, number: int) -> None:
        photo = encoded(scene(), quality=60 + number % 30)
        headers = {
            **self.cluster.headers,
            "Idempotency-Key": f"{self.name}-{number}",
            "X-Pixlake-Meta-Run": self.name,
        }
        while not self.ended.is_set():
            try:
                url = f"{self.cluster.url}/v1/images"
                answer = httpx.post(url, content=photo, headers=headers, timeout=20, verify=NO_TLS)
            except httpx.TransportError as error:
                self.failures.append(repr(error))
                continue
            if answer.is_success:
                self.acknowledged[answer.json()["image_id"]] = hashlib.sha256(photo).hexdigest()
                return
            assert answer.status_code in {502, 503, 504}, answer.text
            self.failures.append(f"{answer.status_code} {answer.text}")
            self.ended.wait(float(answer.headers.get("Retry-After", 0.5)))


class Work:
    """Work of each node's decoders for one deployment, since this object was created."""

    def __init__(self, cluster: PixlakeCluster, door: str) -> None:
        self._cluster = cluster
        self._door = door
        self._first: dict[int, float] = {}
        self.is_everywhere()

    def is_everywhere(self) -> bool:
        worked = [self._has_worked(node) for node in range(NODES)]  # a list: fills `_first`
        return all(worked)

    def _has_worked(self, node: int) -> bool:
        """True if one of the node's decoders, which come and go, worked since it was first seen."""
        worked = False
        for one in self._cluster.decoders(node, self._door):
            with suppress(psutil.NoSuchProcess):
                seconds = sum(one.cpu_times()[:2])
                worked |= seconds > self._first.setdefault(one.pid, seconds)
        return worked


def send_until_it_spreads(cluster: PixlakeCluster, consuming: Work, photos: list[bytes]) -> int:
    """Send rounds of messages until every node has processed one; return the number of messages."""
    for rounds in range(1, ROUNDS + 1):
        produce(cluster.bootstrap, TOPIC, photos)
        with suppress(AssertionError):
            wait_until(consuming.is_everywhere, 6)
            return rounds * len(photos)
    raise AssertionError(f"after {ROUNDS} rounds a node has processed no message\n{cluster.log()}")


def by_kafka(cluster: PixlakeCluster) -> list[dict[str, Any]]:
    """Rows of the images that came by Kafka."""
    seal(cluster)
    sql = "SELECT * FROM images WHERE source = 'kafka'"
    answer: list[dict[str, Any]] = json.loads(cluster.run("query", sql, "--format", "json").stdout)
    return answer


def test_every_node_knows_the_ports_of_its_agents(cluster: PixlakeCluster) -> None:
    """If an agent chooses its own port, the raylet waits 15 s for the port, then ends."""
    for raylet in cluster.raylets:
        line = " ".join(raylet.cmdline()).replace("_", "-")
        for name in ("metrics-agent", "metrics-export", "dashboard-agent-listen"):
            assert re.search(rf" --{name}-port=[1-9]", line), (name, line)
        assert re.search(r" --runtime-env-agent-port=[1-9]", line), line


@pytest.mark.quiet
def test_a_replica_that_leaves_or_joins_drops_no_request(cluster: PixlakeCluster) -> None:
    load = Load(cluster, uuid.uuid4().hex)
    with ThreadPoolExecutor(CLIENTS) as clients:
        try:
            working = [clients.submit(load.run_on) for _ in range(CLIENTS)]
            wait_until(lambda: len(load.acknowledged) > CLIENTS, 60)
            for replicas in (NODES - 1, NODES):
                cluster.scale(replicas)
                wait_until(partial(load.has, len(load.acknowledged) + UPLOADS), 60)
            wait_until(lambda: len(cluster.processes("UploadApi")) == NODES, 60)
            load.enough.set()
            for client in working:
                client.result(timeout=90)
        finally:
            load.ended.set()
    assert load.failures == []


def test_an_upload_that_finds_its_node_full_is_done_on_another(cluster: PixlakeCluster) -> None:
    load = Load(cluster, uuid.uuid4().hex)
    busy = [one for node in range(NODES) for one in cluster.decoders(node, "UploadApi")]
    with ThreadPoolExecutor(PLACES + SPILLED) as clients:
        for one in busy:
            one.suspend()
        try:
            uploads = [clients.submit(load.upload, n) for n in range(PLACES + SPILLED)]
            wait_until(lambda: len(load.acknowledged) >= SPILLED, 30)
        finally:
            for one in busy:
                one.resume()
        for upload in uploads:
            upload.result(timeout=90)
    assert len(load.acknowledged) == PLACES + SPILLED


@pytest.mark.quiet
def test_images_spread_and_a_node_that_dies_costs_what_was_on_it(cluster: PixlakeCluster) -> None:
    load = Load(cluster, uuid.uuid4().hex)
    uploading, consuming = Work(cluster, "UploadApi"), Work(cluster, "ImageProcessor")
    photos = [encoded(scene(), quality=50 + n % 40) for n in range(MESSAGES)]
    sent = send_until_it_spreads(cluster, consuming, photos) + len(photos)
    with ThreadPoolExecutor(CLIENTS) as clients:
        try:
            produce(cluster.bootstrap, TOPIC, photos)
            working = [clients.submit(load.run_on) for _ in range(CLIENTS)]
            wait_until(lambda: uploading.is_everywhere() and len(load.acknowledged) > UPLOADS, 60)
            cluster.kill_node(NODES - 1)
            seen = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > seen + UPLOADS, 90)
            load.enough.set()
            for client in working:
                client.result(timeout=90)
        finally:
            load.ended.set()

    # At most the uploads in flight failed: a request on the dead node fails once, and its retry
    # goes to another node.
    assert len(load.failures) <= CLIENTS, load.failures

    wait_for_rows(cluster, load.name, len(load.acknowledged))
    found = rows(cluster, load.name)
    check_stored(cluster, found)
    assert {row["image_id"]: row["sha256"] for row in found} == load.acknowledged

    wait_until(lambda: len(by_kafka(cluster)) >= sent, 60)
    arrived = by_kafka(cluster)
    check_stored(cluster, arrived)
    assert len(arrived) == sent
