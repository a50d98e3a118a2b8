"""Test that replicas on a cluster have the limits of those on one machine."""

from pathlib import Path

import pytest
from node.config import serve_config

from ingest.settings import IngestSettings
from lake.settings import LakeSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

OPTIONS = (
    "max_ongoing_requests",
    "max_queued_requests",
    "health_check_period_s",
    "graceful_shutdown_timeout_s",
    "graceful_shutdown_wait_loop_s",
)


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
def test_deployments_of_nodes_have_the_options_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    from ingest import app as ingest  # noqa: PLC0415  # Ray Serve takes seconds to import
    from lake import app as lake  # noqa: PLC0415
    from processors import deployment as processors  # noqa: PLC0415
    from serve_app import app as uploads  # noqa: PLC0415

    stored, limits = LakeSettings(home=tmp_path), ProcessorSettings()
    served = ServeSettings(home=tmp_path)
    one_machine = (
        processors.processors_app(stored, limits, replicas=1, cpus=1),
        uploads.upload_app(served, stored, limits, replicas=1, cpus=1),
        ingest.ingest_app(IngestSettings(), replicas=1, cpus=1),
        lake.sealer_app(stored, cpus=1),
    )
    expected = {}
    for application in one_machine:
        deployment = application._bound_deployment
        config = deployment._deployment_config.model_dump()
        expected[deployment.name] = {name: config[name] for name in OPTIONS}
    nodes = {
        one["deployments"][0]["name"]: {name: one["deployments"][0][name] for name in OPTIONS}
        for one in serve_config(1, 1, cpus=2, port=8000)["applications"]
    }
    assert nodes == expected
