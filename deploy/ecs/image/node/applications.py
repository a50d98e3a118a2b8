"""Serve applications for a cluster: each replica reads its settings from its own node.

On one machine settings are read once and passed on. On a cluster that would put the database's
password into Ray's GCS and on the head, which must not have the password.
"""

from ingest import app as ingest_app
from ingest.app import KafkaIngest
from ingest.settings import IngestSettings
from lake import app as lake_app
from lake.app import SealerLoop
from lake.settings import LakeSettings
from processors import deployment as processors_deployment
from processors.deployment import ImageProcessor
from processors.settings import ProcessorSettings
from ray import serve
from serve_app import app as upload_app
from serve_app.app import UploadApi
from serve_app.settings import ServeSettings


class NodeUploadApi(UploadApi):
    """Replica of the HTTP API, with the settings of its node."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(ServeSettings(), LakeSettings(), ProcessorSettings())


class NodeImageProcessor(ImageProcessor):
    """Replica that processes batches, with the settings of its node."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(LakeSettings(), ProcessorSettings())


class NodeKafkaIngest(KafkaIngest):
    """Replica of the Kafka consumer, with the settings of its node."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(IngestSettings())

    async def unread(self) -> int | None:
        """Messages that this consumer has not read; None if unknown."""
        return self._consumer.status().unread


class NodeSealer(SealerLoop):
    """Replica of the sealer, with the settings of its node."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(LakeSettings())


def uploads(_: dict[str, str]) -> serve.Application:
    """Build the application of the HTTP API, for the route `/`."""
    deployment = serve.deployment(**upload_app.options(ServeSettings()))
    return deployment(serve.ingress()(NodeUploadApi)).bind()


def processors(_: dict[str, str]) -> serve.Application:
    """Build the application that processes batches, without a route."""
    return serve.deployment(**processors_deployment.OPTIONS)(NodeImageProcessor).bind()


def ingest(_: dict[str, str]) -> serve.Application:
    """Build the application of the Kafka consumer, without a route."""
    return serve.deployment(**ingest_app.options(IngestSettings()))(NodeKafkaIngest).bind()


def sealer(_: dict[str, str]) -> serve.Application:
    """Build the application of the sealer, without a route."""
    return serve.deployment(**lake_app.OPTIONS)(NodeSealer).bind()
