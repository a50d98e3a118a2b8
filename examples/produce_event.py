"""One image to Kafka as a CloudEvent: python examples/produce_event.py cat.jpg."""
# ruff: noqa: INP001, T201  # a script, and it prints

import sys
from pathlib import Path

from confluent_kafka import Producer


def main(path: Path, bootstrap: str = "127.0.0.1:9092", topic: str = "images") -> None:
    """Equal `ce_source` and `ce_id` are the same image, however often they are sent."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.max.bytes": 30_000_000,
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
        on_delivery=lambda error, message: print(error or f"offset {message.offset()}"),
    )
    producer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
