"""Settings that AWS would refuse during a deployment are refused before it, by their names."""

from typing import Any

import pytest
from pydantic import ValidationError

from infra.aws_limits import QUOTAS, needed
from infra.settings import Settings
from quotas import commands, lacking
from tests.matrix import Change, changed

_VPN = {
    "server_certificate_arn": "arn:aws:acm:eu-west-1::certificate/x",
    "saml_provider_arn": "arn:aws:iam:::saml-provider/x",
}


@pytest.mark.parametrize(
    ("environment", "change", "named"),
    [
        ("small", {"zones": ["eu-west-1a", "eu-west-1b", "eu-west-2a"]}, "zones: eu-west-2a"),
        ("small", {"zones": ["eu-west-1a", "eu-west-1a", "eu-west-1b"]}, "zones: a zone"),
        ("small", {"domain.name": "images.example.org"}, "domain.name"),
        ("small", {"domain.name": "i" * 50 + ".example.com"}, "domain.name: origin.iii"),
        ("small", {"network.cidr": "10.0.0.0/8"}, "network.cidr"),
        ("small", {"network.cidr": "10.0.0.0/24"}, "network.cidr"),
        ("small", {"network.cidr": "10.0.0.1/16"}, "network.cidr"),
        ("small", {"vpn": {**_VPN, "client_cidr": "10.40.0.0/22"}}, "vpn.client_cidr"),
        ("small", {"vpn": {**_VPN, "client_cidr": "10.250.0.0/24"}}, "vpn.client_cidr"),
        (
            "small",
            {"vpn": {**_VPN, "server_certificate_arn": "arn:aws:acm:us-east-1::certificate/x"}},
            "vpn.server_certificate_arn",
        ),
        (
            "small",
            {
                "vpn_gateway": True,
                "direct_connect": {"allowed_prefixes": [], "client_cidrs": ["10.40.8.0/24"]},
            },
            "direct_connect.client_cidrs[0]: 10.40.8.0/24 overlaps network.cidr",
        ),
        ("small", {"database.master_secret_arn": "secret"}, "database.master_secret_arn"),
        ("large", {"cluster.architecture": "x86_64"}, "cluster.hosts: c7g.2xlarge"),
        ("large", {"cluster.hosts.maximum": 60}, "cluster.hosts.maximum"),
        ("small", {"stage": "a-stage-with-a-name-that-is-too-long"}, "stage"),
    ],
)
def test_what_aws_refuses_is_refused_with_the_name_of_the_setting(
    environment: str, change: Change, named: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        changed(environment, change)
    assert named in str(raised.value)


def test_a_new_account_is_told_which_quotas_it_lacks() -> None:
    small, large = Settings.load("small"), Settings.load("large")
    # Small: a head, a set-up and a worker of the old and the new deployment; of 12 workers and 2
    # ingest tasks of 1 vCPU the others are Spot.
    assert needed(small)["fargate"] == 1 + 1 + 2
    assert needed(small)["fargate-spot"] == 12 - 2 + 2
    always = changed("small", {"cluster.spot": False})
    assert needed(always) == {"addresses": 3, "fargate": 1 + 1 + 12 + 3}
    text = "\n".join(commands(small))
    assert "--quota-code L-36FBB829 --desired-value 12" in text
    assert "L-3032A538" not in text
    assert QUOTAS["spot"].code not in text
    text = "\n".join(commands(large))
    assert QUOTAS["on-demand"].code in text
    assert f"{QUOTAS['spot'].code} --desired-value {(80 - 3) * 8}" in text


@pytest.mark.parametrize(("spot", "lacks"), [(6.0, True), (13.0, False), (100.0, False)])
def test_an_account_is_checked_before_the_first_stack(spot: float, *, lacks: bool) -> None:
    asked = []

    def aws(*words: str) -> dict[str, Any]:
        asked.append(words)
        return {"Quota": {"Value": spot if "L-36FBB829" in words else 1000.0}}

    found = "\n".join(lacking(changed("small", {}), aws))
    assert len(asked) == len(needed(Settings.load("small")))
    assert ("this account has 6" in found) is lacks
    assert ("--quota-code L-36FBB829 --desired-value 13" in found) is lacks
