"""Accepted findings of cdk-nag, with reasons.

`tests/test_nag.py` fails for any other finding, and for any entry without a finding.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Patterns that match a whole finding id and a whole construct path, and the reason."""

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
        "This bucket holds the access logs of the others; logging its own access would never end.",
    ),
    Acknowledged(
        _iam(_LOGS + r"/pixlake-[a-z-]+/flow:\*"),
        ".*-network/FlowLogRole",
        "Streams of one named log group: VPC flow logs name the streams by network interface.",
    ),
    Acknowledged(
        _iam(_LOGS + r"RDSOSMetrics:log-stream:\*"),
        ".*-data/DatabaseMonitoring",
        "Streams of one named log group: RDS creates the streams and names them by instance.",
    ),
    Acknowledged(
        _iam(_LOGS + r"/pixlake-[a-z-]+/[ab]/\w+:log-stream:\*"),
        ".*(-cell-[ab]/(Head|Worker|Ingest|Setup|Tools)|-canary/Canary)Execution",
        "Streams of one named log group: ECS names the streams by task.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*(-cell-[ab]/(Head|Worker|Ingest|Setup|Tools)|-canary/Canary)Execution",
        "ecr:GetAuthorizationToken has no resource; the next statement limits the token's actions.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*-cell-[ab]/ToolsTask",
        "The channels of ECS Exec and logs:DescribeLogGroups have no resource.",
    ),
    Acknowledged(
        _iam(_LOGS + r"/pixlake-[a-z-]+/exec:log-stream:\*"),
        ".*-cell-[ab]/ToolsTask",
        "Streams of one named log group: ECS names the streams by session.",
    ),
    Acknowledged(
        _iam(
            r"arn:<AWS::Partition>:kafka:[a-z0-9-]+:<AWS::AccountId>:group/pixlake-[a-z-]+/\*/pixlake"
        ),
        ".*-cell-[ab]/ToolsTask",
        "One named consumer group of one cluster; AWS adds a generated id between the two names.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*-cell-[ab]/IngestTask",
        "ec2:DescribeAvailabilityZones has no resource; it names the zones of the region.",
    ),
    Acknowledged(
        _iam(r"\*"),
        ".*-platform/HostRole",
        "ecs:DiscoverPollEndpoint has no resource, and only tells the agent where to connect.",
    ),
    Acknowledged(
        _iam(
            r"arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:container-instance/pixlake-\w+/\*"
        ),
        ".*-platform/HostRole",
        "Instances of one named cluster; a host learns its own id only when it registers.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/(images|journal|lake|lake/usage|rejections|probe|presets|audit-log)/\*"),
        ".*-cell-[ab]/WorkerTask",
        "Keys under fixed prefixes of one bucket: each image gets its own keys when it arrives.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/(lake|rejections)/\*"),
        ".*-canary/CanaryTask",
        "Keys under fixed prefixes of one bucket: the canary reads the files that SQL reads.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/(audit|audit-log|images|journal|probe|lake|presets|rejections)/\*"),
        ".*-cell-[ab]/IngestTask",
        "Keys under fixed prefixes of one bucket: each image and each file has its own keys.",
    ),
    Acknowledged(
        _iam(rf"(<Lake\.Arn>|{_LAKE})/(images|journal|lake|rejections|presets|audit-log)/\*"),
        ".*-data/ReplicationPolicy",
        "S3 copies all objects below the replicated prefixes, so no single key can be named.",
    ),
    Acknowledged(
        _iam(
            r'\{"Fn::GetStackOutput":.*"PublishOutputFnGetAttLakeArn\w+"\}\}'
            r"/(images|journal|lake|rejections|presets|audit-log)/\*"
        ),
        ".*-replica-watch/BackRole",
        "S3 copies all objects below the replicated prefixes, so no single key can be named.",
    ),
    Acknowledged(
        _iam(_LAKE + r"/lake/\*"),
        ".*-analytics/Analyst",
        "Sealed files under one prefix of one bucket; the names contain the minute of the rows.",
    ),
    Acknowledged(
        _iam(r"<Results\.Arn>/\*"),
        ".*-analytics/Analyst",
        "Athena's results in a separate bucket; Athena generates the names of the results.",
    ),
    Acknowledged(
        _iam(
            r"arn:<AWS::Partition>:kafka:[a-z0-9-]+:<AWS::AccountId>:group/pixlake-[a-z-]+/\*/pixlake"
        ),
        ".*-cell-[ab]/IngestTask",
        "One named consumer group of one cluster; AWS adds a generated id between the two names.",
    ),
    Acknowledged(
        _iam(r"arn:<AWS::Partition>:rds:<AWS::Region>:<AWS::AccountId>:snapshot:awsbackup:\*"),
        ".*-protection/BackupRole",
        "AWS Backup names a snapshot when it takes the snapshot, always with this prefix.",
    ),
    Acknowledged(
        "AwsSolutions-AEC6",
        ".*-data/Gcs",
        "The rule knows tokens only. This group has users with passwords and rights. AWS allows "
        "no token beside them; a rule test checks that it has them.",
    ),
    Acknowledged(
        "AwsSolutions-SMG4",
        ".*-(data/(DatabaseUser|RayToken|CacheToken|LimitsToken)|platform/OriginSecret|canary/ApiKey)",
        "An operator rotates these secrets with docs/runbook/rotate-secrets.md: each has two sides "
        "that must change together, which no rotation function can do. The master user's secret "
        "rotates weekly.",
    ),
    Acknowledged(
        "AwsSolutions-ECS2",
        ".*(-cell-[ab]/(Head|Worker|Ingest|Setup|Tools)|-canary/Canary)",
        "Only addresses and sizes; every secret comes from Secrets Manager by its ARN, and a rule "
        "test looks for variables whose names sound like a secret.",
    ),
    Acknowledged(
        "AwsSolutions-EC26",
        ".*-platform/(Work|Heads)Hosts",
        "The rule does not read launch templates; this template encrypts its only volume, and a "
        "rule test checks that.",
    ),
    Acknowledged(
        "AwsSolutions-AS3",
        ".*-platform/(Work|Heads)Hosts",
        "Hosts start and stop with the load, mostly on spot; the alarms on tasks notify people.",
    ),
    Acknowledged(
        "AwsSolutions-CFR1",
        ".*-cdn/Distribution",
        "Clients may be in any country; a customer that must block countries does that in WAF.",
    ),
)
