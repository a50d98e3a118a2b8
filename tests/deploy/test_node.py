"""Entrypoints of an ECS task, without Ray; `make cluster-rehearsal` tests them with Ray."""

import os
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError
from node.__main__ import main
from node.command import ray_start
from node.config import serve_config
from node.environment import REPLICA_PORTS, node_environment
from node.health import HealthServer, alive
from node.metrics import Counts, backlog, emf
from node.settings import Kind, NodeSettings
from node.setup import statements
from pydantic import SecretStr

from ingest.librdkafka import client_config, consumer_config
from ingest.settings import IngestSettings
from pixlake_server.embedded.haproxy import write_launcher
from pixlake_server.embedded.ports import free_port
from serve_app.ray_surface.controller import CONFIGURATION
from serve_app.settings import ServeSettings
from tests.deploy.probe import asked

IMAGE = Path(__file__).parents[2] / "deploy" / "ecs" / "image"


def settings(scratch: Path, **more: Any) -> NodeSettings:
    return NodeSettings(stage="s", cell="a", head="head.internal", scratch=scratch, **more)


@pytest.fixture
def serve() -> Iterator[tuple[int, list[int]]]:
    """A server in place of Serve: its port, and a list with the status that it answers."""
    status = [200]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, status
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_balancer_hears_no_before_serve_stops(
    serve: tuple[int, list[int]], tmp_path: Path
) -> None:
    api, status = serve
    door = HealthServer(free_port(), api, tmp_path, lambda: True)
    door.start()
    assert asked(door.port) == 200
    status[0] = 503
    assert asked(door.port) == 503
    status[0] = 200
    door.leave()
    assert asked(door.port) == 503
    assert asked(api) == 200
    door.stop()


def test_no_serve_is_no_health(tmp_path: Path) -> None:
    assert HealthServer(free_port(), free_port(), tmp_path, lambda: True).state()[0] is False


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        ("head", {"gcs_server", "raylet"}, True),
        ("head", {"raylet"}, False),
        ("worker", {"raylet"}, True),
        ("ingest", {"python"}, False),
    ],
)
def test_ecs_looks_for_the_processes_of_a_node(
    kind: str, names: set[str], *, expected: bool
) -> None:
    assert alive(kind, names) is expected


def test_a_command_in_a_task_has_the_scratch_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root file system of a task is read only."""
    run: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: run.append(words))
    monkeypatch.setattr(sys, "argv", ["node", "audit", "--full"])
    for name, value in {
        "NODE_STAGE": "s",
        "NODE_CELL": "a",
        "NODE_HEAD": "head",
        "NODE_SCRATCH": str(tmp_path),
        "TMPDIR": "/tmp",  # noqa: S108  # what the task must not use
        "PIXLAKE_HOME": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    main()
    assert [words[1:] for words in run] == [["audit", "--full"]]
    assert os.environ["TMPDIR"] == os.environ["PIXLAKE_HOME"] == str(tmp_path)


@pytest.mark.parametrize("kind", ["head", "worker", "ingest"])
def test_ray_runs_with_a_token_and_writes_to_scratch_alone(kind: Kind, tmp_path: Path) -> None:
    found = node_environment(settings(tmp_path, address="10.0.0.1"), kind)
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["HOME"].startswith(str(tmp_path))
    assert found["PIXLAKE_HOME"].startswith(str(tmp_path))
    [temporary] = [
        word
        for word in ray_start(settings(tmp_path), kind, "10.0.0.1", None)
        if word.startswith("--temp-dir=")
    ]
    assert temporary == f"--temp-dir={tmp_path}/ray"


def test_haproxy_of_a_node_is_the_one_of_one_machine_but_for_addresses(tmp_path: Path) -> None:
    """WAF counts clients by address, because HAProxy sees only the balancer's addresses."""
    found = node_environment(settings(tmp_path, address="10.0.0.1"), "worker")
    ours = Path(found["RAY_SERVE_HAPROXY_BINARY_PATH"]).with_name(CONFIGURATION).read_text()
    here = tmp_path / "here"
    here.mkdir()
    port = settings(tmp_path).api_port
    served = ServeSettings(http_host="0.0.0.0", http_port=port, address_connections=0)  # noqa: S104
    write_launcher(here, served)
    one_machine = (here / CONFIGURATION).read_text()
    assert ours.replace(str(tmp_path / "haproxy"), str(here)) == one_machine
    assert "tcp-request connection" not in ours
    assert (
        found["RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH"]
        == "serve_app.ray_surface.controller:prepare"
    )


def test_a_node_is_told_the_ports_of_its_agents(tmp_path: Path) -> None:
    """`ray start` gets all `AGENT_PORTS` of serve_app/ray_surface/ray_node.py."""
    words = ray_start(settings(tmp_path), "worker", "10.0.0.1", None)
    ports = [int(found[1]) for word in words if (found := re.fullmatch(r"--.*-port=(\d+)", word))]
    assert len(ports) == len(set(ports)) == 4
    first, last = REPLICA_PORTS
    taken = {settings(tmp_path).api_port, settings(tmp_path).health_port, *range(first, last + 1)}
    assert taken.isdisjoint(ports)


def test_the_head_gets_no_login_to_the_accounts(tmp_path: Path) -> None:
    given = settings(
        tmp_path,
        address="10.0.0.1",
        database_host="db",
        database_user="pixlake",
        database_password=SecretStr("p@ss/word"),
        database_ca=tmp_path / "none",
    )
    assert "PIXLAKE_DATABASE_URL" not in node_environment(given, "head")
    url = node_environment(given, "worker")["PIXLAKE_DATABASE_URL"]
    assert url == "postgresql://pixlake:p%40ss%2Fword@db:5432/pixlake?sslmode=require"


def test_only_workers_count_limits_together(tmp_path: Path) -> None:
    given = settings(
        tmp_path,
        address="10.0.0.1",
        cache_host="cache",
        cache_port=6380,
        cache_password=SecretStr("p@ss/word"),
    )
    assert "PIXLAKE_CACHE_URL" not in node_environment(given, "head")
    url = node_environment(given, "worker")["PIXLAKE_CACHE_URL"]
    assert url == "rediss://pixlake:p%40ss%2Fword@cache:6380/0"
    assert settings(tmp_path, cache_host="cache").cache_url is None


def test_where_rds_is_known_it_is_checked(tmp_path: Path) -> None:
    authority = tmp_path / "rds.pem"
    authority.touch()
    url = settings(
        tmp_path,
        database_host="db",
        database_user="u",
        database_password=SecretStr("p"),
        database_ca=authority,
    ).database_url
    assert url is not None
    assert "sslmode=verify-full" in url


@pytest.mark.parametrize(("workers", "ingests"), [(0, 0), (1, 1), (12, 3)])
def test_every_node_gets_its_replicas_and_only_its_own(workers: int, ingests: int) -> None:
    config = serve_config(workers, ingests, cpus=7, port=8000)
    for application in config["applications"]:
        [deployment] = application["deployments"]
        kind = deployment["ray_actor_options"]["label_selector"]["kind"]
        nodes = workers if kind == "worker" else ingests
        if deployment["name"] != "Sealer":
            assert deployment["num_replicas"] == max(1, nodes)
        assert deployment["max_replicas_per_node"] == 1
        assert (kind == "ingest") == (deployment["name"] in {"KafkaIngest", "Sealer"})


def test_a_standby_neither_consumes_nor_seals_nor_sweeps() -> None:
    """The replica of the sealer does both of the latter."""
    names = [
        [one["name"] for one in serve_config(2, 1, cpus=2, port=8000, leads=leads)["applications"]]
        for leads in (True, False)
    ]
    assert names == [["processors", "api", "ingest", "lake"], ["processors", "api"]]


def test_without_kafka_ingest_nodes_have_the_sealer_only() -> None:
    applications = serve_config(2, 1, cpus=2, port=8000, kafka=False)["applications"]
    assert [one["name"] for one in applications] == ["processors", "api", "lake"]


def test_the_applications_are_those_of_the_service() -> None:
    config = serve_config(1, 1, cpus=2, port=8000)
    names = {(one["name"], one["deployments"][0]["name"]) for one in config["applications"]}
    # Read, not imported: Ray Serve takes seconds to import.
    files = ("serve_app/app.py", "processors/deployment.py", "ingest/app.py", "lake/app.py")
    service = set()
    for file in files:
        text = (IMAGE.parents[2] / file).read_text()
        found = dict(re.findall(r'^(APP|NAME) = "(\w+)"', text, re.MULTILINE))
        service.add((found["APP"], found["NAME"]))
    assert names == service
    for application in config["applications"]:
        module, _, name = application["import_path"].partition(":")
        assert module == "node.applications"
        assert f"\ndef {name}(" in (IMAGE / "node" / "applications.py").read_text()


def test_figures_are_what_the_alarms_look_for(tmp_path: Path) -> None:
    line = emf(settings(tmp_path), Counts(workers=2, ingests=1, wanted=6, running=4))
    assert (line["Stage"], line["Cell"]) == ("s", "a")
    assert (line["Workers"], line["IngestNodes"], line["ReplicasMissing"]) == (2, 1, 2)
    [declared] = line["_aws"]["CloudWatchMetrics"]
    alarms = (IMAGE.parent / "infra" / "cell_alarms.py").read_text()
    assert declared["Namespace"] == "Pixlake"
    assert '"Pixlake", "ReplicasMissing"' in alarms


def test_ecs_scales_by_what_the_head_writes(tmp_path: Path) -> None:
    line = backlog(settings(tmp_path), "worker", 12.5)
    [declared] = line["_aws"]["CloudWatchMetrics"]
    scaling = (IMAGE.parent / "infra" / "parts" / "scaling.py").read_text()
    [metric] = declared["Metrics"]
    assert f'BACKLOG = "{metric["Name"]}"' in scaling
    assert f'NAMESPACE = "{declared["Namespace"]}"' in scaling
    assert declared["Dimensions"] == [["Stage", "Cell", "Kind"]]
    assert set(re.findall(r'MetricDimensionProperty\(name="(\w+)"', scaling)) == {
        "Stage",
        "Cell",
        "Kind",
    }
    assert (line["Kind"], line[metric["Name"]]) == ("worker", 12.5)


@pytest.mark.parametrize("known", [True, False])
def test_setup_can_run_again(*, known: bool) -> None:
    first = statements("it's", known=known)[0].as_string(None)
    assert first == f"{'ALTER' if known else 'CREATE'} ROLE \"pixlake\" LOGIN PASSWORD 'it''s'"


def test_the_kafka_door_asks_msk_for_its_brokers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked_for = []

    class Kafka:
        def get_bootstrap_brokers(self, **what: str) -> dict[str, str]:
            asked_for.append(what)
            return {"BootstrapBrokerStringSaslIam": "b-1.x:9098,b-2.x:9098"}

    monkeypatch.setattr("boto3.client", lambda *_, **__: Kafka())
    arn = "arn:aws:kafka:eu-west-1:111122223333:cluster/pixlake-small/1"
    given = settings(tmp_path, address="10.0.0.1", kafka_cluster_arn=arn)
    assert "KAFKA_BOOTSTRAP_SERVERS" not in node_environment(given, "worker")
    assert not asked_for
    found = node_environment(given, "ingest")
    assert asked_for == [{"ClusterArn": arn}]
    for name in ("KAFKA_BOOTSTRAP_SERVERS", *(one for one in found if "KAFKA" in one)):
        monkeypatch.setenv(name, found[name])
    read = IngestSettings()
    assert read.kafka_bootstrap_servers == "b-1.x:9098,b-2.x:9098"
    assert client_config(read)["sasl.mechanism"] == "OAUTHBEARER"
    assert "client.rack" not in consumer_config(read)


class _Metadata(BaseHTTPRequestHandler):
    """ECS's metadata endpoint of a task."""

    def do_GET(self) -> None:
        body = b'{"AvailabilityZone": "eu-west-1b"}' if self.path == "/v4/x/task" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("knows", [True, False])
def test_the_consumer_fetches_from_its_own_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, knows: bool
) -> None:
    class Aws:
        def get_bootstrap_brokers(self, **_: str) -> dict[str, str]:
            return {"BootstrapBrokerStringSaslIam": "b-1.x:9098"}

        def describe_availability_zones(self, **what: list[str]) -> dict[str, object]:
            if not knows:
                raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "x")
            assert what == {"ZoneNames": ["eu-west-1b"]}
            return {"AvailabilityZones": [{"ZoneId": "euw1-az3"}]}

    monkeypatch.setattr("boto3.client", lambda *_, **__: Aws())
    arn = "arn:aws:kafka:eu-west-1:111122223333:cluster/pixlake-small/1"
    given = settings(tmp_path, address="10.0.0.1", kafka_cluster_arn=arn)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Metadata) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v4/x"
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", url)
        found = node_environment(given, "ingest")
        server.shutdown()
    for name in (one for one in found if "KAFKA" in one):
        monkeypatch.setenv(name, found[name])
    rack = consumer_config(IngestSettings()).get("client.rack")
    assert rack == ("euw1-az3" if knows else None)
