"""A child that a hostile image has taken over: it obeys the image, and its parent stands."""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest

from processors import nursery
from processors.errors import DecoderCrashed, DecoderTimeout, Truncated
from processors.preset import WEB, Preset, RenditionSpec
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.photos import jpeg
from tests.processors.sandboxes import until
from tests.processors.servers.obeying import order

Start = Callable[..., Awaitable[Sandbox]]
GB = 10**9
LARGE = Preset(name="large", version=1, renditions=(RenditionSpec(name="it", format="png"),))


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts sandboxes of one child that obeys; closes them."""
    monkeypatch.setattr(nursery, "_MODULE", "tests.processors.servers.obeying")
    opened: list[Sandbox] = []

    async def starting(**settings: object) -> Sandbox:
        chosen = ProcessorSettings.model_validate({"sandbox_children": 1, **settings})
        opened.append(await Sandbox.start(chosen))
        return opened[-1]

    yield starting
    for each in opened:
        await each.close()


@pytest.mark.parametrize(
    ("said", "preset"),
    [
        ({"made": {"size": 3 * GB, "width": 65_535, "height": 65_535}}, WEB),
        ({"made": {"size": 300_000_000}}, WEB),
        ({"made": {"size": 30_000_000, "width": 3000, "height": 2000}}, WEB),
        ({"made": {"size": 2 * GB, "width": 16_384, "height": 16_384}}, LARGE),
        ({"made": {"width": 65_535, "height": 1}, "answer": {"width": 65_535}}, LARGE),
    ],
)
async def test_a_rendition_larger_than_the_preset_makes_it_is_nonsense(
    start: Start, said: dict[str, object], preset: Preset
) -> None:
    sandbox = await start(sandbox_timeout_seconds=60)
    with pytest.raises(DecoderCrashed, match="nonsense"):
        await sandbox.process(jpeg() + order("announce", **said), preset)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_what_is_announced_and_does_not_come_takes_no_memory(start: Start) -> None:
    """As large as the limits allow: 50 megapixels and their bytes."""
    sandbox = await start(sandbox_timeout_seconds=2, max_side=65_000)
    said = {
        "made": {"size": 390_000_000, "width": 10_000, "height": 5000},
        "answer": {"width": 10_000, "height": 5000},
    }
    before = psutil.Process().memory_info().rss
    running = asyncio.create_task(sandbox.process(jpeg() + order("announce", **said), LARGE))
    await until(lambda: sandbox.load == 1)
    peak = 0
    while not running.done():
        peak = max(peak, psutil.Process().memory_info().rss)
        await asyncio.sleep(0.02)
    with pytest.raises(DecoderTimeout):
        running.result()
    assert peak - before < 100_000_000


async def test_a_child_that_never_stops_writing_meets_its_time_limit(start: Start) -> None:
    """Others have their turns meanwhile: with the bytes taken as they came there was none."""
    sandbox = await start(sandbox_timeout_seconds=1, max_side=65_000)
    said = {
        "made": {"size": 390_000_000, "width": 10_000, "height": 5000},
        "answer": {"width": 10_000, "height": 5000},
    }
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    with pytest.raises((DecoderTimeout, DecoderCrashed)):
        await sandbox.process(jpeg() + order("flood", **said), LARGE)
    beside.cancel()
    # More than one a megabyte.
    assert turns > 200


async def test_an_answer_before_the_request_is_not_taken_for_it(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = await start()
    first = await sandbox.process(jpeg() + order("early", seconds=0.1), WEB)
    assert first.facts.width == 640
    (pid,) = sandbox.pids
    line = sandbox._children.seated[0]._lines.conversation
    # The second answer lies on the line before anybody asks.
    await asyncio.get_running_loop().run_in_executor(None, _wait_readable, line.fileno())
    # That child is ended, and another one answers.
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert sandbox.pids != [pid]
    assert "broke the protocol" in caplog.text


def _wait_readable(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 30)[0]


async def test_a_page_is_no_picture(start: Start) -> None:
    sandbox = await start()
    with pytest.raises(DecoderCrashed, match="nonsense"):
        await sandbox.process(jpeg() + order("html"), WEB)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


@pytest.mark.parametrize(
    "lie", [{"limit": 10**400}, {"value": 10**400}, {"value": "a\x1b[2J"}, {"value": "x\0"}]
)
async def test_a_refusal_says_nothing_that_no_row_holds(
    start: Start, lie: dict[str, object]
) -> None:
    sandbox = await start()
    reply = {"kind": "refusal", "code": "truncated", "message": "m"}
    with pytest.raises(Truncated):
        await sandbox.process(jpeg() + order("say", reply=reply), WEB)
    with pytest.raises(DecoderCrashed, match="nonsense"):
        await sandbox.process(jpeg() + order("say", reply=reply | lie), WEB)
