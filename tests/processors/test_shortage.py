"""Shortage of memory, threads or files: no image is rejected, and its sender may retry."""

import asyncio
import contextlib
import dataclasses
import errno
import os
import resource
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import psutil
import pytest
from PIL import Image

from lake.commit.records import Committer
from lake.lake import Commit, Lake
from lake.settings import LakeSettings
from lake.shortage import is_shortage
from processors.codecs import codec
from processors.codecs.formats import sniff
from processors.codecs.header_readers import read_header
from processors.errors import DecoderMemory, Overloaded, Refused, Undecodable
from processors.image import Image as Pixels
from processors.job import ImageJob, by_key
from processors.preset import ARCHIVE, WEB
from processors.settings import Limits, ProcessorSettings
from processors.worker import Worker
from tests.photos import encoded, jpeg
from tests.processors.sandboxes import Start, alive, fork_server, misbehaving
from tests.waiting import until

SHORTAGES = {
    "memory": MemoryError(),
    "memory, by the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "processes": BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    "files": OSError(errno.EMFILE, "Too many open files"),
    "threads": RuntimeError("can't start new thread"),
}


def job(key: str) -> ImageJob:
    data = np.frombuffer(jpeg(), np.uint8)
    return ImageJob("acme", "kafka", by_key(key), data, ARCHIVE, datetime.now(UTC))


async def test_of_neither_door_an_image_fails_for_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = Worker(lake, await start(), ProcessorSettings())
    for name, error in SHORTAGES.items():

        async def short(*_: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(Committer, "put", short)
            with pytest.raises(Overloaded):
                await worker.handle(job(name))
            (slot,) = await worker.handle_many([job(name)])
        assert isinstance(slot, Overloaded)
        (done,) = await worker.handle_many([job(name)])
        assert isinstance(done, Commit)


def test_other_faults_are_none() -> None:
    assert not is_shortage(ValueError("no column is like this"))
    assert not is_shortage(OSError(errno.EIO, "Input/output error"))
    assert not is_shortage(RuntimeError("a coroutine was awaited twice"))
    caused = KeyError("record")
    caused.__cause__ = MemoryError()
    assert is_shortage(caused)


@contextlib.contextmanager
def limited(pid: int, what: int, value: int) -> Iterator[None]:
    """Lower a resource limit of a process within the context."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


async def test_a_fork_server_that_may_not_fork_loses_no_child(start: Start) -> None:
    """Regression: a fork server that may not fork died with all its children, 3 times a second."""
    sandbox = await start(misbehaving("limited"), sandbox_children=2, sandbox_spares=0)
    server, (first, second) = fork_server(sandbox), sandbox.pids
    with limited(server, resource.RLIMIT_NPROC, 1):
        os.kill(first, signal.SIGKILL)
        results = await asyncio.gather(
            *(sandbox.process(jpeg(), WEB) for _ in range(6)), return_exceptions=True
        )
        # One image found no child and may be retried; the remaining child processes the others.
        assert [type(each).__name__ for each in results].count("Processed") >= 5
        assert not any(isinstance(each, Refused) for each in results)
        assert alive(second)
        assert fork_server(sandbox) == server
    await until(lambda: first not in sandbox.pids)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_a_child_that_is_short_with_the_machine_refuses_nothing(start: Start) -> None:
    limit = 600_000_000
    sandbox = await start(sandbox_memory_bytes=limit)
    large = encoded(Image.new("RGBA", (7000, 7000)), "png")
    addresses = psutil.Process().memory_info().vms + limit // 2
    with (
        limited(os.getpid(), resource.RLIMIT_AS, addresses),
        pytest.raises(Overloaded, match="short of memory"),
    ):
        await sandbox.process(large, WEB)
    # On a machine with enough memory, the child's limit is the reason for the refusal.
    with pytest.raises(DecoderMemory) as refused:
        await sandbox.process(large, WEB)
    assert refused.value.limit == limit


def test_a_decoder_that_says_nothing_of_memory() -> None:
    data = encoded(Image.new("RGB", (64, 64), "red"), "avif")
    broken = data[:-40] + bytes(40)
    header = read_header(broken, sniff(broken[:1024]), Limits())
    with pytest.raises(Undecodable):
        codec.decode(header)
    # More pixels than the machine has memory for.
    with pytest.raises(MemoryError):
        codec.decode(dataclasses.replace(header, width=1 << 28, height=1 << 28))


@pytest.mark.parametrize("output", codec.OUTPUTS)
def test_an_encoder_that_writes_nothing_had_no_memory(
    monkeypatch: pytest.MonkeyPatch, output: codec.OutputFormat
) -> None:
    image = Pixels(np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr("cv2.imencode", lambda *_: (False, np.empty(0, np.uint8)))
    with pytest.raises(MemoryError):
        codec.encode(image, output, 80)
