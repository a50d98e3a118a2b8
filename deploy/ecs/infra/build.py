"""All stacks of an environment, in the order in which they are deployed."""

from typing import Any

import aws_cdk as cdk

from infra.parts.surroundings import Surroundings
from infra.settings import Settings
from infra.stacks.access import AccessStack
from infra.stacks.analytics import AnalyticsStack
from infra.stacks.cdn import CdnStack
from infra.stacks.cell import CellStack
from infra.stacks.data import DataStack
from infra.stacks.edge import EdgeStack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack
from infra.stacks.observability import ObservabilityStack
from infra.stacks.platform import PlatformStack
from infra.stacks.protection import ProtectionStack
from infra.stacks.replica import ReplicaStack
from infra.stacks.streaming import StreamingStack

CONTEXT: dict[str, Any] = {
    # Fn::GetStackOutput in place of exports: they would forbid to change what another stack uses,
    # and need a Lambda function across regions.
    "@aws-cdk/core:defaultCrossStackReferences": "weak",
    # CDK's own checks of the templates are errors.
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    # Metadata of CDK's makers in each template: nobody here reads it.
    "aws:cdk:disable-version-reporting": True,
}


def new_app(outdir: str | None = None) -> cdk.App:
    """An app with the context that the stacks rely on."""
    return cdk.App(context=CONTEXT, outdir=outdir, analytics_reporting=False)


def build(app: cdk.App, settings: Settings) -> None:
    """Add an environment's stacks to the app."""
    primary = settings.role == "primary"
    foundation = FoundationStack(app, settings)
    replica = ReplicaStack(app, settings) if primary else None
    network = NetworkStack(app, settings, foundation)
    data = DataStack(app, settings, foundation, network, replica)
    if replica is not None:
        data.back_up_to(replica)
    streaming = StreamingStack(app, settings, foundation, network)
    platform = PlatformStack(app, settings, foundation, network)
    around = Surroundings(foundation, network, data, streaming, platform)
    cells = [CellStack(app, settings, cell, around) for cell in settings.cluster.cells]
    AnalyticsStack(app, settings, foundation, data)
    if primary:
        edge = EdgeStack(app, settings)
        CdnStack(app, settings, edge, data, platform, replica, foundation.logs.ref)
    ProtectionStack(app, settings, foundation, data)
    replica_bucket = replica.bucket.ref if replica else None
    observability = ObservabilityStack(app, settings, around, replica_bucket)
    for cell in cells:
        # A cell's weight means nothing before its target group has a listener.
        cell.add_stack_dependency(platform)
        observability.add_stack_dependency(cell)
    if settings.vpn or settings.direct_connect:
        AccessStack(app, settings, foundation, network)
