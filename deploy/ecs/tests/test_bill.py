"""The bill counts the resources that the templates have."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.assembly import Assembly, count
from tests.aws.priced import COUNTED, LOOSE
from tests.rules.bill import CLI

PROFILES: Final[dict[str, dict[str, Any]]] = json.loads(
    (CLI / "data" / "profiles.json").read_text()
)


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


def test_the_bill_counts_what_stands(assembly: Assembly) -> None:
    assert list(_miscounted(assembly)) == []


def test_a_second_web_acl_is_missed_in_the_bill(assembly: Assembly) -> None:
    broken = assembly.copy()
    _another_acl(broken)
    assert any("WebACL" in fault for fault in _miscounted(broken))
