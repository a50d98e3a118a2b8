"""Send one image to Kafka as a CloudEvent: python examples/produce_event.py cat.jpg."""
# ruff: noqa: INP001, T201  # a script, and it prints

import os
import sys
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

PORT = os.environ.get("PIXLAKE_KAFKA_PORT", "9092")
BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{PORT}")
SECONDS = 20


def main(path: Path, bootstrap: str = BOOTSTRAP, topic: str = "images") -> None:
    """Send the image; events with the same `ce_source` and `ce_id` are stored as one image."""
    failed = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error.str())
        else:
            print(f"offset {message.offset()}")

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.max.bytes": 30_000_000,
            # Give up after this time if no broker answers.
            "delivery.timeout.ms": SECONDS * 1000,
        }
    )
    producer.produce(
        topic,
        path.read_bytes(),
        headers={
            "ce_specversion": "1.0",
            "ce_type": "com.example.photo",
            "ce_source": "/cameras/7",
            "ce_id": path.stem,
            "pixlake-preset": "web",
            "pixlake-filename": path.name,
            "pixlake-meta-site": "north",
        },
        on_delivery=report,
    )
    producer.flush()
    if failed:
        sys.exit(f"{bootstrap}: {failed[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
