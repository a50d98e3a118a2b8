"""Test that replicas on a cluster have the limits of those on one machine."""

from pathlib import Path
from typing import Any

import pytest
from node.config import serve_config

from ingest.settings import IngestSettings
from lake.settings import LakeSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

PLACES = {"num_replicas", "max_replicas_per_node", "ray_actor_options"}
"""Options that depend on the nodes; the configuration of a cluster sets these and no others."""


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
def test_deployments_of_nodes_have_the_options_of_one_machine(tmp_path: Path) -> None:
    from node import applications as nodes  # noqa: PLC0415  # Ray Serve takes seconds to import

    from ingest import app as ingest  # noqa: PLC0415
    from lake import app as lake  # noqa: PLC0415
    from processors import deployment as processors  # noqa: PLC0415
    from serve_app import app as uploads  # noqa: PLC0415

    def options(application: Any) -> dict[str, Any]:
        deployment = application._bound_deployment
        config: dict[str, Any] = deployment._deployment_config.model_dump(
            exclude={"num_replicas", "user_configured_option_names"}
        )
        return {"name": deployment.name, **config}

    stored, limits = LakeSettings(home=tmp_path), ProcessorSettings()
    served = ServeSettings(home=tmp_path)
    one_machine = {
        "api": uploads.upload_app(served, stored, limits, replicas=1, cpus=1),
        "processors": processors.processors_app(stored, limits, replicas=1, cpus=1),
        "ingest": ingest.ingest_app(IngestSettings(), replicas=1, cpus=1),
        "lake": lake.sealer_app(stored, cpus=1),
    }
    found = {}
    for each in serve_config(1, 1, cpus=2, port=8000)["applications"]:
        [deployment] = each["deployments"]
        assert deployment.keys() == {"name", *PLACES}
        found[each["name"]] = options(getattr(nodes, each["import_path"].partition(":")[2])({}))
        assert found[each["name"]]["name"] == deployment["name"]
    assert found == {name: options(application) for name, application in one_machine.items()}
    drain = found["api"]["graceful_shutdown_timeout_s"]
    assert drain > served.answer_seconds, "a replica that stops ends no upload before its answer"
