"""The bill counts the resources that the templates have."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from infra.settings import Settings
from tests.assembly import Assembly, count
from tests.aws.priced import COUNTED, LOOSE
from tests.conftest import Switched
from tests.rules.bill import CLI

PROFILES: Final[dict[str, dict[str, Any]]] = json.loads(
    (CLI / "data" / "profiles.json").read_text()
)

_MOST_RESOURCES: Final = 108


def _miscounted(assembly: Assembly) -> Iterator[str]:
    profile = PROFILES[assembly.stage]
    for kind in COUNTED:
        stands, counted = count(assembly, kind), profile["stands"].get(kind, 0)
        if abs(stands - counted) > LOOSE.get(kind, 0):
            yield f"{kind}: {stands} stand, profiles.json counts {counted} in {assembly.stage}"
    gateways = count(assembly, "AWS::EC2::NatGateway")
    if gateways != profile["nat_gateways"]:
        yield f"NAT gateways: {gateways} stand, profiles.json has {profile['nat_gateways']}"
    endpoints = sum(
        one.props["VpcEndpointType"] == "Interface"
        for one in assembly.resources("AWS::EC2::VPCEndpoint")
    )
    if endpoints != profile["interface_endpoints"]:
        yield f"endpoints: {endpoints} stand, profiles.json has {profile['interface_endpoints']}"


def _another_acl(assembly: Assembly) -> None:
    edge = assembly.templates["edge"]["Resources"]
    edge["Another"] = edge["Acl"]


@pytest.mark.parametrize("name", ["small-as-committed", "large"])
def test_the_bill_counts_what_stands(
    name: str, assemblies: dict[str, Assembly], switched: Switched
) -> None:
    assembly = assemblies[name] if name in assemblies else switched(name).assembly
    assert list(_miscounted(assembly)) == []
    broken = assembly.copy()
    _another_acl(broken)
    assert any("WebACL" in fault for fault in _miscounted(broken))


def test_the_small_environment_keeps_its_promise(switched: Switched) -> None:
    """Its data is in two zones for less than 400 dollars; docs/aws.md has what it leaves out."""
    profile = PROFILES["small"]
    assert Settings.load("small").limits.budget_dollars <= 1.2 * 400
    small = switched("small-as-committed").assembly
    assert small.first("AWS::RDS::DBInstance").props["MultiAZ"] is True
    zones = {one.props["AvailabilityZone"] for one in small.resources("AWS::EC2::Subnet")}
    assert len(zones) == profile["zones"] == 2
    for kind in ("AWS::MSK::Cluster", "AWS::ElastiCache::ReplicationGroup"):
        assert count(small, kind) == 0
    # Half of the 217 resources that it had before it was made compact.
    assert sum(1 for _ in small.resources()) <= _MOST_RESOURCES
