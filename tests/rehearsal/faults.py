"""Faults of a running cluster; each step makes one under a counted load, and ends it.

Each step can run alone. It leaves two healthy workers and everything connected. The last step
counts the rows of all faults.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.rehearsal.counts import Counted, Counts, check_rows
from tests.rehearsal.load import Load
from tests.rehearsal.network import DATABASE, KAFKA, STORE
from tests.rehearsal.servers import wait_for
from tests.rehearsal.stage import API_PORT, Stage
from tests.rehearsal.task import Task

_BOTH = ("a-worker1", "a-worker2")
# Longer than the store's own time-outs would need to hide the fault.
_CUT_SECONDS = 30
# Longer than the silence limit of the client, so that an upload in it needs a second try.
_FROZEN_SECONDS = 65
# Longer than the head needs to declare a node dead.
_DEAD_SECONDS = 75
_SEALER = "ray::ServeReplica:lake:Sealer"
_UPLOADS = "ray::ServeReplica:api:UploadApi"

_counted: list[Counts] = []


def _last(seconds: float) -> None:
    """Let a fault last: its length is part of the fault, so no condition may end it earlier."""
    time.sleep(seconds)


@contextmanager
def _under_load(stage: Stage, load: Load, name: str) -> Iterator[Counted]:
    """Counted load in place of the plain one, on two healthy workers; nothing may be given up."""
    stage.wait_healthy(*_BOTH)
    with load.paused(), Counted(stage, name) as counted:
        _counted.append(counted.counts)
        counted.go_on()
        yield counted
        counted.go_on()
    assert not counted.counts.gave_up, f"{counted.counts}: {counted.counts.gave_up[:3]}"


def a_worker_is_cut_off_from_its_head(stage: Stage, load: Load) -> str:
    """The worker leaves the balancer, and ends with exit code 1."""
    task = stage.tasks["a-worker2"]
    with _under_load(stage, load, "worker cut off from head") as counted:
        with stage.network.cut("a-worker2", stage.address("a-head")):
            out = stage.wait_healthy("a-worker1", seconds=90)
            ended = out + wait_for(lambda: not task.runs, "its end", seconds=90)
        assert task.code == 1, f"exit code {task.code}"
        counted.go_on()
        stage.replace("a-worker2", "worker")
    stage.wait_healthy(*_BOTH)
    return f"out after {out:.0f} s, ended after {ended:.0f} s; {counted.counts}"


def a_worker_is_cut_off_from_the_store(stage: Stage, load: Load) -> str:
    """The worker stays in the balancer, uploads are repeated, and its /readyz names the store."""
    with (
        _under_load(stage, load, "worker cut off from store") as counted,
        stage.network.cut("a-worker2", STORE),
    ):
        part = _wait_for_readyz(stage, "a-worker2", ready=False)
        assert "store" in part["detail"], part
        other = _wait_for_readyz(stage, "a-worker1", ready=True)
        _last(_CUT_SECONDS)
        assert stage.balancer.healthy() == set(_BOTH)
    seconds = _until_ready(stage, "a-worker2")
    assert other["node"] != part["node"], "both nodes were answered for by one replica"
    return f"{part['detail']!r}; ready again after {seconds:.0f} s; {counted.counts}"


def a_worker_is_cut_off_from_the_accounts(stage: Stage, load: Load) -> str:
    """Known keys are accepted without the accounts' database."""
    with (
        _under_load(stage, load, "worker cut off from accounts") as counted,
        stage.network.cut("a-worker2", DATABASE),
    ):
        _last(_CUT_SECONDS)
    return str(counted.counts)


def the_consumer_is_cut_off_from_kafka(stage: Stage, load: Load) -> str:
    """Uploads do not notice; messages are read after the cut."""
    with (
        _under_load(stage, load, "consumer cut off from Kafka") as counted,
        stage.network.cut("a-ingest", KAFKA),
    ):
        _last(_CUT_SECONDS)
    head = stage.tasks["a-head"]
    seconds = wait_for(lambda: head.says("BacklogPerWorker", "ingest"), "a backlog", seconds=90)
    return f"the head knew the backlog (waited {seconds:.0f} s); {counted.counts}"


def a_raylet_is_stopped(stage: Stage, load: Load) -> str:
    """Replicas serve without Ray's node process."""
    task = stage.tasks["a-worker2"]
    with (
        _under_load(stage, load, "raylet stopped") as counted,
        task.frozen(task.find("/raylet/raylet")),
    ):
        _last(_CUT_SECONDS)
        assert stage.balancer.healthy() == set(_BOTH)
    return str(counted.counts)


def an_upload_replica_is_stopped(stage: Stage, load: Load) -> str:
    """An upload in it costs its client one try of 52 s, and succeeds in a second one."""
    task = stage.tasks["a-worker2"]
    with (
        _under_load(stage, load, "upload replica stopped") as counted,
        task.frozen(*task.found(_UPLOADS)),
    ):
        _last(_FROZEN_SECONDS)
    return str(counted.counts)


def the_sealer_is_stopped(stage: Stage, load: Load) -> str:
    """Ray replaces the sealer; rows come late and once."""
    task = stage.tasks["a-ingest"]
    old = task.find(_SEALER)
    with _under_load(stage, load, "sealer stopped") as counted, task.frozen(old):
        seconds = wait_for(
            lambda: any(one.pid != old.pid for one in task.found(_SEALER)),
            "another sealer",
            seconds=180,
        )
    return f"replaced after {seconds:.0f} s; {counted.counts}"


def the_scratch_folder_is_full(stage: Stage, load: Load) -> str:
    """The node leaves the balancer, and is back once there is space."""
    task = stage.tasks["a-worker2"]
    with _under_load(stage, load, "scratch full") as counted:
        before = _memory(task)
        with task.full_scratch():
            out = stage.wait_healthy("a-worker1", seconds=60)
            _last(_CUT_SECONDS)
        back = stage.wait_healthy(*_BOTH, seconds=60)
        counted.go_on()
        grown = (_memory(task) - before) / 1e6
    return f"out after {out:.0f} s, back after {back:.0f} s, {grown:+.0f} MB; {counted.counts}"


def the_store_pulses(stage: Stage, load: Load) -> str:
    """The store stands for 4 s and answers for 1.5 s, several times."""
    with _under_load(stage, load, "store in pulses") as counted:
        for _ in range(5):
            stage.store.pause()
            _last(4)
            stage.store.resume()
            _last(1.5)
    return str(counted.counts)


def the_store_is_killed(stage: Stage, load: Load) -> str:
    """Uploads get 503 and are repeated until the store is back."""
    with _under_load(stage, load, "store killed") as counted:
        stage.store.kill()
        _last(_CUT_SECONDS)
        stage.store.start()
    return str(counted.counts)


def a_node_is_frozen(stage: Stage, load: Load) -> str:
    """The node leaves the balancer, its uploads succeed elsewhere, and it ends once it runs on."""
    task = stage.tasks["a-worker2"]
    with _under_load(stage, load, "node frozen") as counted:
        with task.frozen():
            out = stage.wait_healthy("a-worker1", seconds=60)
            _last(_DEAD_SECONDS - out)
        ended = wait_for(lambda: not task.runs, "its end", seconds=120)
        assert task.code not in (None, 0), f"exit code {task.code}"
        stage.replace("a-worker2", "worker")
    stage.wait_healthy(*_BOTH)
    return f"out after {out:.0f} s, ended {ended:.0f} s after it thawed; {counted.counts}"


def every_image_of_the_faults_has_one_row(stage: Stage, _: Load) -> str:
    """Nothing acknowledged or settled is missing or doubled."""
    return check_rows(stage, _counted)


FAULTS = (
    a_worker_is_cut_off_from_the_store,
    a_worker_is_cut_off_from_the_accounts,
    the_consumer_is_cut_off_from_kafka,
    a_raylet_is_stopped,
    the_scratch_folder_is_full,
    the_store_pulses,
    the_store_is_killed,
    an_upload_replica_is_stopped,
    the_sealer_is_stopped,
    a_worker_is_cut_off_from_its_head,
    a_node_is_frozen,
)
"""steps that make a fault, short ones first"""


def _wait_for_readyz(stage: Stage, host: str, *, ready: bool) -> dict[str, Any]:
    """Wait until /readyz of a node says so of its API; return this part, with the node's name."""
    answered: dict[str, Any] = {}

    def says() -> bool:
        url = f"http://{stage.address(host)}:{API_PORT}/readyz"
        body = httpx.get(url, timeout=10).json()
        answered.update({"detail": ""} | body["parts"]["api"] | body["answered_by"])
        return bool(answered["ready"]) == ready

    wait_for(says, f"/readyz of {host}", (httpx.HTTPError, KeyError, ValueError))
    return answered


def _until_ready(stage: Stage, host: str) -> float:
    began = time.monotonic()
    _wait_for_readyz(stage, host, ready=True)
    return time.monotonic() - began


def _memory(task: Task) -> int:
    """Bytes of the upload replica."""
    return sum(one.memory_info().rss for one in task.found(_UPLOADS))
