"""Diagrams of the architecture, made from the templates: `python diagram.py` writes a docs page.

The page docs/architecture.md has two diagrams: stacks with their resources and references, and
connections by port, from the security groups. `tests/test_pages.py` fails if the page is out of
date.
"""

import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import infra  # noqa: F401  # names the Node that jsii runs on, before aws_cdk is imported
from infra.build import build, new_app
from infra.settings import Settings

ENVIRONMENT = "large"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
_HEAD = """\
# Architecture on AWS

Written by `deploy/ecs/diagram.py` from the templates of the environment `{environment}`; a test
of `make deploy-check` compares it. What runs on the nodes: [design.md](design.md).

## Stacks

The main resources of each stack, and an arrow to each stack that uses one of its outputs.

"""
_BETWEEN = """
## Connections

Every rule of the security groups; no other connection is possible. `CloudFront` is AWS's list of
CloudFront's addresses. The outgoing rule to `0.0.0.0/0` is for AWS's APIs, through the NAT gateway.

"""
# Resource types on the page; resources of other types only connect these.
_SHOWN = {
    "ApplicationAutoScaling::ScalingPolicy": "scaling policy",
    "Athena::WorkGroup": "Athena workgroup",
    "Backup::BackupPlan": "backup plan",
    "Budgets::Budget": "budget",
    "CertificateManager::Certificate": "certificate",
    "CloudFront::Distribution": "CloudFront",
    "CloudTrail::Trail": "CloudTrail",
    "CloudWatch::Alarm": "alarm",
    "CloudWatch::Dashboard": "dashboard",
    "EC2::NatGateway": "NAT gateway",
    "EC2::Subnet": "subnet",
    "EC2::VPC": "VPC",
    "EC2::VPCEndpoint": "VPC endpoint",
    "ECR::Repository": "ECR repository",
    "ECS::Cluster": "ECS cluster",
    "ECS::Service": "ECS service",
    "ElastiCache::ReplicationGroup": "Valkey group",
    "ElasticLoadBalancingV2::LoadBalancer": "ALB",
    "ElasticLoadBalancingV2::TargetGroup": "target group",
    "Glue::Table": "Glue table",
    "IAM::Role": "role",
    "KMS::Key": "KMS key",
    "MSK::Cluster": "MSK cluster",
    "MSK::Topic": "topic",
    "RDS::DBInstance": "PostgreSQL",
    "Route53::HealthCheck": "health check",
    "Route53::RecordSet": "DNS record",
    "S3::Bucket": "bucket",
    "SecretsManager::Secret": "secret",
    "SNS::Topic": "SNS topic",
    "WAFv2::WebACL": "web ACL",
}
_GROUP = re.compile(r"(Alb|Node|Database|Cache|Kafka|Vpn|Endpoints)")

Json = dict[str, Any]


def page(folder: Path, stage: str) -> str:
    """Build the page from a folder of templates."""
    templates = {
        file.name.removeprefix(f"pixlake-{stage}-").removesuffix(".template.json"): json.loads(
            file.read_text()
        )
        for file in sorted(folder.glob("*.template.json"))
    }
    return (
        _HEAD.format(environment=stage)
        + _mermaid(_stacks(templates, stage))
        + _BETWEEN
        + _mermaid(_paths(templates["network"]["Resources"]))
    )


def _mermaid(lines: Iterator[str]) -> str:
    return "```mermaid\nflowchart LR\n" + "".join(f"  {line}\n" for line in lines) + "```\n"


def _stacks(templates: dict[str, Json], stage: str) -> Iterator[str]:
    for name, template in templates.items():
        kinds = Counter(one["Type"].removeprefix("AWS::") for one in template["Resources"].values())
        held = [
            f"{number} {_SHOWN[kind]}" if number == 1 else f"{number} {_many(_SHOWN[kind])}"
            for kind, number in sorted(kinds.items())
            if kind in _SHOWN
        ]
        yield f'{_id(name)}["<b>{name}</b><br/>{"<br/>".join(held)}"]'
    for name, template in templates.items():
        text = json.dumps(template)
        found = set(re.findall(rf'"StackName": "pixlake-{stage}-([a-z0-9-]+)"', text))
        for other in sorted(found):
            yield f"{_id(other)} --> {_id(name)}"


def _many(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("policy") else f"{word}s"


def _paths(resources: dict[str, Json]) -> Iterator[str]:
    ports: dict[tuple[str, str], set[str]] = defaultdict(set)
    for id_, resource in resources.items():
        rule = resource.get("Properties", {})
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
            source = _name(rule.get("SourceSecurityGroupId")) or "CloudFront"
            ports[source, _name(rule["GroupId"])].add(_port(rule))
        elif resource["Type"] == "AWS::EC2::SecurityGroup":
            group = _name(id_)
            for inner in rule.get("SecurityGroupIngress", []):
                ports["CloudFront", group].add(_port(inner))
            for inner in rule.get("SecurityGroupEgress", []):
                if inner["CidrIp"] == "0.0.0.0/0":
                    ports[group, "0.0.0.0/0"].add(_port(inner))
    for (source, target), found in sorted(ports.items()):
        label = ", ".join(sorted(found))
        yield f'{_id(source)}["{source}"] -- "{label}" --> {_id(target)}["{target}"]'


def _name(of: Any) -> str:
    found = _GROUP.search(json.dumps(of)) if of else None
    return found[1] if found else ""


def _port(rule: Json) -> str:
    first, last = rule.get("FromPort"), rule.get("ToPort")
    return str(first) if first == last else "all TCP"


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name).replace("0_0_0_0_0", "internet")


def main() -> None:
    """Synthesize an environment and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(ENVIRONMENT)
        app = new_app(folder)
        build(app, settings)
        app.synth()
        PAGE.write_text(page(Path(folder), settings.stage))


if __name__ == "__main__":
    main()
