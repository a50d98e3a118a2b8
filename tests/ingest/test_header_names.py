"""Header names that are not UTF-8, from a producer in another language, on a real broker."""

import asyncio
import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

from ingest.kafka import headers_of
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running

_SECONDS = 40
# Kinds of arguments of `rd_kafka_producev`, and its flag to copy the value.
_END, _TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADER = 0, 1, 3, 4, 7, 9
_COPY = 2
_PRODUCER = 0


def send_raw(stage: Stage, value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Produce with librdkafka itself, whose Python wrapper takes text only as header names."""
    (path,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(path))
    for function in ("rd_kafka_conf_new", "rd_kafka_new"):
        getattr(library, function).restype = ctypes.c_void_p
    config = ctypes.c_void_p(library.rd_kafka_conf_new())
    servers = stage.bootstrap.encode()
    assert library.rd_kafka_conf_set(config, b"bootstrap.servers", servers, None, 0) == 0
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, config, None, 0))
    said: list[object] = [_TOPIC, stage.topic.encode(), _PARTITION, 0, _FLAGS, _COPY]
    said += [_VALUE, value, ctypes.c_size_t(len(value))]
    for name, content in headers:
        said += [_HEADER, name, content, ctypes.c_ssize_t(len(content))]
    assert library.rd_kafka_producev(client, *said, _END) == 0
    assert library.rd_kafka_flush(client, _SECONDS * 1000) == 0
    library.rd_kafka_destroy(client)


async def test_a_header_name_that_is_not_utf8_is_named_in_the_dead_letter(stage: Stage) -> None:
    """Also in a process that has read many headers, for which the interpreter has other code."""
    for _ in range(1000):
        headers_of(confluent_kafka.Message(headers=[("camera", b"7")]))
    workers = Workers()
    headers = [(b"camera", b"7"), (b"Gr\xf6\xdfe", b"4"), (b"pixlake-preset", b"web")]
    async with running(stage.settings(), workers.submit, workers.note):
        await asyncio.to_thread(send_raw, stage, b"photo", headers)
        await stage.send_values([b"next"])
        await stage.until_committed(2)
    assert workers.done_values == [b"next"]
    (letter,) = await stage.dead_letters(1)
    assert (letter.value, letter.headers["pixlake-dead-letter-code"]) == (
        b"photo",
        b"invalid_header",
    )
    detail = letter.headers["pixlake-dead-letter-detail"] or b""
    assert detail == rb"the name of a header is not UTF-8: b'Gr\xf6\xdfe'"
    assert letter.headers["pixlake-dead-letter-headers-omitted"] == b"true"
    assert "camera" not in letter.headers
    (refusal,) = workers.noted
    assert refusal.reason.detail == detail.decode()


async def test_header_values_are_any_bytes(stage: Stage) -> None:
    """Only names are text for the client; the value of a foreign header is not read at all."""
    workers = Workers()
    async with running(stage.settings(), workers.submit):
        await asyncio.to_thread(send_raw, stage, b"photo", [(b"camera", b"\xff\xfe")])
        await stage.until_committed(1)
    assert workers.done_values == [b"photo"]
