"""Metrics of a sandbox."""

import asyncio
import os
import signal

import pytest

from processors.errors import DecoderCrashed, Undecodable
from processors.metrics import INCIDENTS, METRICS, samples
from processors.preset import WEB
from processors.sandbox.sandbox import Sandbox
from tests.photos import encoded, jpeg, scene
from tests.processors.sandboxes import Start
from tests.waiting import until


def values(sandbox: Sandbox) -> dict[tuple[str, ...], float]:
    return {(each.metric.name, *each.labels): each.value for each in samples(sandbox)}


async def test_each_image_is_counted_once_by_its_result(start: Start) -> None:
    sandbox = await start(sandbox_children=1)
    await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(3)))
    with pytest.raises(Undecodable):
        await sandbox.process(b"\xff\xd8\xff\xe0" + bytes(200), WEB)
    found = values(sandbox)
    assert found["pixlake_sandbox_images", "processed"] == 3
    assert found["pixlake_sandbox_images", "undecodable"] == 1
    assert found["pixlake_sandbox_wait",] > 0
    assert found["pixlake_sandbox_load",] == 0
    assert found["pixlake_sandbox_capacity",] == sandbox.capacity
    listed = {metric.name for metric in METRICS}
    assert {name for name, *_ in found} == listed


async def test_crashes_starts_and_ends_of_children_are_counted(start: Start) -> None:
    sandbox = await start(sandbox_children=1)
    before = values(sandbox)
    os.kill(sandbox.pids[0], signal.SIGSTOP)
    running = asyncio.create_task(sandbox.process(jpeg(), WEB))
    await until(lambda: sandbox.load == 1)
    os.kill(sandbox.pids[0], signal.SIGSEGV)
    os.kill(sandbox.pids[0], signal.SIGCONT)
    with pytest.raises(DecoderCrashed):
        await running
    # A GIF gets a new child, which ends after this image.
    await sandbox.process(encoded(scene(width=20, height=20), "gif"), WEB)
    await until(lambda: values(sandbox)["pixlake_decoders_retired",] >= 2)
    after = values(sandbox)
    assert (before["pixlake_decoder_crashes",], after["pixlake_decoder_crashes",]) == (0, 1)
    assert after["pixlake_sandbox_images", "decoder_crashed"] == 1
    assert after["pixlake_decoders_started",] > before["pixlake_decoders_started",]


async def test_every_incident_has_a_metric_and_stands_in_readyz(start: Start) -> None:
    sandbox = await start()
    assert sandbox.incidents.keys() == INCIDENTS.keys()
    assert sandbox.incidents.items() <= sandbox.protections.items()
    sandbox.refusals_overturned = 2
    sandbox.children.fork_client.intrusions = 1
    found = values(sandbox)
    assert (found["pixlake_intrusions",], found["pixlake_refusals_overturned",]) == (1, 2)
