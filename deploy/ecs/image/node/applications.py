"""The service's applications for a cluster: each replica reads the settings of its own node.

On one machine settings are read once and handed on. Here that would put the database's password
into Ray's directory, and on the head, which may hold none.
"""

from ingest.app import KafkaIngest
from ingest.settings import IngestSettings
from lake.app import SealerLoop
from lake.settings import LakeSettings
from processors.deployment import ImageProcessor
from processors.settings import ProcessorSettings
from ray import serve
from serve_app.app import UploadApi
from serve_app.settings import ServeSettings


class NodeUploadApi(UploadApi):
    """The HTTP door."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(ServeSettings(), LakeSettings(), ProcessorSettings())


class NodeImageProcessor(ImageProcessor):
    """What works on batches."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(LakeSettings(), ProcessorSettings())


class NodeKafkaIngest(KafkaIngest):
    """The Kafka door."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(IngestSettings())

    async def lag(self) -> int | None:
        """Messages that wait in the partitions of this door; None while nobody knows."""
        return self._consumer.status().lag


class NodeSealer(SealerLoop):
    """Seals and sweeps."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(LakeSettings())


def uploads(_: dict[str, str]) -> serve.Application:
    """For the route `/`."""
    return serve.deployment(name="UploadApi")(serve.ingress()(NodeUploadApi)).bind()


def processors(_: dict[str, str]) -> serve.Application:
    """Without a route."""
    return serve.deployment(name="ImageProcessor")(NodeImageProcessor).bind()


def ingest(_: dict[str, str]) -> serve.Application:
    """Without a route."""
    return serve.deployment(name="KafkaIngest")(NodeKafkaIngest).bind()


def sealer(_: dict[str, str]) -> serve.Application:
    """Without a route."""
    return serve.deployment(name="Sealer")(NodeSealer).bind()
