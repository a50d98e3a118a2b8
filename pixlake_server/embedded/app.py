"""Process that starts Ray on this machine, deploys the applications, and stops them.

The supervisor runs this module as `python -m pixlake_server.embedded.app <folder> <port>`, in the
environment of `ray_environment.py`; the port is the first of four for Ray's agents. SIGTERM drains
and ends the process. The process exits 1 if something does not start, or if Ray dies.
"""

import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil
import ray
from ray import serve

from ingest import app as ingest_app
from ingest.settings import IngestSettings
from lake import app as lake_app
from lake.logs import begin, logger
from lake.settings import LakeSettings
from pixlake_server.embedded.settings import EmbeddedSettings
from processors import deployment as processors_deployment
from processors.settings import ProcessorSettings
from serve_app import app as upload_app
from serve_app.ray_surface import ray_node
from serve_app.ray_surface.loopback import HOOK
from serve_app.ray_surface.proxies import wait_for_proxies
from serve_app.settings import ServeSettings

log = logger(__name__)

# On one machine the kernel schedules the cores, not Ray, so replicas reserve almost nothing.
CPUS_OF_A_REPLICA = 0.1
LOGICAL_CPUS = 16
_HEADS = frozenset({"gcs_server", "raylet"})
# Niceness of Ray's agents, which only report. An agent works for about 20 ms at a time, and uploads
# should not wait for that.
_AGENTS_NICENESS = 10
_WATCH_SECONDS = 1.0
# Format of Ray's log: [2026-12-01 18:22:40,291 C 15878 15878]; C is a fatal error, E an error.
_ERROR = re.compile(r"\[[-0-9]+ [0-9:,]+ [CE] ")
# Added to the time limit of an upload's body; Serve ends a request that takes longer than the sum.
_PROCESSING_SECONDS = 60.0


def main(folder: Path, agent_port: int) -> NoReturn:
    """Run until SIGTERM (exit code 0) or until Ray dies (exit code 1)."""
    signal.signal(signal.SIGTERM, _leave)
    embedded, served = EmbeddedSettings(), ServeSettings()
    wait_for_proxies(embedded.start_seconds)
    prepare_node(agent_port)
    with local_ray(folder, embedded), applications(served):
        serve.run_many(targets(embedded, served))
        _watch()


def prepare_node(agent_port: int) -> None:
    """Set what `ray.init` has no argument for: ports of agents, and processes not to start."""
    ray_node.tell_nodes_their_agents_ports()
    # The autoscaler's monitor has no nodes to add here. The log monitor sends logs to drivers,
    # which `log_to_driver` refuses.
    ray_node.start_nodes_with(
        **ray_node.agent_ports(agent_port), no_monitor=True, include_log_monitor=False
    )
    ray_node.start_no_dashboard()


def _leave(*_: object) -> None:
    # A second SIGTERM must not interrupt the shutdown.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


@contextmanager
def local_ray(folder: Path, settings: EmbeddedSettings) -> Iterator[None]:
    """Run the head of a Ray cluster on this machine."""
    begun = threading.Event()
    threading.Thread(target=_end_with_heads, args=(folder, begun), daemon=True).start()
    try:
        _begin_ray(folder, settings)
    finally:
        begun.set()
    _put_agents_last()
    try:
        yield
    finally:
        ray.shutdown()


def _begin_ray(folder: Path, settings: EmbeddedSettings) -> None:
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=LOGICAL_CPUS,
        object_store_memory=settings.object_store_bytes,
        runtime_env={"worker_process_setup_hook": HOOK},
        log_to_driver=False,
        _temp_dir=str(folder),
    )


def _end_with_heads(folder: Path, begun: threading.Event) -> None:
    """Exit 1 if a head process dies during the start; Ray would wait for that process for ever."""
    while not begun.wait(_WATCH_SECONDS):
        for name in [one.name() for one in _heads() if one.status() == psutil.STATUS_ZOMBIE]:
            log.error(
                "a process of Ray died during its start",
                process_name=name,
                error=_last_words(folder, name),
            )
            logging.shutdown()
            os._exit(1)


def _last_words(folder: Path, name: str) -> str:
    """Return the last error in the log of one of Ray's processes."""
    log_file = folder / "session_latest" / "logs" / f"{name}.out"
    lines = log_file.read_text(errors="replace").splitlines() if log_file.exists() else []
    errors = [line for line in lines if _ERROR.match(line)]
    return errors[-1] if errors else "its log names no error"


def _heads() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if one.name() in _HEADS]


def _put_agents_last() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() not in _HEADS:
                process.nice(_AGENTS_NICENESS)


@contextmanager
def applications(settings: ServeSettings) -> Iterator[None]:
    """Run Ray Serve; all applications end with the context."""
    serve.start(
        proxy_location="HeadOnly",
        http_options={
            # Address of the replicas. The address of the API is in HAProxy's configuration.
            "host": "127.0.0.1",
            "port": settings.http_port,
            "request_timeout_s": settings.body_total_seconds + _PROCESSING_SECONDS,
        },
        logging_config={"encoding": "JSON", "enable_access_log": False},
    )
    try:
        yield
    finally:
        _drain()
        serve.shutdown()  # type: ignore[no-untyped-call]  # Ray does not type it


def _drain() -> None:
    """Wait until running requests are answered; HAProxy ends at once when Serve shuts down."""
    try:
        serve.delete(upload_app.APP)
    except Exception:
        log.exception("the API was not drained")


def targets(embedded: EmbeddedSettings, served: ServeSettings) -> list[serve.RunTarget]:
    """Build all applications."""
    lake, processors = LakeSettings(), ProcessorSettings()
    cpus = CPUS_OF_A_REPLICA
    work = processors_deployment.processors_app(
        lake, processors, replicas=embedded.processor_replicas, cpus=cpus
    )
    uploads = upload_app.upload_app(
        served, lake, processors, replicas=embedded.upload_replicas, cpus=cpus
    )
    kafka = ingest_app.ingest_app(IngestSettings(), replicas=1, cpus=cpus)
    sealer = lake_app.sealer_app(lake, cpus=cpus)
    return [
        serve.RunTarget(uploads, name=upload_app.APP, route_prefix="/"),
        serve.RunTarget(kafka, name=ingest_app.APP, route_prefix=None),
        serve.RunTarget(work, name=processors_deployment.APP, route_prefix=None),
        serve.RunTarget(sealer, name=lake_app.APP, route_prefix=None),
    ]


def _watch() -> NoReturn:
    """Exit 1 once one of Ray's two head processes has died; then Ray replaces nothing any more."""
    heads = _heads()
    while all(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in heads):
        time.sleep(_WATCH_SECONDS)
    log.error("Ray has died", one_of=sorted(_HEADS))
    # A normal shutdown would wait for answers of the dead process for ever.
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    begin()
    main(Path(sys.argv[1]), int(sys.argv[2]))
