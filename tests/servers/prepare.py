"""Fetch and build the servers and image corpora of the tests once, before pytest.

Downloads and builds would exceed a test's time limit.

`python -m tests.servers.prepare` prints what it did and how long it took, or what is unavailable.
"""

import sys
import time
from collections.abc import Callable

from pixlake_server.embedded.jars import kafka_jars
from tests.corpora import CORPORA, folder_of
from tests.servers.kafka import download_locked, kafka_available
from tests.servers.s3 import s3_available, s3_binary


def prepare(name: str, unavailable: str | None, fetch: Callable[[], object]) -> None:
    """Run `fetch` unless the server is unavailable, and print the result."""
    if unavailable is not None:
        sys.stdout.write(f"{name}: none here, {unavailable}; its tests will be skipped\n")
        return
    started = time.monotonic()
    fetch()
    sys.stdout.write(f"{name}: ready, {time.monotonic() - started:.1f} s\n")


if __name__ == "__main__":
    prepare("Apache Kafka", kafka_available(), lambda: kafka_jars(download_locked))
    prepare("S3 server", s3_available(), s3_binary)
    prepare("Odd images", None, lambda: [folder_of(each) for each in CORPORA])
