"""Rules for deployable stacks, and for alarms, logs and protected data."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.assembly import Assembly, Json
from tests.rules.rule import Rule

_ROOT = Path(__file__).parents[4]
# CloudFormation's limits: resources and outputs of a template, and bytes.
_MOST_RESOURCES, _MOST_OUTPUTS, _LARGEST = 500, 200, 1_000_000
_KEPT = {"foundation", "replica", "network", "data", "streaming", "protection"}
_WAF_LOG = "aws-waf-logs-"
# Properties with names that must be unique in an account and region, or in all of AWS.
_NAMED = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::Backup::BackupVault": "BackupVaultName",
    "AWS::CloudFront::Function": "Name",
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::MSK::Cluster": "ClusterName",
    "AWS::MSK::Configuration": "Name",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::ServiceDiscovery::PrivateDnsNamespace": "Name",
}
# Properties with names that CloudFormation generates.
_UNNAMED = {
    "AWS::IAM::Role": "RoleName",
    "AWS::S3::Bucket": "BucketName",
}


def alarms_reach_somebody(assembly: Assembly) -> Iterator[str]:
    for alarm in assembly.resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        # Only Route 53 reads the alarm NoHealthyNode; the alarms on workers notify operators.
        if not alarm.id.startswith("NoHealthyNode") and not alarm.props.get("AlarmActions"):
            yield f"{alarm.name}: notifies nobody"
        page = re.search(r"docs/runbook/[\w-]+\.md", alarm.props["AlarmDescription"])
        if not page or not (_ROOT / page[0]).exists():
            yield f"{alarm.name}: has no page in the runbook"


def _mute(assembly: Assembly) -> None:
    assembly.first("AWS::CloudWatch::CompositeAlarm").props["AlarmActions"] = []


def logs_end(assembly: Assembly) -> Iterator[str]:
    for group in assembly.resources("AWS::Logs::LogGroup"):
        name = group.props["LogGroupName"]
        if not group.props.get("RetentionInDays"):
            yield f"{group.name}: keeps its lines for ever"
        if not name.startswith(_WAF_LOG) and "KmsKeyId" not in group.props:
            yield f"{group.name}: is not encrypted"
    made = {group.props["LogGroupName"] for group in assembly.resources("AWS::Logs::LogGroup")}
    for one in assembly.resources("AWS::RDS::DBInstance"):
        for log in one.props.get("EnableCloudwatchLogsExports", ()):
            if f"/aws/rds/instance/{one.props.get('DBInstanceIdentifier')}/{log}" not in made:
                yield f"{one.name}: RDS creates the group of {log} itself, without a retention"


def _endless(assembly: Assembly) -> None:
    del assembly.one("cell-a", "WorkerLog").props["RetentionInDays"]


def data_is_hard_to_delete(assembly: Assembly) -> Iterator[str]:
    for name, artifact in assembly.manifest["artifacts"].items():
        short = name.removeprefix(f"pixlake-{assembly.stage}-")
        if short in _KEPT and not artifact["properties"].get("terminationProtection"):
            yield f"{short}: can be deleted by one command"
    for kind in ("AWS::KMS::Key", "AWS::S3::Bucket"):
        for one in assembly.resources(kind):
            if one.raw.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate"):
                yield f"{one.name}: is deleted with its stack, or blocks the deletion of the stack"


def _easy_to_delete(assembly: Assembly) -> None:
    key = assembly.one("foundation", "Key")
    key.raw["DeletionPolicy"] = "Delete"


def references(value: Any) -> Iterator[Json]:
    match value:
        case {"Fn::GetStackOutput": dict(of)}:
            yield of
        case dict():
            for one in value.values():
                yield from references(one)
        case list():
            for one in value:
                yield from references(one)


def references_lead_somewhere(assembly: Assembly) -> Iterator[str]:
    for stack, template in assembly.templates.items():
        if "Fn::ImportValue" in json.dumps(template):
            yield f"{stack}: imports an export, whose value then can't change"
        for of in references(template):
            other = of["StackName"].removeprefix(f"pixlake-{assembly.stage}-")
            outputs = assembly.templates.get(other, {}).get("Outputs", {})
            if of["OutputName"] not in outputs:
                yield f"{stack}: {other} has no output {of['OutputName']}"


def _lost_output(assembly: Assembly) -> None:
    assembly.templates["data"]["Outputs"] = {}


def stacks_stand_on_earlier_ones(assembly: Assembly) -> Iterator[str]:
    """Stacks in a circle could never be deployed."""
    after = {
        stack: {
            of["StackName"].removeprefix(f"pixlake-{assembly.stage}-")
            for of in references(template)
        }
        for stack, template in assembly.templates.items()
    }
    while after:
        ready = {stack for stack, needs in after.items() if not needs & after.keys()}
        if not ready:
            yield f"a circle among {sorted(after)}"
            return
        after = {stack: needs for stack, needs in after.items() if stack not in ready}


def _circle(assembly: Assembly) -> None:
    reference = {
        "Fn::GetStackOutput": {
            "StackName": f"pixlake-{assembly.stage}-observability",
            "OutputName": "x",
        }
    }
    assembly.templates["foundation"]["Metadata"] = reference


def stacks_fit_into_cloudformation(assembly: Assembly) -> Iterator[str]:
    for stack, template in assembly.templates.items():
        if len(template["Resources"]) > _MOST_RESOURCES:
            yield f"{stack}: too many resources"
        if len(template.get("Outputs", {})) > _MOST_OUTPUTS:
            yield f"{stack}: too many outputs"
        if len(json.dumps(template)) > _LARGEST:
            yield f"{stack}: the template is too long"
        if "Parameters" in template or "Rules" in template:
            yield f"{stack}: needs parameters, or a bootstrapped account"


def _too_many(assembly: Assembly) -> None:
    assembly.templates["cdn"]["Parameters"] = {"BootstrapVersion": {}}


def environments_share_an_account(assembly: Assembly) -> Iterator[str]:
    """Two environments must not have the same name where AWS requires unique names."""
    prefixes = (f"pixlake-{assembly.stage}", f"pixlake_{assembly.stage}".replace("-", "_"))
    for resource in assembly.resources():
        name = resource.props.get(_NAMED.get(resource.type, ""))
        if isinstance(name, str) and not any(prefix in name for prefix in prefixes):
            yield f"{resource.name}: is named {name} in every environment"
        if resource.type in _UNNAMED and _UNNAMED[resource.type] in resource.props:
            yield f"{resource.name}: has a fixed name, so it can't be replaced"


def _one_name_for_all(assembly: Assembly) -> None:
    assembly.one("platform", "Cluster").props["ClusterName"] = "pixlake"


def nothing_names_an_account(assembly: Assembly) -> Iterator[str]:
    for stack, template in assembly.templates.items():
        for text in re.findall(r'"[^"]*"', json.dumps(template)):
            for found in re.findall(r"(?<![0-9a-fx])\d{12}(?![0-9a-f])", text):
                yield f"{stack}: {found}"


def _account(assembly: Assembly) -> None:
    assembly.templates["data"]["Metadata"] = {"arn": "arn:aws:iam::123456789012:root"}


RULES = (
    Rule(alarms_reach_somebody, _mute),
    Rule(logs_end, _endless),
    Rule(data_is_hard_to_delete, _easy_to_delete),
    Rule(references_lead_somewhere, _lost_output),
    Rule(stacks_stand_on_earlier_ones, _circle),
    Rule(stacks_fit_into_cloudformation, _too_many, needs="AWS::CloudFront::Distribution"),
    Rule(nothing_names_an_account, _account),
    Rule(environments_share_an_account, _one_name_for_all),
)
