from pathlib import Path

from tests.servers.kafka import ApacheKafka
from tests.servers.small_disk import run_on_small_disk


def test_a_full_disk(tmp_path: Path, kafka_server: ApacheKafka) -> None:
    inside = Path(__file__).with_name("on_small_disk.py")
    run_on_small_disk(inside, tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka_server.bootstrap)
