"""Steps of the rehearsal in their order; each returns its observations or raises AssertionError."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, Producer, TopicPartition

from lake.layout import LAKE_IMAGES
from tests.photos import photographs
from tests.rehearsal.load import Load
from tests.rehearsal.servers import BUCKET, wait_for
from tests.rehearsal.stage import PARTITIONS, START_SECONDS, TOPIC, Stage

_CREATED = "201"
_ANSWERED = "request answered"
_MESSAGES = 12
# A window of a minute, and its sealing.
_SEALED_SECONDS = 240
# Number of uploads in about half a minute.
_CALM = 400


def both_doors_take_images(stage: Stage, load: Load) -> str:
    """The list of images has uploads through the balancer and messages through Kafka."""
    mark = load.mark()
    wait_for(lambda: load.since(mark)[_CREATED] >= 20, "20 uploads", seconds=120)
    _produce(stage)
    client = _client(stage)
    seconds = wait_for(
        lambda: _from_kafka(client) >= _MESSAGES, "images from Kafka", (KeyError,), START_SECONDS
    )
    return f"{_counts(load.since(mark))}; {_MESSAGES} Kafka images listed after {seconds:.0f} s"


def roles_reach_what_they_may(stage: Stage, _: Load) -> str:
    """Try the tasks' credentials from outside the tasks: each has the rights of its role only."""
    tried = 0
    for user, verb, key, allowed in (
        ("worker", "put_object", "images/rehearsal/x", True),
        ("worker", "put_object", "lake/images/x.parquet", False),
        ("worker", "delete_object", "journal/x", False),
        ("worker", "delete_object", "rejections/x", False),
        ("worker", "put_object", "presets/rehearsal-x", True),
        ("worker", "delete_object", "presets/rehearsal-x", False),
        ("worker", "put_object", "elsewhere/x", False),
        ("ingest", "put_object", "lake/images/x", True),
        ("ingest", "put_object", "presets/web.json", False),
        # The audit looks for the versions that records name.
        ("ingest", "get_object", "presets/web.json", True),
    ):
        client = stage.store.client(stage.store.users[user])
        body = {"Body": b"x"} if verb == "put_object" else {}
        code = _refusal(lambda: getattr(client, verb)(Bucket=BUCKET, Key=key, **body))  # noqa: B023
        assert (code == "AccessDenied") != allowed, f"{user} {verb} {key}: {code}"
        tried += 1
    admin = stage.store.client(stage.store.admin)
    for key in ("images/rehearsal/x", "lake/images/x", "presets/rehearsal-x"):
        admin.delete_object(Bucket=BUCKET, Key=key)
    for user in ("worker", "ingest"):
        client = stage.store.client(stage.store.users[user])
        code = _refusal(lambda: client.put_bucket_policy(Bucket=BUCKET, Policy="{}"))  # noqa: B023
        assert code == "AccessDenied", f"{user} put_bucket_policy: {code}"
        tried += 1
    return (
        f"{tried} requests to S3 as the templates' statements say (KMS and Kafka: in deploy-check)"
    )


def an_upload_is_in_the_log(stage: Stage, _: Load) -> str:
    """The lines of an upload and of a refusal are on the standard output of their worker."""
    client = _client(stage)
    for body, status in ((photographs()[0].read_bytes(), 201), (b"no image", 415)):
        answer = client.post(
            "/v1/images", content=body, headers={"Idempotency-Key": uuid.uuid4().hex}
        )
        assert answer.status_code == status, answer.text
        request_id = answer.headers["x-request-id"]
        wait_for(lambda: bool(_logged(stage, request_id)), "a line of the request", seconds=30)  # noqa: B023
        [line] = [one for one in _logged(stage, request_id) if one["message"] == _ANSWERED]
        assert (line["cell"], line["node_kind"], line["status"]) == ("a", "worker", status), line
        assert line["tenant"] == "default"
        assert bool(line["code"]) == (status != 201), line  # created
    return f"fields: {', '.join(line)}"


def an_image_is_erased_under_the_roles(stage: Stage, _: Load) -> str:
    """A worker may erase an image, and an ingest node may audit the lake afterwards."""
    client = _client(stage)
    photo = photographs()[0].read_bytes()
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": uuid.uuid4().hex}
    image = client.post("/v1/images", content=photo, headers=headers).json()["image_id"]
    erased = client.delete(f"/v1/images/{image}")
    assert erased.status_code == 204, erased.text
    assert client.get(f"/v1/images/{image}").status_code in {404, 410}
    admin = stage.store.client(stage.store.admin)
    entries = admin.list_objects_v2(Bucket=BUCKET, Prefix="audit-log/erasures/")["KeyCount"]
    assert entries, "the audit log has no entry"
    audit = stage.run("ingest", "audit")
    assert audit.code == 0, audit.tail()
    return f"erased, {entries} entries in the audit log, audit says {audit.tail(1)}"


def lost_rows_are_rebuilt_under_the_roles(stage: Stage, _: Load) -> str:
    """An ingest node may write all rows again, also those of a lost file; an audit follows."""
    admin = stage.store.client(stage.store.admin)

    def files() -> list[str]:
        listed = admin.list_objects_v2(Bucket=BUCKET, Prefix=f"{LAKE_IMAGES}/").get("Contents", [])
        return [one["Key"] for one in listed]

    wait_for(lambda: bool(files()), "a file of rows", seconds=_SEALED_SECONDS)
    lost = files()[0]
    admin.delete_object(Bucket=BUCKET, Key=lost)
    rebuild = stage.run("ingest", "rebuild", "--yes", "--everything")
    assert rebuild.code == 0, rebuild.tail()
    assert " 0 added" not in rebuild.tail(1), rebuild.tail()
    assert lost in files(), f"{lost} was not written again"
    audit = stage.run("ingest", "audit")
    assert audit.code == 0, audit.tail()
    return f"{lost} deleted; {rebuild.tail(1)}; then {audit.tail(1)}"


def nobody_joins_without_the_token(stage: Stage, _: Load) -> str:
    """The head refuses a host of its network that has Ray and its address, but no valid token."""
    probe = (
        "from ray._raylet import GcsClient; "
        "GcsClient(address='head-a.pixlake-large.internal:6379').internal_kv_keys(b'', None, 10)"
    )
    environment = {"PATH": "/usr/bin:/bin", "RAY_AUTH_MODE": "token", "GRPC_DNS_RESOLVER": "native"}
    done = subprocess.run(
        [*stage.network.command("a-ingest"), sys.executable, "-c", probe],
        env={**environment, "RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    refused = done.stdout + done.stderr
    assert done.returncode != 0, "it was let in"
    assert "AuthenticationError" in refused, refused[-500:]
    head = "http://head-a.pixlake-large.internal:8265/api/serve/applications/"
    seen = subprocess.run(
        [
            *stage.network.command("a-ingest"),
            *(sys.executable, "-c", f"import httpx; print(httpx.get('{head}').status_code)"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert seen.stdout.strip() in {"401", "403"}, seen.stdout + seen.stderr[-300:]
    return f"wrong token refused; dashboard without one: {seen.stdout.strip()}"


def an_intruder_is_told(stage: Stage, load: Load) -> str:
    """End decoders by SIGSYS, as after a forbidden call; the log of their node counts them."""
    task = stage.tasks["a-worker1"]
    mark, ended = load.mark(), task.end_decoders(signal.SIGSYS)
    assert ended, "no decoder was found"
    seconds = wait_for(lambda: task.told("Intrusions") > 0, "intrusions in the log", seconds=200)
    others = task.told("RefusalsOverturned"), stage.tasks["a-worker2"].told("Intrusions")
    assert others == (0, 0), f"{others} where nothing happened"
    return f"{task.told('Intrusions'):.0f} told after {seconds:.0f} s; {_counts(load.since(mark))}"


def a_worker_is_drained(stage: Stage, load: Load) -> str:
    """SIGTERM to a worker under load: it ends within the stop timeout, and no request fails."""
    mark = load.mark()
    ended, seconds = stage.tasks["a-worker2"].stop()
    seen = load.since(mark)
    assert ended, f"it had to be killed after {seconds:.0f} s"
    stage.end("a-worker2")
    stage.wait_healthy("a-worker1")
    wait_for(lambda: load.since(mark)[_CREATED] > seen[_CREATED] + 5, "uploads after it")
    _only_created(load.since(mark))
    return f"ended after {seconds:.0f} s; {_counts(load.since(mark))}"


def a_worker_is_killed(stage: Stage, load: Load) -> str:
    """SIGKILL of a worker under load: only its own requests fail, and retries would succeed."""
    stage.start("a-worker3", "worker")
    joined = stage.wait_healthy("a-worker1", "a-worker3")
    mark = load.mark()
    stage.end("a-worker3")
    seconds = stage.wait_healthy("a-worker1", seconds=60)
    after = load.mark()
    wait_for(lambda: load.since(after)[_CREATED] >= 20, "20 uploads after it", seconds=120)
    lost = sum(load.since(mark).values()) - load.since(mark)[_CREATED]
    late = sum(load.since(after).values()) - load.since(after)[_CREATED]
    assert late <= 3, f"{_counts(load.since(after))} after the balancer knew"
    return (
        f"a new one joined in {joined:.0f} s; out after {seconds:.0f} s, {lost} requests failed; "
        f"then {_counts(load.since(after))}"
    )


def the_head_is_killed_and_comes_back(stage: Stage, load: Load) -> str:
    """Workers serve without a head; a new head at another address finds the cluster again."""
    # The head notices the dead node of the last step after 15 to 20 s, because its connections were
    # reset; a node that vanishes silently is missed after 62 to 65 s. Without a head, the other
    # nodes would never learn of its death.
    wait_for(lambda: load.in_a_row >= _CALM, "uploads without a failure", seconds=180)
    mark = load.mark()
    stage.end("a-head")
    _produce(stage)
    # ECS takes about this long to notice the death of a head and to start another one.
    wait_for(lambda: load.since(mark)[_CREATED] >= 60, "60 uploads without a head", seconds=180)
    without = load.since(mark)
    _only_created(without)
    stage.start("a-head2", "head")
    began = time.monotonic()
    # A node that joins and gets replicas proves that the cluster works again as a whole.
    stage.start("a-worker2", "worker")
    stage.wait_healthy("a-worker1", "a-worker2")
    joined = time.monotonic() - began
    assert stage.tasks["a-ingest"].runs
    _only_created(load.since(mark))
    return (
        f"without a head {_counts(without)}; a new worker served {joined:.0f} s after the new head "
        f"began; all {_counts(load.since(mark))}"
    )


def new_code_takes_over_by_weights(stage: Stage, load: Load) -> str:
    """Cell b, with its own Ray, takes 10 %, 50 %, then all requests; cell a is drained."""
    mark = load.mark()
    for host, kind in (("b-head", "head"), ("b-worker1", "worker"), ("b-ingest", "ingest")):
        stage.start(host, kind)
    stage.wait_healthy("a-worker1", "a-worker2", "b-worker1")
    _produce(stage)
    for weight in (10, 50, 100):
        stage.balancer.weigh(weight)
        step = load.mark()
        wait_for(lambda: load.since(step)[_CREATED] >= 20, "20 uploads", seconds=120)  # noqa: B023
    for host in ("a-worker1", "a-worker2", "a-ingest", "a-head2"):
        ended, seconds = stage.tasks[host].stop()
        assert ended, f"{host} had to be killed after {seconds:.0f} s"
        stage.end(host)
    stage.wait_healthy("b-worker1")
    _only_created(load.since(mark))
    return f"weights 10, 50, 100, then cell a stopped: {_counts(load.since(mark))}"


def nothing_acknowledged_is_lost(stage: Stage, load: Load) -> str:
    """Cell b returns each acknowledged upload, and the group has committed all messages."""
    client = _client(stage)
    acknowledged = list(load.acknowledged)
    missing = [one for one in acknowledged if client.get(f"/v1/images/{one}").status_code != 200]
    assert not missing, f"{len(missing)} of {len(acknowledged)} are gone"
    seconds = wait_for(
        lambda: _committed(stage) == stage.produced, f"{stage.produced} messages committed"
    )
    return (
        f"{len(acknowledged)} acknowledged uploads read back; all {stage.produced} messages of "
        f"three steps committed (waited {seconds:.0f} s)"
    )


def _client(stage: Stage) -> httpx.Client:
    return httpx.Client(
        base_url=stage.balancer.url,
        headers={"Authorization": f"Bearer {stage.key}"},
        timeout=60,
    )


def _logged(stage: Stage, request_id: str) -> list[dict[str, Any]]:
    """Lines of all tasks about a request."""
    return [
        json.loads(line)
        for task in stage.tasks.values()
        for line in task.log.read_text(errors="replace").splitlines()
        if request_id in line and line.startswith("{")
    ]


def _produce(stage: Stage) -> None:
    producer = Producer({"bootstrap.servers": stage.kafka.bootstrap})
    for number in range(_MESSAGES):
        producer.produce(TOPIC, photographs()[number % 6].read_bytes(), key=f"{number}")
    assert not producer.flush(30)
    stage.produced += _MESSAGES


def _committed(stage: Stage) -> int:
    """Number of messages that the group has committed."""
    group = Consumer({"bootstrap.servers": stage.kafka.bootstrap, "group.id": "pixlake"})
    places = group.committed([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
    group.close()
    return sum(max(0, one.offset) for one in places)


def _refusal(call: Callable[[], Any]) -> str:
    """Make a call to the store; return the error code, or `ok`."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


def _from_kafka(client: httpx.Client) -> int:
    answer = client.get("/v1/images", params={"limit": 200}).raise_for_status().json()
    return sum(one["source"] == "kafka" for one in answer["images"])


def _only_created(seen: Counter[str]) -> None:
    assert set(+seen) == {_CREATED}, _counts(seen)


def _counts(seen: Counter[str]) -> str:
    return ", ".join(f"{number} x {answer}" for answer, number in sorted((+seen).items()))
