"""Combinations of settings: each synthesizes, and every rule holds."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from infra.settings import Settings
from tests.conftest import Switched, Synthesis
from tests.matrix import COMMITTED, MATRIX, Change, changed
from tests.test_rules import RULES

# Resources that each switch adds.
BROUGHT = {
    "engineers": {
        "AWS::EC2::ClientVpnEndpoint",
        "AWS::EC2::ClientVpnAuthorizationRule",
        "AWS::EC2::VPNGateway",
        "AWS::DirectConnect::DirectConnectGatewayAssociation",
    },
    "dashboards": {
        "AWS::QuickSight::DataSource",
        "AWS::QuickSight::DataSet",
        "AWS::QuickSight::Analysis",
        "AWS::QuickSight::Dashboard",
        "AWS::SNS::Subscription",
    },
    "timed-copies": {"AWS::WAFv2::WebACLAssociation"},
    "signed-renditions": {
        "AWS::CloudFront::KeyGroup",
        "AWS::CloudFront::PublicKey",
        "AWS::Shield::Protection",
    },
}
# Fields that the matrix need not vary, with the reason.
_FIXED = {
    "vpn.client_cidr": "an address range like any other",
    "vpn.zones": "a count of associations",
    "direct_connect.asn": "a number that is passed on",
}


@pytest.mark.parametrize("name", MATRIX)
def test_every_rule_holds(name: str, switched: Switched) -> None:
    synthesis = switched(name)
    assert synthesis.findings == []
    faults = [fault for rule in RULES for fault in rule.check(synthesis.assembly)]
    assert faults == []
    types = {one.type for one in synthesis.assembly.resources()}
    assert BROUGHT.get(name, set()) <= types


def _fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        yield f"{path}{name}"
        if inner and name not in ("head", "worker", "ingest", "cells", "existing"):
            yield from _fields(inner[0], f"{path}{name}.")


def test_every_setting_is_varied_or_need_not_be() -> None:
    varied = {name for _, change in MATRIX.values() for name in change}
    inside = {
        f"{name}.{part}"
        for _, change in MATRIX.values()
        for name, value in change.items()
        if isinstance(value, dict)
        for part in value
    }
    known = varied | inside | _FIXED.keys()
    covered = (
        known | {name.rsplit(".", 1)[0] for name in known} | {name.split(".")[0] for name in known}
    )
    fields = set(_fields(Settings))
    assert fields - covered == set()
    assert _FIXED.keys() <= fields


@pytest.mark.parametrize(
    "change",
    [
        {"replica_region": "eu-west-1"},
        {"network.nat_gateways": 3, "zones": ["eu-west-1a", "eu-west-1b"]},
        {"zones": ["eu-west-1a", "eu-west-1b"]},
        {"role": "standby"},
        {"standby_bucket": "x"},
        {"warm": True},
        {
            "direct_connect": {
                "allowed_prefixes": ["10.0.0.0/8"],
                "client_cidrs": ["10.60.0.0/16"],
            }
        },
        {"cluster.cells": [{"name": "a", "image_tag": "1", "running": False}]},
        {"cluster.cells": [{"name": "a", "image_tag": "1"}, {"name": "a", "image_tag": "2"}]},
        {"cluster.worker.minimum": 50},
        {"kafka.retention_hours": 24},
        {"kafka.images_per_second": 1000, "kafka.storage_gb": 1000},
        {"clutser": {}},
    ],
    ids=str,
)
def test_what_does_not_hold_together_is_refused(change: Change) -> None:
    with pytest.raises(ValidationError):
        changed("small", change)


@pytest.mark.parametrize(
    "change",
    [
        {"kafka.existing": None, "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"]},
        {"cluster.gcs_fault_tolerance": True},
        {"network.interface_endpoints": True},
        {"network.nat_gateways": 2},
        {"vpn_gateway": True},
        {"cluster.cells": [{"name": "a", "image_tag": "1"}, {"name": "b", "image_tag": "2"}]},
    ],
    ids=str,
)
def test_a_compact_environment_refuses_what_needs_more(change: Change) -> None:
    with pytest.raises(ValidationError, match="compact: does not go with"):
        changed(COMMITTED, change)


@pytest.mark.parametrize(
    ("storage_gb", "rate", "hours"),
    [
        # Three disks of 40 GB take 24 GB of messages; an hour of 1.2 MB a second has 4.3 GB.
        (40, 1, 4),
        (1000, 1, 24),
        (40, 0.1, 24),
    ],
)
def test_kafka_keeps_a_day_or_what_the_disks_take(storage_gb: int, rate: float, hours: int) -> None:
    settings = changed("small", {"kafka.storage_gb": storage_gb, "kafka.images_per_second": rate})
    assert settings.kafka.hours(len(settings.zones)) == hours
    assert Settings.load("large").kafka.hours(3) == 24


def test_a_region_without_a_known_prefix_list_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    change = {"region": "sa-east-1", "zones": ["sa-east-1a", "sa-east-1b", "sa-east-1c"]}
    with pytest.raises(KeyError, match="cloudfront_prefix_list"):
        Synthesis(tmp_path_factory.mktemp("unknown"), changed("small", change), nag=False)
