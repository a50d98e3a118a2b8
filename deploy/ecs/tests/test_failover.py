"""The way of a request through DNS, CloudFront, listener rule and target group, in two regions.

The rules of AWS are those of its documents: Route 53 Developer Guide, "How Amazon Route 53 chooses
records when health checking is configured"; API Reference of Route 53, HealthCheckConfig and
AliasTarget; User Guide for Application Load Balancers, "Target group health" and "Weighted target
groups"; Secrets Manager User Guide, "Replicate secrets across Regions". Of these only the texts of
HealthThreshold and InsufficientDataHealthStatus were read (AWS SDK for Kotlin, Route 53,
2026-12-03); the others are from memory.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.assembly import Assembly, Resource
from tests.conftest import Switched

_UNAVAILABLE = 503
Hosts = dict[str, int]
"""healthy tasks by cell"""


@dataclass(frozen=True, slots=True)
class Region:
    """Stacks of a region, with its healthy tasks."""

    stacks: Assembly
    healthy: Hosts

    def in_service(self, group: str) -> int:
        """Healthy targets of a target group."""
        return sum(
            self.healthy.get(service.stack.removeprefix("cell-"), 0)
            for service in self.stacks.resources("AWS::ECS::Service")
            for one in service.props.get("LoadBalancers") or ()
            if self.stacks.text(service.stack, one["TargetGroupArn"]) == group
        )

    def record(self) -> Resource:
        """Failover record of the origin."""
        return self.stacks.one("platform", "Origin")

    def is_healthy(self) -> bool:
        """Whether Route 53 answers with this region."""
        assert self.record().props["AliasTarget"]["EvaluateTargetHealth"] is False
        config = self.stacks.one("platform", "OriginHealth").props["HealthCheckConfig"]
        children = [one["Fn::GetAtt"][0] for one in config["ChildHealthChecks"]]
        return sum(map(self._child, children)) >= int(config["HealthThreshold"])

    def _child(self, id: str) -> bool:
        config = self.stacks.one("platform", id).props["HealthCheckConfig"]
        alarm = self.stacks.one("platform", config["AlarmIdentifier"]["Name"]["Ref"]).props
        assert config["InsufficientDataHealthStatus"] == "Unhealthy"
        assert alarm["TreatMissingData"] == "breaching"
        [group] = [
            one["Value"]["Fn::GetAtt"][0]
            for one in alarm["Dimensions"]
            if one["Name"] == "TargetGroup"
        ]
        return self.in_service(f"${{platform/{group}}}") >= int(alarm["Threshold"])

    def answer(self, header: str, secrets: dict[str, str]) -> list[tuple[float, int]]:
        """Shares of requests that read, and the status that each share gets."""
        rules = self.stacks.resources("AWS::ElasticLoadBalancingV2::ListenerRule")
        for rule in sorted(rules, key=lambda one: int(one.props["Priority"])):
            [wanted] = rule.props["Conditions"][0]["HttpHeaderConfig"]["Values"]
            if _value(self.stacks.text("platform", wanted), secrets) == header:
                return self._act(rule.props["Actions"][0])
        return [(1.0, 403)]

    def accepts(self) -> bool:
        """Whether workers accept uploads, and do not answer them 503 `standby`."""
        told = {
            variable["Name"]: variable["Value"]
            for variable in self.stacks.one("cell-a", "Worker").props["ContainerDefinitions"][0][
                "Environment"
            ]
        }
        # The sealer and the consumer go by the same setting.
        assert (told["NODE_LEADS"] == "true") != (told["PIXLAKE_STANDBY"] == "true")
        return bool(told["PIXLAKE_STANDBY"] == "false")

    def _act(self, action: dict[str, Any]) -> list[tuple[float, int]]:
        if action["Type"] == "fixed-response":
            return [(1.0, int(action["FixedResponseConfig"]["StatusCode"]))]
        groups = action["ForwardConfig"]["TargetGroups"]
        whole = sum(one["Weight"] for one in groups)
        return [
            (
                one["Weight"] / whole,
                200
                if self.in_service(self.stacks.text("platform", one["TargetGroupArn"]))
                else _UNAVAILABLE,
            )
            for one in groups
            if one["Weight"]
        ]


def _value(reference: str, secrets: dict[str, str]) -> str:
    arn = reference.removeprefix("{{resolve:secretsmanager:").removesuffix(":SecretString}}")
    return secrets.get(arn, f"another secret than that of {arn}")


def _secrets(primary: Region, standby: Region) -> dict[str, str]:
    """Values by ARN; a replicated secret has its value in the other region, too."""
    values = {"${platform/OriginSecret}": "shared"}
    secret = primary.stacks.one("platform", "OriginSecret").props
    copied = {one["Region"] for one in secret.get("ReplicaRegions", ())}
    if standby.stacks.region("platform") in copied:
        values["arn:aws:secretsmanager:eu-central-1::secret:OriginSecret-1a2b3c"] = "shared"
    return values


def request(primary: Region, standby: Region) -> tuple[str, list[tuple[float, int]]]:
    """Send requests; returns the region that answers, and shares with their status."""
    records = [primary.record().props, standby.record().props]
    assert [one["Failover"] for one in records] == ["PRIMARY", "SECONDARY"]
    assert records[0]["Name"] == records[1]["Name"]
    origin = primary.stacks.one("cdn", "Distribution").props["DistributionConfig"]["Origins"][0]
    assert origin["DomainName"] == records[0]["Name"]
    [header] = origin["OriginCustomHeaders"]
    secrets = _secrets(primary, standby)
    value = _value(primary.stacks.text("cdn", header["HeaderValue"]), secrets)
    # If no record is healthy, Route 53 answers with the primary one.
    moved = not primary.is_healthy() and standby.is_healthy()
    region = standby if moved else primary
    return ("standby" if moved else "primary"), region.answer(value, secrets)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ({"a": 2}, {"a": 2}, ("primary", [(1.0, 200)])),
        ({"a": 2}, {}, ("primary", [(1.0, 200)])),
        ({}, {"a": 2}, ("standby", [(1.0, 200)])),
        ({}, {}, ("primary", [(1.0, 503)])),
    ],
)
def test_requests_go_where_a_node_is_healthy(
    assemblies: dict[str, Assembly],
    switched: Switched,
    first: Hosts,
    second: Hosts,
    wanted: object,
) -> None:
    standby = Region(switched("standby").assembly, second)
    assert request(Region(assemblies["small"], first), standby) == wanted


def test_one_region_accepts_uploads_in_every_state_of_a_failover(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    """A region that does not lead serves images only, also if Route 53 moves by itself."""
    first, standby = Region(assemblies["small"], {"a": 2}), Region(switched("standby").assembly, {})
    assert (first.accepts(), standby.accepts()) == (True, False)
    left = Region(switched("left-region").assembly, {"a": 3, "b": 3})
    promoted = Region(switched("promoted-standby").assembly, {"a": 2})
    assert (left.accepts(), promoted.accepts()) == (False, True)
    assert request(left, promoted) == ("standby", [(1.0, 200)])


@pytest.mark.parametrize("name", ["standby", "left-region"])
def test_no_canary_is_sent_to_a_region_that_refuses_it(switched: Switched, name: str) -> None:
    stacks = switched(name).assembly
    schedules = stacks.resources("AWS::Scheduler::Schedule")
    assert {one.props["State"] for one in schedules} == {"DISABLED"}
    assert not [one for one in stacks.resources("AWS::CloudWatch::Alarm") if one.stack == "canary"]


def test_a_dead_cell_costs_no_request_and_does_not_move_the_region(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    standby = Region(switched("standby").assembly, {"a": 2})
    alive = Region(assemblies["large"], {"a": 3, "b": 0})
    assert request(alive, standby) == ("primary", [(1.0, 200)])


def test_a_region_that_was_left_sends_all_to_the_standby(switched: Switched) -> None:
    left = Region(switched("left-region").assembly, {"a": 3, "b": 3})
    standby = Region(switched("standby").assembly, {"a": 2})
    assert request(left, standby) == ("standby", [(1.0, 200)])
    assert left.answer("shared", {"${platform/OriginSecret}": "shared"}) == [(1.0, 503)]


def test_a_resting_standby_gets_nothing(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    resting = Region(switched("resting-standby").assembly, {})
    assert not resting.is_healthy()
    assert request(Region(assemblies["small"], {"a": 1}), resting)[0] == "primary"


def test_new_code_gets_its_share(switched: Switched) -> None:
    roll = Region(switched("new-code").assembly, {"a": 2, "b": 2})
    assert roll.answer("shared", {"${platform/OriginSecret}": "shared"}) == [
        (0.95, 200),
        (0.05, 200),
    ]


def test_who_knows_no_secret_is_refused(assembly: Assembly) -> None:
    assert Region(assembly, {"a": 1}).answer("guessed", {}) == [(1.0, 403)]


def test_exactly_one_region_seals(assemblies: dict[str, Assembly], switched: Switched) -> None:
    """A standby neither seals nor sweeps, and copies end before it leads."""

    def leads(one: Assembly) -> set[str]:
        return {
            variable["Value"]
            for task in one.resources("AWS::ECS::TaskDefinition")
            for variable in task.props["ContainerDefinitions"][0]["Environment"]
            if variable["Name"] == "NODE_LEADS"
        }

    assert leads(assemblies["small"]) == {"true"}
    assert leads(switched("standby").assembly) == {"false"}
    assert leads(switched("promoted-standby").assembly) == {"true"}
    left = switched("left-region").assembly
    assert leads(left) == {"false"}
    [denied] = [
        one
        for one in left.one("replica", "LakePolicy").props["PolicyDocument"]["Statement"]
        if one.get("Sid") == "NoMoreCopies"
    ]
    assert denied["Effect"] == "Deny"
    assert set(denied["Action"]) == {"s3:ReplicateObject", "s3:ReplicateDelete"}


def test_both_regions_have_the_password_of_the_accounts(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    user = assemblies["small"].one("data", "DatabaseUser").props
    standby = switched("standby").assembly
    assert [one["Region"] for one in user["ReplicaRegions"]] == [standby.region("data")]
    container = standby.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    secrets = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
    arn = "arn:aws:secretsmanager:eu-central-1::secret:DatabaseUser-1a2b3c"
    assert secrets["NODE_DATABASE_PASSWORD"] == f"{arn}:password::"
    starter = standby.statements(standby.one("cell-a", "WorkerExecution"))
    read = [one["Resource"] for one in starter if "GetSecretValue" in str(one["Action"])]
    assert arn in str(read)


def test_a_restored_database_has_another_master_secret(switched: Switched) -> None:
    left = switched("left-region").assembly
    container = left.one("cell-a", "Setup").props["ContainerDefinitions"][0]
    secrets = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
    assert "secret:rds!db-x:password" in secrets["SETUP_MASTER_PASSWORD"]
