"""Chain of time limits from the store to the client: who asks waits longer than who answers."""

import re
from pathlib import Path

import pytest
from node import config, environment, health
from node.settings import NodeSettings

from lake.timing import TIMES
from pixlake.client.retries import Retries
from pixlake.client.try_limits import TryLimits
from pixlake_server.embedded import readiness
from pixlake_server.embedded.haproxy import write_launcher
from serve_app import health as serve_health
from serve_app.ray_surface.controller import CONFIGURATION
from serve_app.settings import ServeSettings

INFRA = Path(__file__).parents[2] / "deploy" / "ecs" / "infra"
FIELDS = NodeSettings.model_fields
SERVED, RETRIES = ServeSettings(), Retries()


def of_infra(file: str, name: str) -> float:
    """Number of a constant or an argument in a file of the stacks, which need packages of AWS."""
    [found] = re.findall(rf"\b{name} ?= ?(\d+)", (INFRA / file).read_text())
    return float(found)


def of_haproxy(name: str, folder: Path) -> float:
    """Seconds of a time-out in the configuration that a node writes."""
    write_launcher(folder, SERVED)
    [found] = re.findall(rf"timeout {name} (\d+)s", (folder / CONFIGURATION).read_text())
    return float(found)


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Every limit of the chain, by name, in seconds."""
    folder = tmp_path_factory.mktemp("haproxy")
    ready_of_client = TryLimits().timeout().read
    assert ready_of_client is not None
    return {
        "request to the store": (TIMES.request + TIMES.request_retries).total_seconds(),
        "answer of a replica": SERVED.answer_seconds,
        "silence of the client": RETRIES.try_silence,
        "two silent tries": 2 * RETRIES.try_silence,
        "deadline of the client": RETRIES.deadline,
        "HAProxy waits for a replica": of_haproxy("server", folder),
        "HAProxy waits for a client": of_haproxy("client", folder),
        "HAProxy keeps an idle connection": of_haproxy("http-keep-alive", folder),
        "the balancer closes an idle connection": of_infra("parts/balancer.py", "IDLE_SECONDS"),
        "the balancer lets requests end": of_infra("parts/balancer.py", "DRAIN_SECONDS"),
        "pause in a body": SERVED.body_idle_seconds,
        "body and answer": SERVED.body_total_seconds + SERVED.answer_seconds,
        "Serve's request": float(config.REQUEST_SECONDS),
        "readiness of one part": serve_health.PART_SECONDS,
        "/readyz": serve_health.LIMIT_SECONDS,
        "readiness for the client": ready_of_client,
        "readiness for the supervisor": readiness.ANSWER_SECONDS,
        "the node asks its API": health.ASK_SECONDS,
        "check of the balancer": of_infra("parts/balancer.py", "health_check_timeout_seconds"),
        "interval of checks": of_infra("parts/balancer.py", "health_check_interval_seconds"),
        "checks until a node is out": of_infra("parts/balancer.py", "unhealthy_threshold_count")
        * of_infra("parts/balancer.py", "health_check_interval_seconds"),
        "leaving of a node": FIELDS["leave_seconds"].default,
        "a cut-off node leaves": FIELDS["cut_off_seconds"].default,
        "a cut-off node is dead": float(environment.DEAD_SECONDS[0]),
        "a cut-off node is surely dead": float(environment.DEAD_SECONDS[1]),
        "a cut-off node ends": FIELDS["cut_off_seconds"].default
        + FIELDS["cut_off_leave_seconds"].default,
        "a node whose head is gone ends": float(FIELDS["reconnect_seconds"].default),
        "leaving and drain": of_infra("parts/task.py", "LEAVE_SECONDS")
        + of_infra("parts/task.py", "DRAIN_SECONDS"),
        "stop of a task": of_infra("parts/task.py", "STOP_SECONDS"),
    }


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        # An upload whose request to the store is repeated still gets the replica's own answer.
        ("request to the store", "answer of a replica"),
        # The client and HAProxy hear the replica's 503 `answer_timeout`.
        ("answer of a replica", "silence of the client"),
        ("answer of a replica", "HAProxy waits for a replica"),
        ("answer of a replica", "the balancer lets requests end"),
        # HAProxy's 504 with a code comes before the balancer's 504 without one.
        ("HAProxy waits for a replica", "the balancer closes an idle connection"),
        # A frozen replica costs one try, and a second one fits.
        ("two silent tries", "deadline of the client"),
        # The replica tells a client that its body pauses; HAProxy would only close.
        ("pause in a body", "HAProxy waits for a client"),
        # The balancer sends no request into a connection that HAProxy is closing.
        ("the balancer closes an idle connection", "HAProxy keeps an idle connection"),
        ("body and answer", "Serve's request"),
        # `/readyz` names the part that does not answer, before the one who asks gives up.
        ("readiness of one part", "/readyz"),
        ("/readyz", "readiness for the client"),
        ("/readyz", "readiness for the supervisor"),
        ("the node asks its API", "check of the balancer"),
        ("check of the balancer", "interval of checks"),
        # A node stops after the balancer has taken it out.
        ("checks until a node is out", "leaving of a node"),
        ("leaving and drain", "stop of a task"),
        # A node that is cut off leaves before it can be declared dead, because a dead node ends
        # without a drain as soon as it hears of it; it serves until no other node uses it.
        ("a cut-off node leaves", "a cut-off node is dead"),
        ("a cut-off node leaves", "a node whose head is gone ends"),
        ("a cut-off node is surely dead", "a cut-off node ends"),
    ],
)
def test_who_asks_waits_longer_than_who_answers(
    limits: dict[str, float], inner: str, outer: str
) -> None:
    assert limits[inner] < limits[outer]
