"""Child taken over by a hostile image: it obeys the image, and its parent withstands it."""

import asyncio
import select
from functools import partial

import psutil
import pytest

from processors.errors import DecoderCrashed, DecoderTimeout, Truncated
from processors.preset import WEB, Preset, RenditionSpec
from processors.sandbox import seccomp
from tests.photos import encoded, jpeg, scene
from tests.processors.sandboxes import Start, misbehaving
from tests.processors.servers.obeying import order
from tests.waiting import until

GB = 10**9
LARGE = Preset(name="large", version=1, renditions=(RenditionSpec(name="it", format="png"),))


@pytest.fixture
def start(start: Start) -> Start:
    """Start function for sandboxes whose children obey their images."""
    return partial(start, misbehaving("obeying"))


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
    with pytest.raises(DecoderCrashed, match="broke the protocol"):
        await sandbox.process(jpeg() + order("announce", **said), preset)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_what_is_announced_and_does_not_come_takes_no_memory(start: Start) -> None:
    """Rendition that is announced and never sent, as large as the limits allow: 50 megapixels."""
    sandbox = await start(sandbox_wall_seconds=2, max_side=65_000, max_output_bytes=400_000_000)
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
    # The child sleeps, so the machine is not busy, and another try would end in the same way.
    with pytest.raises(DecoderTimeout, match="the decoder slept"):
        running.result()
    assert peak - before < 100_000_000


@pytest.mark.parametrize("name", ["doze", "drip"])
async def test_a_child_that_works_now_and_then_is_not_tried_for_ever(
    start: Start, name: str
) -> None:
    """No retry: the same bytes would have the same effect each time, and block their partition."""
    sandbox = await start(sandbox_wall_seconds=2)
    with pytest.raises(DecoderTimeout, match="the decoder slept"):
        await sandbox.process(jpeg() + order(name, made={"size": 60_000}), WEB)


async def test_a_child_that_never_stops_writing_meets_its_time_limit(start: Start) -> None:
    """Other tasks get turns meanwhile. Regression: reading bytes as they arrived left them none."""
    sandbox = await start(sandbox_timeout_seconds=1, max_side=65_000, max_output_bytes=400_000_000)
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
    # The child writes up to 390 MB within its second: a turn for every second megabyte.
    assert turns > 200


async def test_an_answer_before_the_request_is_not_taken_for_it(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = await start()
    first = await sandbox.process(jpeg() + order("early", seconds=0.1), WEB)
    assert first.facts.width == 640
    (pid,) = sandbox.pids
    line = sandbox.children.seated[0].channel.conversation
    # The second answer is in the socket before the next request is sent.
    await asyncio.get_running_loop().run_in_executor(None, _wait_readable, line.fileno())
    # The child was killed, and another one answers.
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert sandbox.pids != [pid]
    assert "broke the protocol" in caplog.text


async def test_a_reply_of_many_faults_takes_few_lines_of_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Reply with 20,000 faults: their texts would be 4 MB, made while the event loop is blocked."""
    sandbox = await start()
    reply = {"kind": "answer", "renditions": [0] * 20_000}
    with pytest.raises(DecoderCrashed, match="broke the protocol"):
        await sandbox.process(jpeg() + order("say", reply=reply), WEB)
    assert "broke the protocol" in caplog.text
    assert len(caplog.text) < 20_000


def _wait_readable(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 30)[0]


async def test_a_page_is_no_picture(start: Start) -> None:
    sandbox = await start()
    with pytest.raises(DecoderCrashed, match="broke the protocol"):
        await sandbox.process(jpeg() + order("html"), WEB)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


@pytest.mark.parametrize(
    "lie", [{"limit": 10**400}, {"value": 10**400}, {"value": "a\x1b[2J"}, {"value": "x\0"}]
)
async def test_a_refusal_says_nothing_that_no_row_holds(
    start: Start, lie: dict[str, object]
) -> None:
    sandbox = await start()
    reply = {"kind": "refusal", "code": "truncated", "detail": "m"}
    with pytest.raises(Truncated):
        await sandbox.process(jpeg() + order("say", reply=reply), WEB)
    with pytest.raises(DecoderCrashed, match="broke the protocol"):
        await sandbox.process(jpeg() + order("say", reply=reply | lie), WEB)


def called(number: tuple[int, int | None], *arguments: int) -> bytes:
    numbers = dict(zip(("x86_64", "aarch64"), number, strict=True))
    return jpeg() + order("call", numbers=numbers, arguments=arguments)


FIRST_STEPS = ("execve", "execveat", "socket", "connect", "kill", "tkill", "sendmsg", "pidfd_open")


async def test_first_steps_of_an_intruder_are_deadly_and_counted(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = await start()
    numbers = {name: seccomp.DEADLY[name] for name in FIRST_STEPS}
    # `clone` with the flags that glibc uses to fork, and a signal to another process.
    steps = [called(each, 0, 0, 0) for each in numbers.values()]
    steps += [called(seccomp.CLONE, 0x1200011), called(seccomp.TGKILL, 1, 1, 6)]
    for step in steps:
        with pytest.raises(DecoderCrashed) as died:
            await sandbox.process(step, WEB)
        assert died.value.value == "SIGSYS"
    assert sandbox.protections["intrusions"] == len(steps)
    errors = [vars(each) for each in caplog.records if each.levelname == "ERROR"]
    assert [each.get("how") for each in errors] == ["SIGSYS"] * len(steps)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_an_intruder_that_waits_for_its_answer_is_counted(start: Start) -> None:
    sandbox = await start()
    numbers = dict(zip(("x86_64", "aarch64"), seccomp.DEADLY["execve"], strict=True))
    done = await sandbox.process(jpeg() + order("late", numbers=numbers), WEB)
    assert done.facts.width == 640
    await until(lambda: not sandbox.children.seated[0].usable)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    await until(lambda: sandbox.protections["intrusions"] == 1)


async def test_arguments_that_decoders_do_not_use_are_refused(start: Start) -> None:
    sandbox = await start()
    narrowed = {name: call.numbers for name, call in seccomp.NARROWED.items()}
    for step in (
        called(narrowed["sendto"], 1, 0, 0, 1),  # MSG_OOB
        called(narrowed["recvfrom"], 1, 0, 0, 1),
        called(narrowed["futex"], 0, 6),  # FUTEX_LOCK_PI
        called(narrowed["madvise"], 0, 0, 12),  # MADV_MERGEABLE
        called(seccomp.MMAP, 0, 4096, 3, 0x121, -1, 0),  # MAP_SHARED and MAP_GROWSDOWN
    ):
        with pytest.raises(Truncated, match="EPERM"):
            await sandbox.process(step, WEB)
    assert sandbox.protections["intrusions"] == 0


async def test_the_file_of_the_image_cannot_be_made_writable(start: Start) -> None:
    sandbox = await start()
    with pytest.raises(Truncated, match="EACCES"):
        await sandbox.process(jpeg() + order("unlock"), WEB)


async def test_threads_are_for_heic_and_end_with_it(start: Start) -> None:
    """Threads only in children for HEIC, whose decoder needs them; such a child ends after it."""
    sandbox = await start(allow_heic=True)
    with pytest.raises(Truncated, match="refused"):
        await sandbox.process(jpeg() + order("thread"), WEB)
    (pid,) = sandbox.pids
    heic = encoded(scene(width=64, height=48), "heic")
    with pytest.raises(Truncated, match="done"):
        await sandbox.process(heic + order("thread"), WEB)
    assert (await sandbox.process(heic, WEB)).facts.format == "heic"
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert pid not in sandbox.pids
    with pytest.raises(Truncated, match="refused"):
        await sandbox.process(jpeg() + order("thread"), WEB)


async def test_what_breaks_the_protocol_is_counted(start: Start) -> None:
    sandbox = await start()
    with pytest.raises(DecoderCrashed):
        await sandbox.process(jpeg() + order("html"), WEB)
    assert sandbox.protections["intrusions"] == 1
