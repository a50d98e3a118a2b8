"""Loss of the first region: a standby reads, is promoted by the one command, and leads."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import ClientError
from confluent_kafka import Producer

from lake import layout
from lake.tables.rows import decode_chain_file
from tests.photos import photographs
from tests.rehearsal.account import Programs
from tests.rehearsal.load import Load
from tests.rehearsal.servers import BUCKET, wait_for
from tests.rehearsal.stage import TOPIC, Stage
from tests.rehearsal.standby import ECS, FIRST, PYTHON, SECOND, Standby

_UPLOADS = 40
_MESSAGES = 6
# A window of a minute, its sealing, and a cluster that has just begun.
_ROWS_SECONDS = 300
_FAILOVER_SECONDS = 1500
# Line of an audit's table.
_COUNT = re.compile(r"(?m)^(\w+) +(\d+)  ")


def the_standby_leads_after_a_loss(stage: Stage, load: Load) -> str:
    """Check that each copied image is read and has one row, before and after the promotion."""
    mark = load.mark()
    with Standby(stage) as standby:
        wait_for(lambda: load.since(mark)["201"] >= _UPLOADS, "uploads", seconds=120)
        _serves_and_refuses(stage, standby, load)
        acknowledged, copied = _lose_the_first_region(stage, standby, load)
        with load.paused():
            told = _promote(stage, standby)
            late = standby.copier.late(next(iter(copied.values())))
            assert late == "AccessDenied", f"a late copy: {late}"
            after = _takes_images(stage, standby)
            seconds = _has_one_row_each(standby, {*copied, *after})
            audited = _audit(standby)
    lost = len(acknowledged) - len(copied)
    return (
        f"{len(acknowledged)} acknowledged, {lost} of them not copied; {len(after)} after the "
        f"promotion; each has one row after {seconds:.0f} s; {told}; then the audit: {audited}"
    )


def _client(stage: Stage, standby: Standby) -> httpx.Client:
    return httpx.Client(
        base_url=standby.balancer.url,
        headers={"Authorization": f"Bearer {stage.key}"},
        timeout=60,
    )


def _serves_and_refuses(stage: Stage, standby: Standby, load: Load) -> None:
    """A standby that runs serves images, and writes nothing below what is copied to it."""
    image = load.acknowledged[0]
    with _client(stage, standby) as client:
        wait_for(lambda: client.get(f"/v1/images/{image}").status_code == 200, "a copy")
        wait_for(
            lambda: client.get(f"/v1/images/{image}/original").status_code == 200, "its pixels"
        )
        refused = (
            client.post("/v1/images", content=photographs()[0].read_bytes()),
            client.delete(f"/v1/images/{image}"),
        )
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "standby"), answer.text
        assert answer.headers["retry-after"] == "60"
    own = standby.copier.target_keys().keys() - standby.copier.copied
    assert not own, f"the standby has written {sorted(own)[:5]}"


def _lose_the_first_region(
    stage: Stage, standby: Standby, load: Load
) -> tuple[list[str], dict[str, str]]:
    """Kill its tasks and the copies; return what it acknowledged, and which records were copied."""
    standby.copier.end()
    for host in [*stage.tasks]:
        stage.end(host)
    acknowledged = [*load.acknowledged]
    here = standby.copier.target_keys()
    keys = {image: layout.record_key("default", image) for image in acknowledged}
    return acknowledged, {image: key for image, key in keys.items() if key in here}


def _promote(stage: Stage, standby: Standby) -> str:
    """Run the command of docs/aws.md, whose calls of AWS change this stage."""

    def answers(words: list[str]) -> tuple[int, str]:
        if Path(words[0]).name == "npx":
            return _deploy(standby, words[words.index("--app") + 2 :]), ""
        return 0, json.dumps(_aws(standby, words[words.index("json") + 1 :]))

    with Programs(stage.folder / "programs", answers) as programs:
        done = subprocess.run(
            [
                *(PYTHON, ECS / "failover.py", FIRST, SECOND, "--accounts", "restored"),
                *("--folder", standby.environments),
            ],
            env=os.environ | {"PATH": f"{programs.folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=_FAILOVER_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    lines = [line.split(" s  ") for line in done.stdout.splitlines() if " s  " in line]
    print(done.stdout, flush=True)
    return "; ".join(f"{after.strip()} s: {what}" for after, what in lines)


def _deploy(standby: Standby, stacks: list[str]) -> int:
    """Do what a deployment of these stacks changes; return the exit code of cdk."""
    if stacks == ["pixlake-large-replica"]:
        standby.allow()
    elif stacks[0].startswith("pixlake-large-"):
        return 1  # the region is lost
    elif stacks == ["pixlake-standby-cell-a"]:
        standby.roll()
    return 0


def _aws(standby: Standby, words: list[str]) -> dict[str, Any]:
    match words[1]:
        case "describe-services":
            service = {"status": "ACTIVE", "networkConfiguration": {}}
            return {"services": [service | {"capacityProviderStrategy": []}]}
        case "run-task":
            [override] = json.loads(words[-1])["containerOverrides"]
            standby.run(override["name"], override["command"])
            return {"tasks": [{"taskArn": "task/1"}]}
        case "describe-tasks":
            task = standby.commands[-1]
            if task.runs:
                return {"tasks": [{"lastStatus": "RUNNING"}]}
            standby.end_command()
            stopped = {"lastStatus": "STOPPED", "containers": [{"exitCode": task.code}]}
            return {"tasks": [stopped]}
        case "get-log-events":
            return {"events": [{"message": standby.commands[-1].tail()}]}
    return {}


def _takes_images(stage: Stage, standby: Standby) -> list[str]:
    """Send an image to each door of the new leader; return the ids."""
    producer = Producer({"bootstrap.servers": standby.kafka.bootstrap})
    for number in range(_MESSAGES):
        producer.produce(TOPIC, photographs()[number].read_bytes(), key=f"after-{number}")
    assert not producer.flush(30)
    with Load(standby.balancer.url, stage.key) as load:
        wait_for(lambda: load.answers["201"] >= _UPLOADS, "uploads", seconds=120)
    assert {*load.answers} == {"201"}, load.answers

    def listed() -> list[str]:
        with _client(stage, standby) as client:
            answer = client.get("/v1/images", params={"limit": 200}).raise_for_status().json()
        return [
            one["image_id"]
            for one in answer["images"]
            if one["source"] == "kafka" and one["image_id"] not in before
        ]

    before = {key.split("/")[3] for key in standby.copier.copied if key.startswith("images/")}
    wait_for(lambda: len(listed()) >= _MESSAGES, "images of Kafka", seconds=_ROWS_SECONDS)
    return [*load.acknowledged, *listed()]


def _has_one_row_each(standby: Standby, images: set[str]) -> float:
    """Wait until each image has a row in the second store; none may have two."""
    rows: Counter[str] = Counter()

    def sealed() -> bool:
        rows.clear()
        rows.update(_rows(standby))
        return images <= rows.keys()

    # A compaction may delete a file between the listing and the reading.
    seconds = wait_for(sealed, "rows", (ClientError,), _ROWS_SECONDS)
    doubled = [image for image in rows if rows[image] > 1]
    assert not doubled, f"{len(doubled)} images have two rows: {doubled[:3]}"
    return seconds


def _audit(standby: Standby) -> str:
    """Audit the second store: it lacks objects whose copies were cut off, and nothing else.

    S3 copies in no order, so a record may arrive before its pixels. Such an image is lost with the
    region, as one is whose record did not arrive.
    """
    audit = standby.run("ingest", ["audit"])
    standby.end_command()
    counts = {name: int(number) for name, number in _COUNT.findall(audit.tail(100))}
    assert "duplicate_row" in counts, audit.tail()
    found = {name for name, number in counts.items() if number}
    assert found <= {"missing_object"}, audit.tail()
    return f"{counts['missing_object']} objects had not arrived, all else is as promised"


def _rows(standby: Standby) -> Counter[str]:
    client = standby.store.client(standby.store.admin)
    found: Counter[str] = Counter()
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=BUCKET, Prefix=f"{layout.LAKE_IMAGES}/"):
        for one in page.get("Contents", ()):
            body = client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
            file = decode_chain_file(one["Key"], body, ["image_id"])
            found.update(file["image_id"].to_pylist())
    return found
