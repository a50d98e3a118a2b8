"""The Kafka door against OpenCV alone: how fast a backlog in Apache Kafka becomes images."""

import time
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import MEDIUM, SMALL, Photo

_TOPIC = "images"
_GROUP = "pixlake"
_TARGETS = {SMALL.name: Target(0.35, 0.6), MEDIUM.name: Target(0.75, 0.9)}
# 5,000 of 1.2 MB would be 6 GB a round; these take about as long as 5,000 small ones.
BACKLOG = {SMALL.name: 5000, MEDIUM.name: 500}
QUICK_SHARE = 10
_POLL_SECONDS = 0.05
_DEADLINE_SECONDS = 300.0
_MESSAGE_BYTES = 32_000_000
_REQUEST_SECONDS = 10


def run(bench: Bench) -> None:
    """Both photos, in turn with OpenCV alone."""
    for photo in (SMALL, MEDIUM):
        count = BACKLOG[photo.name] // (QUICK_SHARE if bench.quick else 1)
        ratios, rates, cpu, broker = [], [], [], []
        drain(bench, photo, count // 10)
        for _ in range(bench.rounds):
            with bench.service.frozen():
                alone = bench.opencv_alone(photo)
            rate, ours, brokers = _round(bench, photo, count)
            rates.append(rate)
            ratios.append(rate / alone)
            cpu.append(ours)
            broker.append(brokers)
            bench.service.forget_images()
        bench.report.raw(f"kafka_door_{photo.name}", rates, "images/s")
        bench.report.raw(f"kafka_door_cpu_{photo.name}", cpu, "s/image")
        bench.report.raw(f"kafka_broker_cpu_{photo.name}", broker, "s/image")
        target = _TARGETS[photo.name]
        bench.report.judge(f"Kafka door / opencv_alone, {photo.name}", ratios, target)


def _round(bench: Bench, photo: Photo, count: int) -> tuple[float, float, float]:
    """Images a second; processor seconds an image of the service, and of the broker."""
    before: list[float] = []
    rate = drain(bench, photo, count, lambda: before.extend(_spent(bench)))
    ours, brokers = (b - a for a, b in zip(before, _spent(bench), strict=True))
    return rate, ours / count, brokers / count


def drain(
    bench: Bench, photo: Photo, count: int, written: Callable[[], None] = lambda: None
) -> float:
    """Images a second, from when the backlog is there until its last offset is committed.

    `written` is called just before, so that what the broker takes to be filled is nobody's.
    """
    group = Consumer({"bootstrap.servers": bench.service.bootstrap, "group.id": _GROUP})
    try:
        ends = produce(bench.service.bootstrap, photo.data, count, written)
        began = time.monotonic()
        while not _reached(group, ends):
            assert time.monotonic() < began + _DEADLINE_SECONDS, "the backlog does not go down"
            time.sleep(_POLL_SECONDS)
        return count / (time.monotonic() - began)
    finally:
        group.close()


def produce(
    bootstrap: str, data: bytes, count: int, written: Callable[[], None] = lambda: None
) -> dict[int, int]:
    """A backlog that appears at once; the offset behind each partition's last message.

    In a transaction: nobody reads a message of it before it is committed. `written` is called when
    the broker has all of it, and before it appears.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": uuid.uuid4().hex,
            "message.max.bytes": _MESSAGE_BYTES,
            "queue.buffering.max.kbytes": 256_000,
        }
    )
    partitions = sorted(producer.list_topics(_TOPIC, _REQUEST_SECONDS).topics[_TOPIC].partitions)
    ends: dict[int, int] = {}

    def delivered(error: object, message: object) -> None:
        assert error is None, error
        partition, offset = message.partition(), message.offset()  # type: ignore[attr-defined]
        ends[partition] = max(ends.get(partition, 0), offset + 1)

    producer.init_transactions(_REQUEST_SECONDS)
    producer.begin_transaction()
    for number in range(count):
        partition = partitions[number % len(partitions)]
        while True:
            try:
                producer.produce(_TOPIC, data, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(_POLL_SECONDS)
    producer.flush()
    written()
    producer.commit_transaction(_REQUEST_SECONDS)
    return ends


def _spent(bench: Bench) -> tuple[float, float]:
    """Processor seconds of the service, and of the broker."""
    return bench.service.cpu_seconds(), bench.service.broker_cpu_seconds()


def _reached(group: Consumer, ends: dict[int, int]) -> bool:
    wanted = [TopicPartition(_TOPIC, number) for number in ends]
    found = group.committed(wanted, _REQUEST_SECONDS)
    return all(each.offset >= ends[each.partition] for each in found)
