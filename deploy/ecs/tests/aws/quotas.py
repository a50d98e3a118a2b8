"""Quotas of a new account, by the codes of Service Quotas, and the documents that say so."""

from typing import Final, NamedTuple


class Sourced(NamedTuple):
    """Quota's default in a new account."""

    service: str
    default: int
    document: str


SOURCED: Final = {
    # Fargate counts vCPUs; General Reference: 6 in a new account.
    "L-3032A538": Sourced("fargate", 6, "fargate-quotas"),
    "L-36FBB829": Sourced("fargate", 6, "fargate-quotas"),
    "L-1216C47A": Sourced("ec2", 5, "ec2-quotas"),
    "L-34B43A08": Sourced("ec2", 5, "ec2-quotas"),
    "L-0263D0A3": Sourced("ec2", 5, "vpc-quotas"),
}
