"""Fuzzing of the sandbox: any bytes give a result or a refusal, and the sandbox goes on."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.codecs.formats import FORMATS, sniff
from processors.codecs.header_readers import read_header
from processors.errors import ProcessorError, Refused
from processors.job import Processed
from processors.preset import WEB
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.photos import FORMAT_NAMES, encoded, scene
from tests.processors import hostile

FILES = [encoded(scene(width=48, height=32), name) for name in FORMAT_NAMES]
FILES += [
    encoded(scene(width=48, height=32), "jpeg", orientation=6),
    encoded(scene(width=48, height=32).convert("RGBA"), "webp"),
    encoded(scene(width=48, height=32).convert("CMYK"), "jpeg"),
    hostile.png(4, 4),
    hostile.animated_png(),
]


@dataclass(frozen=True)
class Damage:
    """Replacement of `cut` bytes from `at` (a share of the file's length) by `put`."""

    at: float
    cut: int
    put: bytes

    def __call__(self, data: bytes) -> bytes:
        start = int(self.at * len(data))
        return data[:start] + self.put + data[start + self.cut :]


damages = st.builds(
    Damage,
    at=st.floats(0, 1),
    cut=st.integers(0, 400),
    put=st.binary(max_size=24) | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"]),
)


def damaged(data: bytes, done: list[Damage]) -> bytes:
    for damage in done:
        data = damage(data)
    return data


heads = st.sampled_from([each[:12] for each in FILES])
anything = st.one_of(
    st.binary(max_size=300),
    st.builds(
        bytes.__add__, st.sampled_from([each[:12] for each in FILES]), st.binary(max_size=300)
    ),
    st.builds(damaged, st.sampled_from(FILES), st.lists(damages, max_size=4)),
)

Process = Callable[[bytes], Processed]


@pytest.fixture(scope="module")
def run() -> Iterator[Process]:
    with asyncio.Runner() as runner:
        chosen = ProcessorSettings(sandbox_children=1, max_pixels=1_000_000)
        sandbox = runner.run(Sandbox.start(chosen))

        async def processed(data: bytes) -> Processed:
            async with asyncio.timeout(60):
                return await sandbox.process(data, WEB)

        yield lambda data: runner.run(processed(data))
        runner.run(sandbox.close())


@settings(max_examples=300, deadline=None)
@given(data=anything)
def test_any_bytes_are_processed_or_refused(run: Process, data: bytes) -> None:
    try:
        processed = run(data)
    except Refused:
        return
    assert processed.facts.format in FORMATS
    assert processed.facts.width * processed.facts.height <= 1_000_000
    assert all(each.data for each in processed.renditions)


@settings(max_examples=300, deadline=None)
@given(data=anything)
def test_any_header_is_read_or_refused(data: bytes) -> None:
    try:
        header = read_header(data, sniff(data), Limits())
    except ProcessorError:
        return
    assert min(header.displayed) >= 1
    assert 1 <= header.orientation <= 8


def test_the_sandbox_still_serves(run: Process) -> None:
    assert run(FILES[0]).facts.width == 48
