"""Counted load of a fault: uploads with retries and messages, each of them with bytes of its own.

The product's client sends the uploads, so a request that fails is repeated as a user's would be.
Afterwards each acknowledged upload and each message must have exactly one row.
"""

import hashlib
import itertools
import threading
import time
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka import Producer

from lake import layout
from lake.tables.rows import decode_chain_file
from pixlake.client import Client, ClientError
from tests.photos import photographs
from tests.rehearsal.servers import BUCKET, wait_for
from tests.rehearsal.stage import TOPIC, Stage

_THREADS = 3
_PAUSE_SECONDS = 0.3
# The deadline of an upload, and the silence of its last try.
_END_SECONDS = 180
# A window of a minute, its sealing, and a consumer that has to catch up.
_ROWS_SECONDS = 300
# Signature and first chunk of a PNG.
_HEADER = 33
_SERIAL = itertools.count()


@dataclass
class Counts:
    """Uploads and messages of one fault; hashes are those of the original bytes."""

    name: str
    acknowledged: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    retried: int = 0
    gave_up: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.acknowledged)} acknowledged (slowest {self.slowest:.1f} s, {self.retried} "
            f"retries), {len(self.gave_up)} given up, {len(self.messages)} messages"
        )


class Counted:
    """Uploads and messages during a `with`; `counts` says what became of them."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.counts = Counts(name)
        self._stage = stage
        self._photos = [path.read_bytes() for path in photographs()[:6]]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._upload) for _ in range(_THREADS)]
        self._threads.append(threading.Thread(target=self._produce))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def go_on(self, uploads: int = 10) -> float:
        """Wait until some more uploads are acknowledged; return the seconds."""
        target = len(self.counts.acknowledged) + uploads
        try:
            return wait_for(
                lambda: len(self.counts.acknowledged) >= target, "uploads", seconds=_END_SECONDS
            )
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self.counts}: {self.counts.gave_up[:3]}") from None

    def _image(self) -> bytes:
        """Photograph (PNG) with a comment that no other image has."""
        number = next(_SERIAL)
        photo = self._photos[number % len(self._photos)]
        text = f"tEXtComment\0{time.time()} {number}".encode()
        comment = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
        return photo[:_HEADER] + comment + photo[_HEADER:]

    def _upload(self) -> None:
        with Client(self._stage.balancer.url, self._stage.key, on_wait=self._on_wait) as client:
            while not self._stop.wait(_PAUSE_SECONDS):
                image, began = self._image(), time.monotonic()
                try:
                    record = client.upload(image, preset="thumbnail").image
                except ClientError as error:
                    self.counts.gave_up.append(f"{error.code}: {error}")
                    continue
                with self._lock:
                    self.counts.acknowledged.append(record.sha256)
                    took = time.monotonic() - began
                    self.counts.slowest = max(self.counts.slowest, took)

    def _on_wait(self, _reason: str, _seconds: float, _left: float) -> None:
        with self._lock:
            self.counts.retried += 1

    def _produce(self) -> None:
        producer = Producer({"bootstrap.servers": self._stage.kafka.bootstrap})
        while not self._stop.wait(_PAUSE_SECONDS):
            image = self._image()
            producer.produce(TOPIC, image, key=hashlib.sha256(image).digest())
            producer.poll(0)
            self.counts.messages.append(hashlib.sha256(image).hexdigest())
        assert not producer.flush(30), "Kafka has not taken all messages"
        self._stage.produced += len(self.counts.messages)


def check_rows(stage: Stage, all_counts: list[Counts]) -> str:
    """Check that everything acknowledged has exactly one row; print the counts of each fault."""
    sent = {one for counts in all_counts for one in (*counts.acknowledged, *counts.messages)}
    began = time.monotonic()
    with suppress(TimeoutError):  # the table below says what is missing
        wait_for(lambda: sent <= _rows(stage).keys(), "rows", seconds=_ROWS_SECONDS)
    seconds, rows = time.monotonic() - began, _rows(stage)
    print("\n| fault | acknowledged | retries | given up | messages | rows | doubled | missing |")
    print("|---|---|---|---|---|---|---|---|")
    bad = 0
    for counts in all_counts:
        expected = [*counts.acknowledged, *counts.messages]
        found = sum(rows[one] for one in expected)
        doubled = sum(rows[one] > 1 for one in expected)
        missing = sum(one not in rows for one in expected)
        bad += doubled + missing
        print(
            f"| {counts.name} | {len(counts.acknowledged)} | {counts.retried} "
            f"| {len(counts.gave_up)} | {len(counts.messages)} | {found} | {doubled} | {missing} |",
            flush=True,
        )
    assert not bad, f"{bad} images are doubled or missing"
    return f"{len(sent)} images, each has one row (waited {seconds:.0f} s)"


def _rows(stage: Stage) -> Counter[str]:
    """Number of rows of each hash, from the Parquet files."""
    client = stage.store.client(stage.store.admin)
    found: Counter[str] = Counter()
    for page in client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=layout.LAKE_IMAGES
    ):
        for one in page.get("Contents", []):
            body = client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
            found.update(decode_chain_file(one["Key"], body, ["sha256"])["sha256"].to_pylist())
    return found
