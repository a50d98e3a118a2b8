"""SIGKILL of all processes under load: each acknowledged image is stored exactly once."""

import hashlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import httpx

from tests.end_to_end.running import NO_TLS, Pixlake
from tests.end_to_end.truth import check_stored, rows, seal, wait_for_rows
from tests.photos import encoded, scene
from tests.servers.streams import produce
from tests.waiting import wait_until

UPLOADS = 300
MESSAGES = 120
# Small, because the test is not about decoding.
SMALL = scene(width=160, height=100)


class Load:
    """Uploads numbered photographs; each is retried until it is acknowledged."""

    def __init__(self, pixlake: Pixlake, run: str) -> None:
        self.pixlake = pixlake
        self.run = run
        self.acknowledged: dict[str, str] = {}
        self.half = threading.Event()
        self.stopped = threading.Event()
        self._photos = [encoded(SMALL, quality=60 + n) for n in range(8)]
        self._pool = ThreadPoolExecutor(8)
        self._uploads = [self._pool.submit(self._upload, n) for n in range(UPLOADS)]

    def finish(self) -> None:
        for upload in self._uploads:
            upload.result(timeout=240)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _upload(self, number: int) -> None:
        photo = self._photos[number % len(self._photos)]
        headers = {
            "Content-Type": "image/jpeg",
            "Idempotency-Key": f"{self.run}-{number}",
            "X-Pixlake-Meta-Run": self.run,
            **self.pixlake.headers,
        }
        while not self.stopped.is_set():
            try:
                answer = httpx.post(
                    f"{self.pixlake.url}/v1/images",
                    content=photo,
                    headers=headers,
                    timeout=30,
                    verify=NO_TLS,
                )
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.is_success:
                break
            assert answer is None or answer.status_code >= 500, answer.text
            self.stopped.wait(0.3)
        else:
            return
        self.acknowledged[answer.json()["image_id"]] = hashlib.sha256(photo).hexdigest()
        if len(self.acknowledged) > UPLOADS // 4:
            self.half.set()


def test_nothing_acknowledged_is_lost_or_doubled(pixlake: Pixlake) -> None:
    run = uuid.uuid4().hex
    before = by_kafka(pixlake)
    with Load(pixlake, run) as load:
        photos = [encoded(SMALL, quality=50 + n % 40) for n in range(MESSAGES)]
        produce(pixlake.bootstrap, "images", photos)
        for name in ("UploadApi", "KafkaIngest", "ImageProcessor"):
            for replica in pixlake.processes(name):
                replica.kill()
        assert load.half.wait(120)
        pixlake.kill9()
        pixlake.restart()
        load.finish()

    wait_for_rows(pixlake, run, UPLOADS)
    found = rows(pixlake, run)
    check_stored(pixlake, found)
    assert {row["image_id"]: row["sha256"] for row in found} == load.acknowledged

    wait_until(lambda: by_kafka(pixlake) >= before + MESSAGES, 120)
    assert by_kafka(pixlake) == before + MESSAGES


def by_kafka(pixlake: Pixlake) -> int:
    """Number of rows of images that came by Kafka in all runs."""
    seal(pixlake)
    sql = "SELECT count(*) AS n FROM images WHERE source = 'kafka'"
    return int(pixlake.run("query", sql, "--format", "csv").stdout.split()[-1])
