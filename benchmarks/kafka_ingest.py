"""Throughput of the Kafka consumer for a backlog in Apache Kafka, compared with OpenCV alone."""

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
# 500 photos of 1.2 MB take about as long as 5,000 small ones; 5,000 would be 6 GB a round.
BACKLOG = {SMALL.name: 5000, MEDIUM.name: 500}
QUICK_SHARE = 10
_POLL_SECONDS = 0.05
_DEADLINE_SECONDS = 300.0
_MESSAGE_BYTES = 32_000_000
_REQUEST_SECONDS = 10


def run(bench: Bench) -> None:
    """Measure both photos, alternating with OpenCV alone."""
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
        bench.report.raw(f"kafka_ingest_{photo.name}", rates, "images/s")
        bench.report.raw(f"kafka_ingest_cpu_{photo.name}", cpu, "s/image")
        bench.report.raw(f"kafka_broker_cpu_{photo.name}", broker, "s/image")
        target = _TARGETS[photo.name]
        bench.report.judge(f"Kafka ingest / opencv_alone, {photo.name}", ratios, target)


def _round(bench: Bench, photo: Photo, count: int) -> tuple[float, float, float]:
    """Measure images a second, and processor seconds per image of service and broker."""
    before: list[float] = []
    rate = drain(bench, photo, count, lambda: before.extend(_spent(bench)))
    ours, brokers = (b - a for a, b in zip(before, _spent(bench), strict=True))
    return rate, ours / count, brokers / count


def drain(
    bench: Bench, photo: Photo, count: int, written: Callable[[], None] = lambda: None
) -> float:
    """Measure images a second, from the visible backlog to the commit of its last offset.

    `written` is called before the backlog becomes visible, so that the time to fill the broker can
    be left out.
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
    """Produce a backlog that becomes visible at once; returns each partition's end offset.

    The messages are in a transaction, so no consumer reads them before the commit. `written` is
    called when the broker has all messages, before the commit.
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
    """Processor seconds of the service and of the broker so far."""
    return bench.service.cpu_seconds(), bench.service.broker_cpu_seconds()


def _reached(group: Consumer, ends: dict[int, int]) -> bool:
    wanted = [TopicPartition(_TOPIC, number) for number in ends]
    committed = group.committed(wanted, _REQUEST_SECONDS)
    return all(each.offset >= ends[each.partition] for each in committed)
