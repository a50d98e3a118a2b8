"""The quick start's single template: small, correct, and with the rights that the store needs."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode.cfn_yaml import load  # type: ignore[import-untyped]

from infra import contract
from tests.assembly import Assembly, many
from tests.aws.priced import FREE, LINES
from tests.test_iam import VERBS

FILE = Path(__file__).parents[2] / "quickstart" / "pixlake.yaml"
_MOST_RESOURCES = 60
_ACTIONS = {"g": "s3:GetObject", "p": "s3:PutObject", "d": "s3:DeleteObject"}
_KINDS = ("Head", "Worker", "Ingest")


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = load(str(FILE))["Resources"]
    return found


def test_cloudformation_accepts_it() -> None:
    command = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([command, FILE], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_it_is_small_and_every_type_is_known(resources: dict[str, Any]) -> None:
    assert len(resources) < _MOST_RESOURCES
    free = {kind for kinds in FREE.values() for kind in kinds.split()}
    assert {one["Type"] for one in resources.values()} <= free | LINES.keys()


def test_the_bucket_has_the_rules_of_the_store(resources: dict[str, Any]) -> None:
    rules = resources["Lake"]["Properties"]["LifecycleConfiguration"]["Rules"]
    found = {one["Id"]: (one["Prefix"], one.get("ExpirationInDays")) for one in rules}
    assert found == {
        one["ID"]: (one["Filter"]["Prefix"], one.get("Expiration", {}).get("Days"))
        for one in contract.LIFECYCLE
    }


def _allowed(resources: dict[str, Any], role: str) -> Iterator[tuple[str, str]]:
    """Yield action and prefix of each right of a role on the bucket."""
    for policy in resources[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            for resource in many(statement["Resource"]):
                match = re.fullmatch(
                    r"\$\{Lake\.Arn\}/(.+?)(/\*)?", str(resource.get("Fn::Sub", ""))
                )
                if match:
                    for action in many(statement["Action"]):
                        yield action, match[1]


def _missing(resources: dict[str, Any]) -> Iterator[str]:
    """Yield the rights that nodes need below each folder of the store and do not have."""
    for place, role in enumerate(("WorkerRole", "IngestRole")):
        rights = set(_allowed(resources, role))
        for folder, verbs in VERBS.items():
            for verb in verbs[place]:
                if (_ACTIONS[verb], folder) not in rights:
                    yield f"{role}: {_ACTIONS[verb]} on {folder}"
        for verb in "gp":
            if (_ACTIONS[verb], contract.STORE) not in rights:
                yield f"{role}: {_ACTIONS[verb]} on {contract.STORE}"


def test_nodes_may_what_the_store_needs(resources: dict[str, Any]) -> None:
    assert list(_missing(resources)) == []


def test_a_folder_without_rights_is_found(resources: dict[str, Any]) -> None:
    broken = copy.deepcopy(resources)
    document = broken["IngestRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    document["Statement"] = document["Statement"][:1]
    assert "IngestRole: s3:PutObject on audit-log" in set(_missing(broken))


@pytest.mark.parametrize("kind", _KINDS)
def test_containers_have_the_walls_and_variables_of_the_stacks(
    resources: dict[str, Any], assembly: Assembly, kind: str
) -> None:
    [own] = resources[kind]["Properties"]["ContainerDefinitions"]
    [theirs] = assembly.one("cell-a", kind).props["ContainerDefinitions"]
    same = (
        "User",
        "ReadonlyRootFilesystem",
        "StopTimeout",
        "HealthCheck",
        "MountPoints",
        "Command",
    )
    assert {name: own.get(name) for name in same} == {name: theirs.get(name) for name in same}
    assert own["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    names = {one["Name"] for one in own["Environment"] if "Name" in one}
    known = {one["Name"] for one in theirs["Environment"]}
    assert names - known <= {"PIXLAKE_KAFKA_SECURITY_PROTOCOL"}
    # Nothing of accounts, Valkey, CloudFront, and of Kafka on other nodes; the rest must be there.
    for name in known - names:
        assert re.match(
            r"NODE_(CACHE|DATABASE|KAFKA|KIND|LEADS)|RAY_(REDIS|external)"
            r"|PIXLAKE_(CLOUDFRONT|KAFKA|STANDBY)",
            name,
        )
