"""Rules for facts about AWS that are not metrics: routing, condition keys, service-linked roles."""

from collections.abc import Iterator
from typing import Any

from tests.assembly import Assembly, Resource, many
from tests.aws.conditions import BY_SERVICES, GLOBAL, SUPPORTED
from tests.rules.rule import Rule

# "alb-health", "alb-forward", "route53-alias", "route53-health" of tests/aws/documents.py.


def _statements(value: Any) -> Iterator[dict[str, Any]]:
    match value:
        case {"Effect": str(), "Action": _}:
            yield value
        case dict():
            for one in value.values():
                yield from _statements(one)
        case list():
            for one in value:
                yield from _statements(one)


def _supported(action: str, key: str) -> bool:
    known = SUPPORTED.get(action, set())
    return any(
        key == one or (one.endswith("*") and key.startswith(one.removesuffix("*"))) for one in known
    )


def condition_keys_are_in_the_request(assembly: Assembly) -> Iterator[str]:
    """A key that the request never has makes a permission that nobody has (service reference)."""
    for resource in assembly.resources():
        for statement in _statements(resource.props):
            asked = statement.get("Condition", {}).values()
            for key in {name for operator in asked for name in operator}:
                yield from _faults_of(resource, statement, key)


def _faults_of(resource: Resource, statement: dict[str, Any], key: str) -> Iterator[str]:
    if key in GLOBAL:
        return
    if key in BY_SERVICES:
        principal = statement.get("Principal")
        if not isinstance(principal, dict) or "Service" not in principal:
            yield f"{resource.name}: only a service's request has {key}"
        return
    for action in many(statement["Action"]):
        if not _supported(action, key):
            yield f"{resource.name}: {action} has no {key}"


def _key_of_another_action(assembly: Assembly) -> None:
    key = assembly.one("foundation", "Key")
    for statement in _statements(key.props):
        if "kms:EncryptionContext:aws:logs:arn" in str(statement.get("Condition")):
            statement["Action"] = [*many(statement["Action"]), "kms:DescribeKey"]


def aliases_do_not_ask_the_balancer(assembly: Assembly) -> Iterator[str]:
    """Route 53: a target group without targets makes the balancer unhealthy (route53-alias)."""
    for record in assembly.resources("AWS::Route53::RecordSet"):
        alias = record.props.get("AliasTarget", {})
        if "Failover" in record.props and alias.get("EvaluateTargetHealth") is not False:
            yield f"{record.name}: an empty target group moves the region"


def _asks_the_balancer(assembly: Assembly) -> None:
    assembly.one("platform", "Origin").props["AliasTarget"]["EvaluateTargetHealth"] = True


def silence_of_an_alarm_is_unhealthy(assembly: Assembly) -> Iterator[str]:
    """Route 53 reads the alarm's data; without data this setting decides (route53-health)."""
    for check in assembly.resources("AWS::Route53::HealthCheck"):
        config = check.props["HealthCheckConfig"]
        silent = config.get("InsufficientDataHealthStatus")
        if config["Type"] == "CLOUDWATCH_METRIC" and silent != "Unhealthy":
            yield f"{check.name}: is {silent} without data"


def _last_known(assembly: Assembly) -> None:
    for check in assembly.resources("AWS::Route53::HealthCheck"):
        check.props["HealthCheckConfig"]["InsufficientDataHealthStatus"] = "LastKnownStatus"


def equal_cells_share_a_group(assembly: Assembly) -> Iterator[str]:
    """The balancer divides requests by weight, also to a group without a healthy target.

    Within a group it leaves out unhealthy targets (alb-forward, alb-health).
    """
    rules = list(assembly.resources("AWS::ElasticLoadBalancingV2::ListenerRule"))
    # Later rules have the same condition, so no request reaches them.
    for rule in sorted(rules, key=lambda one: one.props["Priority"])[:1]:
        for action in rule.props["Actions"]:
            groups = action.get("ForwardConfig", {}).get("TargetGroups", ())
            weights = [one["Weight"] for one in groups if one["Weight"]]
            if len(weights) > 1 and len(set(weights)) == 1:
                yield f"{rule.name}: a dead cell keeps its share of the requests"


def _a_share_each(assembly: Assembly) -> None:
    rule = assembly.one("platform", "FromCloudFront")
    groups = rule.props["Actions"][0]["ForwardConfig"]["TargetGroups"]
    rule.props["Actions"][0]["ForwardConfig"]["TargetGroups"] = [
        {**groups[0], "Weight": 50},
        {**groups[0], "Weight": 50},
    ]


RULES = (
    Rule(condition_keys_are_in_the_request, _key_of_another_action),
    Rule(aliases_do_not_ask_the_balancer, _asks_the_balancer),
    Rule(silence_of_an_alarm_is_unhealthy, _last_known),
    Rule(equal_cells_share_a_group, _a_share_each),
)
