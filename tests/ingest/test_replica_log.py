"""Log of a real replica's process: level, logger and fields of each message, in Serve's file."""

import json
import subprocess
import sys
from pathlib import Path

from tests.ingest.conftest import Stage

_PROGRAM = """
import asyncio, sys
from ray.serve._private.common import ServeComponentType
from ray.serve._private.logging_utils import configure_component_logger
from ray.serve.schema import LoggingConfig
from ingest.app import KafkaIngest
from ingest.settings import IngestSettings

configure_component_logger(
    component_name="ingest_KafkaIngest", component_id="x1",
    component_type=ServeComponentType.REPLICA,
    logging_config=LoggingConfig(encoding="JSON", logs_dir=sys.argv[1]),
    max_bytes=1_000_000, backup_count=1,
)

async def run():
    replica = KafkaIngest.__new__(KafkaIngest)
    await replica.__init__(IngestSettings.model_validate_json(sys.argv[2]))
    for _ in range(400):
        await asyncio.sleep(0.1)
        answer = await replica.ready()
        if answer is None or (sys.argv[3] and sys.argv[3] in str(answer)):
            break
    await replica.__del__()

asyncio.run(run())
"""


def logged(stage: Stage, logs: Path, reason: str) -> list[dict[str, object]]:
    """Run a replica until it is ready, or not ready for this reason; return its log."""
    settings = stage.settings().model_dump_json()
    command = [sys.executable, "-c", _PROGRAM, str(logs), settings, reason]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    (file,) = logs.iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def seen(lines: list[dict[str, object]], message: str) -> set[tuple[object, object]]:
    return {(each["levelname"], each.get("logger")) for each in lines if each["message"] == message}


def test_changes_of_state_are_infos(stage: Stage, tmp_path: Path) -> None:
    lines = logged(stage, tmp_path, "")
    assert seen(lines, "partitions assigned") == {("INFO", "ingest.stream")}
    (assigned,) = [each for each in lines if each["message"] == "partitions assigned"]
    assert assigned["places"] == [f"{stage.topic}/0: None"]


def test_faults_are_warnings(tmp_path: Path) -> None:
    lines = logged(Stage("127.0.0.1:1", "images"), tmp_path, "kafka_unavailable: ")
    assert seen(lines, "Kafka is not available yet") == {("WARNING", "ingest.consumer")}
