"""Builder of all stacks of an environment, in the order of their deployment."""

from typing import Any

import aws_cdk as cdk

from infra.parts.surroundings import Surroundings
from infra.settings import Settings
from infra.stacks import canary
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
from infra.stacks.replica_watch import ReplicaWatchStack
from infra.stacks.streaming import StreamingStack

CONTEXT: dict[str, Any] = {
    # Fn::GetStackOutput in place of exports. An exported value can't change while another stack
    # uses it, and an export to another region needs a Lambda function.
    "@aws-cdk/core:defaultCrossStackReferences": "weak",
    # Findings of CDK's own template checks are errors.
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    # No CDK usage metadata in the templates; nobody here reads it.
    "aws:cdk:disable-version-reporting": True,
}


def new_app(outdir: str | None = None) -> cdk.App:
    """Create an app with the context values that the stacks need."""
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
    ours = settings.kafka.ours
    streaming = StreamingStack(app, settings, foundation, network) if ours else None
    platform = PlatformStack(app, settings, foundation, network, replica)
    distribution = settings.standby_distribution_id
    if primary:
        edge = EdgeStack(app, settings)
        cdn = CdnStack(app, settings, edge, data, platform, replica, foundation.logs.ref)
        distribution = cdn.caching
    around = Surroundings(foundation, network, data, streaming, platform, distribution)
    cells = [CellStack(app, settings, cell, around) for cell in settings.cells]
    AnalyticsStack(app, settings, foundation, data)
    ProtectionStack(app, settings, foundation, data, cells)
    if replica is not None and replica.bucket is not None:
        ReplicaWatchStack(app, settings, data, replica)
    observability = ObservabilityStack(app, settings, around)
    watching = canary.made(app, settings, cells, around)
    if watching is not None:
        watching.add_stack_dependency(observability)
    for cell in cells:
        # ECS needs a target group with a listener, so the platform is deployed before its cells.
        cell.add_stack_dependency(platform)
        observability.add_stack_dependency(cell)
    if settings.vpn or settings.direct_connect:
        AccessStack(app, settings, foundation, network)
