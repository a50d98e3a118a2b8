"""One tenant for each child: its memory, its lifetime, and the second check of its refusals."""

import logging
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pytest

from lake.lake import Commit, Lake
from lake.settings import LakeSettings
from processors.codecs.formats import Format
from processors.errors import Refused
from processors.job import ImageJob, Processed, by_key
from processors.preset import ARCHIVE, WEB, Preset
from processors.sandbox import decoder
from processors.sandbox.decoder import Decoder
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.photos import FORMAT_NAMES, FormatName, encoded, jpeg, scene
from tests.processors.sandboxes import Start, alive, misbehaving
from tests.processors.servers import adrift, probing
from tests.waiting import until

MARK = probing.PLANTED[::-1].encode()


async def test_a_child_serves_one_tenant(start: Start) -> None:
    sandbox = await start()
    pids = []
    for tenant in ("a", "a", "b", "b", "a"):
        assert (await sandbox.process(jpeg(), ARCHIVE, tenant)).facts.width == 640
        pids += sandbox.pids
    assert pids[0] == pids[1]
    assert pids[2] == pids[3]
    assert len(set(pids)) == 3, "a child that was replaced does not come back"
    await until(lambda: not any(alive(pid) for pid in set(pids) - set(sandbox.pids)))


async def test_an_idle_child_of_the_tenant_is_preferred(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    first = sandbox.pids
    for tenant in ("a", "b", "b", "a", "b", "a", "a"):
        await sandbox.process(jpeg(), ARCHIVE, tenant)
    assert sandbox.pids == first


@pytest.mark.parametrize("name", FORMAT_NAMES)
async def test_a_child_sees_one_image_of_most_formats(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: FormatName
) -> None:
    sandbox = await start()
    served, process = [], Decoder.process

    async def noted(self: Decoder, data: memoryview, preset: Preset, found: Format) -> Processed:
        served.append(self.pid)
        return await process(self, data, preset, found)

    monkeypatch.setattr(Decoder, "process", noted)
    photo, file = jpeg(), encoded(scene(width=64, height=48), name)
    for data in (photo, file, file, photo):
        await sandbox.process(data, ARCHIVE, "a")
    assert len(set(served)) == (1 if name in {"jpeg", "png", "webp"} else 4)
    await until(lambda: sandbox.pids == served[-1:])


async def test_memory_holds_nothing_of_the_image_before(start: Start) -> None:
    sandbox = await start(misbehaving("marked"), sandbox_timeout_seconds=100)
    large = jpeg(1400, 1000, quality=97) + MARK
    answers, pids = [], []
    for data, tenant in ((large, "a"), (jpeg(), "a"), (large, "a"), (jpeg(), "b")):
        made = await sandbox.process(data, WEB, tenant)
        answers.append(made.facts.details.icc_name)
        pids += sandbox.pids
    assert answers == ["marked", "clean", "marked", "clean"]
    assert pids[0] == pids[1] == pids[2] != pids[3]


async def test_where_memory_is_not_cleared_each_image_gets_a_child(start: Start) -> None:
    sandbox = await start(misbehaving("uncleared"))
    assert sandbox.protections["memory_cleared"] is False
    pids = set(sandbox.pids)
    for _ in range(3):
        await sandbox.process(jpeg(), ARCHIVE, "a")
        await until(lambda: sandbox.pids[0] not in pids)
        pids.update(sandbox.pids)
    assert len(pids) == 4


@pytest.mark.parametrize("order", ["lie", "crash"])
async def test_a_refusal_counts_once_a_new_child_repeats_it(
    start: Start,
    caplog: pytest.LogCaptureFixture,
    order: str,
) -> None:
    sandbox = await start(misbehaving("adrift", **{adrift.ORDER: order}))
    for _ in range(4):
        assert (await sandbox.process(jpeg(), ARCHIVE, "a")).facts.width == 640
    assert sandbox.refusals_overturned == 3, "each child's second image"
    assert sandbox.protections["refusals_overturned"] == 3
    said = [each for each in caplog.records if "refusal overturned" in each.message]
    assert [each.levelno for each in said] == [logging.ERROR] * 3


async def test_a_child_that_is_short_of_memory_is_no_liar(start: Start) -> None:
    """Shortage of memory is not counted as an overturned refusal, because each raises an alarm."""
    sandbox = await start(misbehaving("adrift", **{adrift.ORDER: "short"}))
    for _ in range(4):
        assert (await sandbox.process(jpeg(), ARCHIVE, "a")).facts.width == 640
    assert sandbox.refusals_overturned == 0


async def test_a_refusal_that_is_right_stays(start: Start) -> None:
    sandbox = await start()
    for _ in range(3):
        assert (await sandbox.process(jpeg(), ARCHIVE, "a")).facts.width == 640
        with pytest.raises(Refused) as refused:
            await sandbox.process(jpeg()[:-5000], ARCHIVE, "a")
        assert refused.value.code == "truncated"
    assert sandbox.refusals_overturned == 0


async def test_an_idle_child_that_works_is_ended(start: Start) -> None:
    sandbox = await start(misbehaving("adrift", **{adrift.ORDER: "burn"}))
    burning = sandbox.pids[0]
    await sandbox.process(jpeg(), ARCHIVE, "a")
    await until(lambda: not alive(burning))
    assert (await sandbox.process(jpeg(), ARCHIVE, "a")).facts.width == 640


async def test_a_child_that_keeps_memory_is_replaced(start: Start) -> None:
    sandbox = await start(misbehaving("adrift", **{adrift.ORDER: "keep"}))
    keeping = sandbox.pids[0]
    await sandbox.process(jpeg(), ARCHIVE, "a")
    await until(lambda: not alive(keeping))


async def test_a_child_that_dies_after_its_answer_costs_no_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pid: int) -> float:
        raise ProcessLookupError(pid)

    monkeypatch.setattr(decoder, "cpu_seconds", gone)
    sandbox = await start()
    for _ in range(3):
        before = sandbox.pids
        assert (await sandbox.process(jpeg(), ARCHIVE, "a")).facts.width == 640
        await until(lambda before=before: sandbox.pids != before)  # type: ignore[misc]


async def test_the_kernel_ends_children_first(start: Start) -> None:
    sandbox = await start()
    proc = Path("/proc") / str(sandbox.pids[0])
    assert (proc / "oom_score_adj").read_text() == "1000\n"
    assert sandbox.protections["killed_first"] is True


async def test_spares_stand_ready_and_end_with_the_sandbox(start: Start) -> None:
    sandbox = await start(sandbox_spares=2)
    await until(lambda: len(sandbox.children.spares) == 2)
    waiting = {each.pid for each in sandbox.children.spares}
    await sandbox.process(jpeg(), ARCHIVE, "a")
    await sandbox.process(jpeg(), ARCHIVE, "b")
    assert set(sandbox.pids) <= waiting
    await until(lambda: len(sandbox.children.spares) == 2)
    left = {each.pid for each in sandbox.children.spares}
    await sandbox.close()
    assert not any(psutil.pid_exists(pid) for pid in left)


async def test_children_are_kept_for_their_tenants_if_asked(start: Start) -> None:
    sandbox = await start(sandbox_kept=2)
    seen: dict[str, list[int]] = {}
    for tenant in ("a", "b", "c", "a", "b", "d", "e", "c"):
        await sandbox.process(jpeg(), ARCHIVE, tenant)
        seen.setdefault(tenant, []).extend(sandbox.pids)
    assert seen["a"][0] == seen["a"][1]
    assert seen["b"][0] == seen["b"][1]
    assert seen["c"][0] != seen["c"][1], "it was idle for longest"
    kept = [each.pid for each in sandbox.children.kept]
    assert kept == [seen["d"][0], seen["e"][0]]
    await sandbox.close()
    assert not any(psutil.pid_exists(pid) for pid in kept)


async def test_the_tenant_of_a_job_reaches_its_child(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: set[str] = set()
    bind = Decoder.bind

    def noted(self: Decoder, tenant: str, *, last: bool) -> None:
        bound.add(tenant)
        bind(self, tenant, last=last)

    monkeypatch.setattr(Decoder, "bind", noted)
    sandbox = await start(sandbox_children=2)
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = Worker(lake, sandbox, ProcessorSettings())
    tenants = ("a", "b", "a", "b")
    done = await worker.handle_many([_job(tenant, at) for at, tenant in enumerate(tenants)])
    assert [each.record.tenant for each in done if isinstance(each, Commit)] == list(tenants)
    assert bound == {"a", "b"}
    await worker.close()


def _job(tenant: str, number: int) -> ImageJob:
    return ImageJob(
        tenant=tenant,
        source="kafka",
        identity=by_key(str(number)),
        data=np.frombuffer(jpeg(), np.uint8),
        preset=ARCHIVE,
        received_at=datetime.now().astimezone(),
    )
