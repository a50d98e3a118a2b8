"""SIGKILL of all processes under load: each acknowledged image is stored exactly once."""

import hashlib
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.end_to_end.running import NO_TLS, Pixlake
from tests.end_to_end.truth import check_stored, rows, seal, wait_for_rows
from tests.photos import encoded, scene
from tests.servers.streams import produce
from tests.waiting import wait_until

UPLOADS = 300
MESSAGES = 120
BATCHED = 300
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


class Batch:
    """Batch that curl sends while tar reads a folder; reads a line as soon as it comes."""

    def __init__(self, pixlake: Pixlake, folder: Path, run: str) -> None:
        tar = subprocess.Popen(["tar", "-c", "-C", folder, "."], stdout=subprocess.PIPE)
        headers = {
            **pixlake.headers,
            "Content-Type": "application/x-tar",
            "X-Pixlake-Meta-Run": run,
        }
        options = [part for pair in headers.items() for part in ("-H", ": ".join(pair))]
        self._curl = subprocess.Popen(
            ["curl", "-sNX", "POST", *options, "-T", "-", f"{pixlake.url}/v1/images:batch"],
            stdin=tar.stdout,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert tar.stdout is not None
        tar.stdout.close()
        self._tar = tar

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the whole lines, until the answer ends or breaks off."""
        assert self._curl.stdout is not None
        for line in self._curl.stdout:
            if line.endswith("}\n"):
                yield json.loads(line)
        self._curl.stdout.close()
        self._curl.wait()
        self._tar.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with photographs of different bytes."""
    photo = encoded(SMALL, quality=70)
    for number in range(BATCHED):
        (tmp_path / f"{number}.jpg").write_bytes(photo + str(number).encode())
    return tmp_path


def test_nothing_acknowledged_is_lost_or_doubled(pixlake: Pixlake, folder: Path) -> None:
    run, batch_run = uuid.uuid4().hex, uuid.uuid4().hex
    before = by_kafka(pixlake)
    with Load(pixlake, run) as load:
        photos = [encoded(SMALL, quality=50 + n % 40) for n in range(MESSAGES)]
        produce(pixlake.bootstrap, "images", photos)
        for name in ("UploadApi", "KafkaIngest", "ImageProcessor"):
            for replica in pixlake.processes(name):
                replica.kill()
        assert load.half.wait(120)
        batch = Batch(pixlake, folder, batch_run).lines()
        early = list(islice(batch, BATCHED // 10))
        pixlake.kill9()
        early += batch
        pixlake.restart()
        load.finish()

    assert BATCHED // 10 <= len(early) < BATCHED
    assert {line["outcome"] for line in early} == {"new"}
    again = {line["name"]: line for line in Batch(pixlake, folder, batch_run).lines()}
    assert len(again) == BATCHED
    assert {line["code"] for line in again.values()} == {None}
    for line in early:
        assert again[line["name"]] == {**line, "status": 200, "outcome": "replay"}
    wait_for_rows(pixlake, batch_run, BATCHED)
    batched = rows(pixlake, batch_run)
    check_stored(pixlake, batched)
    assert {row["image_id"] for row in batched} == {line["id"] for line in again.values()}

    wait_for_rows(pixlake, run, UPLOADS)
    found = rows(pixlake, run)
    check_stored(pixlake, found)
    assert {row["image_id"]: row["sha256"] for row in found} == load.acknowledged

    wait_until(lambda: by_kafka(pixlake) >= before + MESSAGES, 120)
    assert by_kafka(pixlake) == before + MESSAGES
    audit = pixlake.run("audit", "--json")
    assert audit.returncode == 0, audit.stdout


def by_kafka(pixlake: Pixlake) -> int:
    """Number of rows of images that came by Kafka in all runs."""
    seal(pixlake)
    sql = "SELECT count(*) AS n FROM images WHERE source = 'kafka'"
    return int(pixlake.run("query", sql, "--format", "csv").stdout.split()[-1])
