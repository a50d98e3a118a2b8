"""The process that starts Ray on this machine, puts the applications on it, and stops them.

The supervisor runs it as `python -m pixlake.embedded.app <folder>`, in the environment of
`ray_environment.py`. SIGTERM drains and ends it. It exits 1 when something does not start, or
when Ray dies.
"""

import importlib
import logging
import os
import signal
import sys
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
from lake.settings import LakeSettings
from pixlake.embedded.loopback import HOOK
from pixlake.embedded.settings import EmbeddedSettings
from processors import deployment as processors_deployment
from processors.settings import ProcessorSettings
from serve_app import app as upload_app
from serve_app.settings import ServeSettings

log = logging.getLogger(__name__)

# On one machine the kernel shares the cores out, not Ray: replicas reserve next to nothing.
_CPUS_OF_A_REPLICA = 0.1
_LOGICAL_CPUS = 16
_HEADS = frozenset({"gcs_server", "raylet"})
# Beside the heads Ray starts agents that only report. They work for some 20 ms at a time, and an
# upload is not to wait for them.
_AGENTS_NICENESS = 10
_WATCH_SECONDS = 1.0
_WAITS_FOR_PROXIES = ("ray.serve._private.api", "ray.serve._private.client")
# An upload's body may take its time; what takes longer than body and processing hangs.
_PROCESSING_SECONDS = 60.0


def main(folder: Path) -> NoReturn:
    """Run until SIGTERM, which exits 0, or until Ray dies, which exits 1."""
    signal.signal(signal.SIGTERM, _leave)
    embedded, served = EmbeddedSettings(), ServeSettings()
    _wait_for_proxies(embedded.start_seconds)
    with _ray(folder, embedded), _applications(served):
        serve.run_many(_targets(embedded, served))
        _watch()


def _wait_for_proxies(seconds: float) -> None:
    """Set how long Serve waits for its proxies; a constant of 60 s in Ray 2.60."""
    for name in _WAITS_FOR_PROXIES:
        module = importlib.import_module(name)
        module.HTTP_PROXY_TIMEOUT = max(module.HTTP_PROXY_TIMEOUT, seconds)  # type: ignore[attr-defined]


def _leave(*_: object) -> None:
    # From here on there is one thing to do, and it should not be disturbed.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


@contextmanager
def _ray(folder: Path, settings: EmbeddedSettings) -> Iterator[None]:
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=_LOGICAL_CPUS,
        object_store_memory=settings.object_store_bytes,
        runtime_env={"worker_process_setup_hook": HOOK},
        log_to_driver=False,
        _temp_dir=str(folder),
    )
    _put_agents_last()
    try:
        yield
    finally:
        ray.shutdown()


def _put_agents_last() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() not in _HEADS:
                process.nice(_AGENTS_NICENESS)


@contextmanager
def _applications(settings: ServeSettings) -> Iterator[None]:
    serve.start(
        proxy_location="HeadOnly",
        http_options={
            # The replicas' address; HAProxy's launcher gives the API its own.
            "host": "127.0.0.1",
            "port": settings.http_port,
            "request_timeout_s": settings.body_total_seconds + _PROCESSING_SECONDS,
        },
        logging_config={"encoding": "JSON", "enable_access_log": True},
    )
    try:
        yield
    finally:
        _drain()
        serve.shutdown()  # type: ignore[no-untyped-call]  # Ray does not type it


def _drain() -> None:
    """Answer what is on its way: HAProxy, through which it came, ends at once with Serve."""
    try:
        serve.delete(upload_app.APP)
    except Exception:
        log.exception("the API was not drained")


def _targets(embedded: EmbeddedSettings, served: ServeSettings) -> list[serve.RunTarget]:
    lake, processors = LakeSettings(), ProcessorSettings()
    cpus = _CPUS_OF_A_REPLICA
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
    """Exit 1 once one of Ray's two heads is gone: without them nothing is replaced any more."""
    heads = [one for one in psutil.Process().children() if one.name() in _HEADS]
    while all(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in heads):
        time.sleep(_WATCH_SECONDS)
    log.error("Ray has died: %s", ", ".join(sorted(_HEADS)))
    # An orderly shutdown would wait for answers that no longer come.
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    main(Path(sys.argv[1]))
