"""Limits of AWS that settings must keep; a message names the setting, the limit and the value."""

import ipaddress
import itertools
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from infra.settings import Settings

# ACM User Guide, "Certificate characteristics": the first name has at most 64 characters.
_LONGEST_NAME = 64
# EC2 Client VPN Administrator Guide, "Rules and best practices".
_VPN_PREFIXES = range(12, 23)
# VPC User Guide, "VPC CIDR blocks": /16 to /28. Three zones of the stacks' subnets need a /18.
_VPC_PREFIXES = range(16, 19)
# ECS Developer Guide, "maximumPercent": a deployment runs half as many tasks more.
_ROLL = 1.5
_ARM = re.compile(r"[a-z]+\d+g[a-z]*\.")


class Quota(NamedTuple):
    """Quota of a new account, from the General Reference, "Service endpoints and quotas"."""

    service: str
    code: str
    name: str
    default: int


QUOTAS: Final = {
    "fargate": Quota("fargate", "L-3032A538", "Fargate On-Demand vCPU resource count", 6),
    "fargate-spot": Quota("fargate", "L-36FBB829", "Fargate Spot vCPU resource count", 6),
    "on-demand": Quota("ec2", "L-1216C47A", "Running On-Demand Standard instances, vCPUs", 5),
    "spot": Quota("ec2", "L-34B43A08", "All Standard Spot Instance Requests, vCPUs", 5),
    "addresses": Quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs", 5),
}
_HOST_VCPUS = 8
_ADDRESSES_OF_OTHERS = 2


def needed(settings: "Settings") -> dict[str, int]:
    """Return the values that quotas need: all tasks at their maximum during a roll, a set-up."""
    cluster = settings.cluster
    cells = len(cluster.cells)
    found = {"addresses": settings.network.nat_gateways + _ADDRESSES_OF_OTHERS}
    if settings.on_ec2:
        hosts = cluster.hosts
        base = hosts.on_demand_base + cells
        above = max(0, hosts.maximum - hosts.on_demand_base)
        on_demand = base + math.ceil(above * hosts.on_demand_percent / 100)
        found["on-demand"] = on_demand * _HOST_VCPUS
        found["spot"] = (hosts.maximum - hosts.on_demand_base) * _HOST_VCPUS
        return found
    kinds = (cluster.worker, cluster.ingest)
    units = cells * sum(math.ceil(one.maximum * _ROLL) * one.cpu for one in kinds)
    # Two heads: that of the cell and the set-up task, which has a head's size.
    heads = cells * 2 * cluster.head.cpu
    # With Spot one worker of each deployment is On-Demand (parts/service.py).
    always = cells * 2 * cluster.worker.cpu if cluster.spot else units
    found["fargate"] = math.ceil((heads + always) / 1024)
    if cluster.spot:
        found["fargate-spot"] = math.ceil((units - always) / 1024)
    return found


def faults(settings: "Settings") -> Iterator[str]:
    """Yield what AWS would refuse during the deployment."""
    yield from _places(settings)
    yield from _addresses(settings)
    yield from _hosts(settings)
    domain = settings.domain
    if len(domain.origin) > _LONGEST_NAME:
        yield (
            f"domain.name: {domain.origin} has {len(domain.origin)} characters, a certificate "
            f"takes {_LONGEST_NAME}"
        )
    if domain.name != domain.zone and not domain.name.endswith(f".{domain.zone}"):
        yield f"domain.name: {domain.name} is not in domain.zone, {domain.zone}"


def _places(settings: "Settings") -> Iterator[str]:
    region = settings.region
    for zone in settings.zones:
        if not re.fullmatch(rf"{re.escape(region)}[a-z]", zone):
            yield f"zones: {zone} is not a zone of region {region}"
    if len(set(settings.zones)) != len(settings.zones):
        yield f"zones: a zone is named twice in {', '.join(settings.zones)}"
    arns = {
        "standby_key_arn": settings.standby_key_arn,
        "standby_origin_secret_arn": settings.standby_origin_secret_arn,
        "standby_database_secret_arn": settings.standby_database_secret_arn,
        "database.master_secret_arn": settings.database.master_secret_arn,
        "vpn.server_certificate_arn": settings.vpn and settings.vpn.server_certificate_arn,
    }
    for name, arn in arns.items():
        parts = (arn or f"arn:aws:none:{region}:").split(":")
        if len(parts) < 5 or parts[3] != region:  # noqa: PLR2004  # arn:partition:service:region:…
            yield f"{name}: {arn} is not an ARN of region {region}"


def _ranges(settings: "Settings") -> dict[str, str]:
    """Return the address ranges that must not overlap, by the names of their settings."""
    existing = settings.network.existing
    ranges = (
        {"network.existing.cidr": existing.cidr}
        if existing
        else {"network.cidr": settings.network.cidr}
    )
    if settings.vpn:
        ranges["vpn.client_cidr"] = settings.vpn.client_cidr
    if settings.direct_connect:
        for number, text in enumerate(settings.direct_connect.client_cidrs):
            ranges[f"direct_connect.client_cidrs[{number}]"] = text
    return ranges


def _addresses(settings: "Settings") -> Iterator[str]:
    parsed = {}
    for name, text in _ranges(settings).items():
        try:
            parsed[name] = ipaddress.IPv4Network(text)
        except ValueError as error:
            yield f"{name}: {error}"
    for name, prefixes in (("network.cidr", _VPC_PREFIXES), ("vpn.client_cidr", _VPN_PREFIXES)):
        if name in parsed and parsed[name].prefixlen not in prefixes:
            yield f"{name}: {parsed[name]} is not a /{prefixes[0]} to /{prefixes[-1]}"
    networks = list(parsed.items())
    for (name, one), (other, two) in itertools.combinations(networks, 2):
        if one.overlaps(two):
            yield f"{other}: {two} overlaps {name}, {one}"


def _hosts(settings: "Settings") -> Iterator[str]:
    cluster = settings.cluster
    if not settings.on_ec2:
        return
    arm = cluster.architecture == "arm64"
    for name in (*cluster.hosts.worker_types, cluster.hosts.head_type):
        if bool(_ARM.match(name)) != arm:
            yield f"cluster.hosts: {name} does not run {cluster.architecture}"
    tasks = cluster.worker.maximum + cluster.ingest.maximum
    most = math.ceil(len(cluster.cells) * tasks * _ROLL)
    if cluster.hosts.maximum < most:
        yield (
            f"cluster.hosts.maximum: {cluster.hosts.maximum} hosts, but a roll at full scale "
            f"needs {most}"
        )
