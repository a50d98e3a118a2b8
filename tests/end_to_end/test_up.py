import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from skimage import data

from tests.end_to_end.conftest import NewPixlake
from tests.end_to_end.running import COMMAND, START_SECONDS, Pixlake, marked
from tests.waiting import wait_until

PHOTO = Path(data.__file__).with_name("rocket.jpg")


def upload(pixlake: Pixlake, photo: bytes | Iterator[bytes]) -> httpx.Response:
    headers = {**pixlake.headers, "Content-Type": "image/jpeg"}
    return httpx.post(f"{pixlake.url}/v1/images", content=photo, headers=headers, timeout=60)


def stopping_halfway(pixlake: Pixlake, photo: bytes, thread: ThreadPoolExecutor) -> Iterator[bytes]:
    """Body of an upload; Pixlake gets SIGTERM after the first half."""
    yield photo[: len(photo) // 2]
    stopped = thread.submit(pixlake.stop, signal.SIGTERM)
    wait_until(lambda: not pixlake.is_ready(), 30)
    assert not stopped.done()
    yield photo[len(photo) // 2 :]


def stored(pixlake: Pixlake, image_id: str) -> bytes:
    url = f"{pixlake.url}/v1/images/{image_id}/original"
    return httpx.get(url, headers=pixlake.headers, timeout=60).raise_for_status().content


def refused(environment: dict[str, str]) -> str:
    """Run `pixlake up` where it can't start; return its error output."""
    done = subprocess.run(
        [COMMAND, "up"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_says_where_everything_is(pixlake: Pixlake) -> None:
    facts = pixlake.facts
    assert facts["url"] == pixlake.url
    assert facts["bootstrap"] == pixlake.bootstrap
    assert (pixlake.home / "api-url").read_text() == f"{pixlake.url}\n"
    assert facts["key"] == Path(facts["key_file"]).read_text().strip()
    for page in (facts["console"], facts["docs"]):
        assert httpx.get(page, timeout=60).status_code == httpx.codes.OK


def test_secrets_are_the_owners_alone(pixlake: Pixlake) -> None:
    assert (pixlake.home / "api-key").stat().st_mode & 0o777 == 0o600
    assert pixlake.home.stat().st_mode & 0o777 == 0o700


def test_listens_on_this_machine_only(pixlake: Pixlake) -> None:
    listening = {
        (one.name(), address.laddr.ip)
        for one in pixlake.processes()
        for address in connections(one)
        if address.status == psutil.CONN_LISTEN
    }
    assert len(listening) > 3
    assert {ip.removeprefix("::ffff:") for _, ip in listening} == {"127.0.0.1"}, listening


def connections(process: psutil.Process) -> list[Any]:
    """Sockets of a process; a decoder can open none, and only root may list its sockets."""
    try:
        return list(process.net_connections("inet"))
    except psutil.AccessDenied:
        assert "processors.sandbox.fork_server" in process.cmdline()
        return []


def test_a_second_one_on_the_same_home_is_refused(pixlake: Pixlake) -> None:
    assert f"already running on {pixlake.home}, pid {pixlake.pid}" in refused(pixlake.environment)


@pytest.mark.parametrize("setting", ["PIXLAKE_HTTP_PORT", "PIXLAKE_KAFKA_PORT"])
def test_a_taken_port_is_named_and_so_is_its_setting(new_pixlake: NewPixlake, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused({**new_pixlake().environment, setting: str(port)})
    assert f"port {port} is taken" in said
    assert setting in said


def test_the_clients_headers_do_not_act_on_ray_serve(pixlake: Pixlake) -> None:
    sent = {"x-request-timeout-seconds": "0.000001", "x-request-id": "a b\tc", "x-session-id": "me"}
    answer = httpx.get(f"{pixlake.url}/readyz", headers=sent, timeout=60)
    assert answer.status_code == httpx.codes.OK, "Serve would time out, and answer 408"
    assert answer.headers.get_list("x-request-id") != ["a b\tc"]


def test_lists_are_compressed_and_refused_methods_name_the_others(pixlake: Pixlake) -> None:
    """HAProxy changes neither Content-Encoding, nor Content-Length of HEAD, nor Allow."""
    photo = PHOTO.read_bytes()
    image_id = upload(pixlake, photo).json()["image_id"]
    with httpx.Client(base_url=pixlake.url, headers=pixlake.headers, timeout=60) as client:
        for path in ("/v1/images", f"/v1/images/{image_id}"):
            packed = client.get(path, headers={"Accept-Encoding": "gzip"})
            plain = client.get(path, headers={"Accept-Encoding": "identity"})
            head = client.head(path, headers={"Accept-Encoding": "gzip"})
            assert (packed.headers["Content-Encoding"], packed.json()) == ("gzip", plain.json())
            assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
            assert int(packed.headers["Content-Length"]) < len(plain.content)
            assert head.headers["Content-Length"] == packed.headers["Content-Length"]
        original = client.get(f"/v1/images/{image_id}/original")
        assert original.content == photo
        assert "Content-Encoding" not in original.headers
        assert client.delete("/v1/images").headers["Allow"] == "GET, HEAD, POST"


def test_a_start_that_is_killed_or_interrupted_leaves_nothing(new_pixlake: NewPixlake) -> None:
    """Ray's agents end too, although their process titles overwrite the mark of the home."""
    own = new_pixlake()
    killed = starting(own)
    os.kill(own.pid, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGHUP):
        running = starting(own)
        assert alive(killed) == [], "the next start ends them"
        assert own.stop(number) == 0
        assert alive(running) == []


def starting(pixlake: Pixlake) -> list[psutil.Process]:
    """Begin a start; return its processes as soon as Ray's agents are among them."""
    pixlake.begin()
    wait_until(lambda: bool(pixlake.processes("ray::DashboardAgent")), START_SECONDS)
    return pixlake.processes()


def alive(processes: list[psutil.Process]) -> list[str]:
    """Names of the processes that still run, without zombies that init has not reaped yet."""
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            if one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.name())
    return found


def test_an_intruder_is_counted_among_the_metrics_of_the_node(pixlake: Pixlake) -> None:
    """Alarms read this metric. The kernel sends SIGSYS to a child that makes a forbidden call."""
    (replica,) = pixlake.processes("UploadApi")
    (server,) = [one for one in replica.children() if "fork_server" in " ".join(one.cmdline())]
    for child in server.children():
        child.send_signal(signal.SIGSYS)
    # A new image, because no child decodes an upload that was stored before.
    assert upload(pixlake, PHOTO.read_bytes() + b"intruder").is_success
    (raylet,) = pixlake.processes("raylet/raylet")
    wait_until(lambda: counted(raylet, "ray_pixlake_intrusions_total") > 0, 60)


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param("ray_pixlake_uploads_total{", id="api"),
        pytest.param("ray_pixlake_sandbox_capacity{", id="processors"),
        pytest.param("ray_pixlake_kafka_partitions{", id="ingest"),
        pytest.param("ray_pixlake_seal_lag{", id="lake"),
    ],
)
def test_every_application_exports_its_metrics(pixlake: Pixlake, metric: str) -> None:
    assert upload(pixlake, PHOTO.read_bytes()).is_success
    (raylet,) = pixlake.processes("raylet/raylet")
    wait_until(lambda: counted(raylet, metric) > 0, 60)


def counted(raylet: psutil.Process, series: str) -> float:
    """Sum of a series over all its labels, read from the metrics port of a Ray node."""
    (port,) = re.findall(r"--metrics_export_port=(\d+)", " ".join(raylet.cmdline()))
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(series))


def test_a_killed_broker_comes_back(pixlake: Pixlake) -> None:
    (broker,) = pixlake.processes("kafka.Kafka")
    # A broker that is only killed may be back before the readiness check notices.
    broker.suspend()
    wait_until(lambda: not pixlake.is_ready(), 120, "not ready without a broker")
    broker.kill()
    wait_until(
        lambda: [one.pid for one in pixlake.processes("kafka.Kafka")] not in ([], [broker.pid]),
        60,
        "another broker",
    )
    pixlake.wait_ready()


@pytest.mark.parametrize("name", ["UploadApi", "KafkaIngest", "ImageProcessor"])
def test_a_killed_replica_is_replaced(pixlake: Pixlake, name: str) -> None:
    (replica,) = pixlake.processes(name)
    replica.kill()
    wait_until(lambda: len(pixlake.processes(name)) == 1, 60)
    pixlake.wait_ready()
    assert upload(pixlake, PHOTO.read_bytes()).is_success


def test_ctrl_c_leaves_nothing_running_and_the_next_start_finds_everything(
    pixlake: Pixlake,
) -> None:
    """Has to be the last test of the file, because it leaves the shared Pixlake stopped."""
    key = pixlake.key
    image_id = upload(pixlake, PHOTO.read_bytes()).raise_for_status().json()["image_id"]
    running = pixlake.processes()
    assert len(running) > 10

    assert pixlake.stop() == 0
    assert marked(pixlake.home) == []
    assert alive(running) == []

    pixlake.start()
    assert pixlake.key == key
    assert stored(pixlake, image_id) == PHOTO.read_bytes()
    with ThreadPoolExecutor(1) as thread:
        # An upload in flight at the time of the stop is still accepted, stored and answered.
        late = PHOTO.read_bytes() + b"another one"
        answer = upload(pixlake, stopping_halfway(pixlake, late, thread))
        assert answer.status_code == httpx.codes.CREATED
    assert marked(pixlake.home) == []
