"""Stacks that a cell uses."""

from dataclasses import dataclass

from infra.stacks.data import DataStack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack
from infra.stacks.platform import PlatformStack
from infra.stacks.streaming import StreamingStack


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Stacks that a Ray cluster needs."""

    foundation: FoundationStack
    network: NetworkStack
    data: DataStack
    streaming: StreamingStack | None
    """stack of Amazon MSK; None if `kafka.existing` names a Kafka"""
    platform: PlatformStack
    distribution_id: str | None
    """CloudFront distribution that caches renditions"""
