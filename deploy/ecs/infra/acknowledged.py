"""Findings of cdk-nag that we live with, and why.

`tests/test_nag.py` refuses any other one, and any
entry here that no longer meets a finding.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Patterns for the whole of a finding's id and of a construct's path, and the reason."""

    finding: str
    construct: str
    reason: str


def _iam(resource: str) -> str:
    return rf"AwsSolutions-IAM5\[Resource::{resource}\]"


_LOGS = r"arn:<AWS::Partition>:logs:[a-z0-9-]+:<AWS::AccountId>:log-group:"
_LAKE = r'\{"Fn::GetStackOutput":.*"PublishOutputFnGetAttLakeArn\w+"\}\}'

ACKNOWLEDGED: Final = (
    Acknowledged(
        "AwsSolutions-S1",
        ".*-foundation/AccessLogs",
        "It holds the access logs of the others; a log of the log would write itself for ever.",
    ),
    Acknowledged(
        _iam(_LOGS + r"/pixlake-[a-z-]+/flow:\*"),
        ".*-network/FlowLogRole",
        "Streams of one log group by name: VPC flow logs name them by network interface.",
    ),
    Acknowledged(
        _iam(_LOGS + r"RDSOSMetrics:log-stream:\*"),
        ".*-data/DatabaseMonitoring",
        "Streams of one log group by name: RDS names them by instance, and makes them itself.",
    ),
    Acknowledged(
        _iam(_LOGS + r"/pixlake-[a-z-]+/[ab]/\w+:log-stream:\*"),
        ".*-cell-[ab]/(Head|Worker|Ingest|Setup)Execution",
        "Streams of one log group by name: ECS names them by task.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*-cell-[ab]/(Head|Worker|Ingest|Setup)Execution",
        "ecr:GetAuthorizationToken knows no resource; what it opens, the next statement names.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*-platform/HostRole",
        "ecs:DiscoverPollEndpoint knows no resource, and only tells the agent where to connect to.",
    ),
    Acknowledged(
        _iam(
            r"arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:container-instance/pixlake-\w+/\*"
        ),
        ".*-platform/HostRole",
        "Instances of one cluster by name; a host learns its own id only when it registers.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/(images|journal|lake|rejections|probe|presets)/\*"),
        ".*-cell-[ab]/WorkerTask",
        "Keys under fixed prefixes of one bucket: each image has its own, made when it arrives.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/(images|journal|probe|lake|rejections)/\*"),
        ".*-cell-[ab]/IngestTask",
        "Keys under fixed prefixes of one bucket: each image and each file has its own.",
    ),
    Acknowledged(
        _iam(rf"(<Lake\.Arn>|{_LAKE})/(images|journal|lake|rejections|presets)/\*"),
        ".*-data/ReplicationPolicy",
        "S3 copies whatever is below the prefixes that are replicated; it names no single key.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/lake/\*"),
        ".*-analytics/Analyst",
        "Sealed files under one prefix of one bucket; their names hold the minute of their rows.",
    ),
    Acknowledged(
        _iam(r"<Results\.Arn>/\*"),
        ".*-analytics/Analyst",
        "Athena's answers in their own bucket; Athena makes up their names.",
    ),
    Acknowledged(
        _iam(
            r"arn:<AWS::Partition>:kafka:[a-z0-9-]+:<AWS::AccountId>:group/pixlake-[a-z-]+/\*/pixlake"
        ),
        ".*-cell-[ab]/IngestTask",
        "One consumer group of one cluster by name; AWS puts an id between them when it makes it.",
    ),
    Acknowledged(
        _iam(r"arn:<AWS::Partition>:rds:<AWS::Region>:<AWS::AccountId>:snapshot:awsbackup:\*"),
        ".*-protection/BackupRole",
        "AWS Backup names its snapshots when it takes them, all of them under this prefix.",
    ),
    Acknowledged(
        "AwsSolutions-SMG4",
        ".*-(data/(DatabaseUser|RayToken|CacheToken)|platform/OriginSecret)",
        "Turned over by hand with docs/runbook/rotate-secrets.md: each has two sides that must "
        "change together, which no rotation function can do. The master user's rotates weekly.",
    ),
    Acknowledged(
        "AwsSolutions-ECS2",
        ".*-cell-[ab]/(Head|Worker|Ingest|Setup)",
        "Addresses and sizes only; whatever is secret comes from Secrets Manager by its ARN, and "
        "a rule test looks for names that sound like one.",
    ),
    Acknowledged(
        "AwsSolutions-EC26",
        ".*-platform/(Work|Heads)Hosts",
        "The rule does not look into launch templates; ours encrypts its one volume, and a rule "
        "test says so.",
    ),
    Acknowledged(
        "AwsSolutions-AS3",
        ".*-platform/(Work|Heads)Hosts",
        "Hosts come and go with the load, mostly by spot; people are told by the alarms on tasks.",
    ),
    Acknowledged(
        "AwsSolutions-CFR1",
        ".*-cdn/Distribution",
        "Clients are wherever the customer has them; who must keep countries out does it in WAF.",
    ),
)
