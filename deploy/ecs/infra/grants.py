"""Every IAM statement that the stacks give, by who gets it. Nothing else grants anything.

Actions are spelled out: a wildcard would let AWS widen a role by adding an action.
`tests/test_iam.py` holds the table of what each role may and may not do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra import contract

Conditions = Mapping[str, Mapping[str, Any]]

_READ_WRITE_DELETE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


def allow(
    actions: Sequence[str], resources: Sequence[str], conditions: Conditions | None = None
) -> iam.PolicyStatement:
    """A statement of a role's policy."""
    return iam.PolicyStatement(
        actions=list(actions), resources=list(resources), conditions=conditions
    )


def policy(statements: Sequence[iam.PolicyStatement]) -> iam.PolicyDocument:
    """A document of statements as they are: merging would hide them from their reviewer."""
    return iam.PolicyDocument(statements=list(statements), minimize=False)


def service(name: str, *, arn_like: str | None = None) -> iam.ServicePrincipal:
    """A service of AWS, acting for this account and, where given, this resource only."""
    conditions: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
    if arn_like:
        conditions["ArnLike"] = {"aws:SourceArn": arn_like}
    return iam.ServicePrincipal(name, conditions=conditions)


def trust(who: iam.IPrincipal) -> iam.PolicyStatement:
    """Who may take a role."""
    return iam.PolicyStatement(actions=["sts:AssumeRole"], principals=[who])


def _keys(bucket: str, *prefixes: str) -> list[str]:
    return [f"{bucket}/{prefix}/*" for prefix in prefixes]


def _below(bucket: str, prefixes: Sequence[str]) -> list[str]:
    return [f"{bucket}/{p}*" if p.endswith("/") else f"{bucket}/{p}" for p in prefixes]


def _use_key(key: str) -> iam.PolicyStatement:
    return allow(["kms:Decrypt", "kms:GenerateDataKey"], [key])


def _store(bucket: str, key: str) -> list[iam.PolicyStatement]:
    """What every process that opens the lake needs: the start-up probe, the clock, absent keys."""
    return [
        # Without it S3 answers 403, not 404, to a key that is not there. A condition on the prefix
        # would be the same: a GetObject names none.
        allow(["s3:ListBucket"], [bucket]),
        allow(_READ_WRITE_DELETE, _keys(bucket, contract.PROBE)),
        # The store's settings: whoever starts first makes them, and nobody of the service changes
        # them: that is `pixlake store set`, by a role of the operators.
        allow(["s3:GetObject"], [f"{bucket}/{contract.STORE}"]),
        allow(
            ["s3:PutObject"],
            [f"{bucket}/{contract.STORE}"],
            {"Null": {"s3:if-none-match": "false"}},
        ),
        _use_key(key),
    ]


def head() -> list[iam.PolicyStatement]:
    """The head schedules; it holds no data and needs no right."""
    return []


def worker(bucket: str, key: str) -> list[iam.PolicyStatement]:
    """Takes uploads, processes, commits, reads, erases. Cannot change sealed files or see Kafka."""
    return [
        *_store(bucket, key),
        allow(_READ_WRITE_DELETE, _keys(bucket, contract.IMAGES)),
        # Rows of an upload, and the tombstone of an erasure; only the sealer takes them away.
        allow(["s3:PutObject"], _keys(bucket, contract.JOURNAL)),
        # What Kafka sent and was refused: a record create-only, and its row.
        allow(["s3:GetObject", "s3:PutObject"], _keys(bucket, contract.REJECTIONS)),
        # Listings come from sealed rows and those that wait.
        allow(["s3:GetObject"], _keys(bucket, contract.JOURNAL, contract.LAKE, contract.PRESETS)),
        # PUT /v1/presets; the bucket's own policy lets nobody overwrite a version.
        allow(["s3:PutObject"], _keys(bucket, contract.PRESETS)),
    ]


def ingest(
    bucket: str, key: str, cluster: str, topics: Sequence[str], group: str
) -> list[iam.PolicyStatement]:
    """Reads Kafka, writes dead letters and rejections, seals, sweeps. Cannot log in to accounts."""
    images, dead_letters = topics
    return [
        *_store(bucket, key),
        # The sweeper deletes what is past its retention, wherever it is.
        allow(
            _READ_WRITE_DELETE,
            _keys(bucket, contract.IMAGES, contract.JOURNAL, contract.LAKE, contract.REJECTIONS),
        ),
        allow(["kafka:GetBootstrapBrokers"], [cluster]),
        allow(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], [cluster]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], [images]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], [dead_letters]),
        allow(["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"], [group]),
    ]


def producer(cluster: str, topic: str) -> list[iam.PolicyStatement]:
    """Whoever sends images: a policy to attach to a role of theirs. They read nothing."""
    return [
        allow(["kafka:GetBootstrapBrokers"], [cluster]),
        allow(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], [cluster]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], [topic]),
    ]


def setup() -> list[iam.PolicyStatement]:
    """The one-off task: ECS hands it the database's secrets, and it calls no API of AWS."""
    return []


def shell(key: str, log_group: str) -> list[iam.PolicyStatement]:
    """ECS Exec: the session, under the cluster's key, and what was typed into the cluster's log."""
    actions = [
        f"ssmmessages:{verb}{what}Channel"
        for verb in ("Create", "Open")
        for what in ("Control", "Data")
    ]
    return [
        # Neither knows resources.
        allow(actions, ["*"]),
        allow(["logs:DescribeLogGroups"], ["*"]),
        allow(
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [f"{log_group}:log-stream:*"],
        ),
        allow(["kms:Decrypt"], [key]),
    ]


def execution(
    repository: str, log_group: str, secrets: Sequence[str], key: str
) -> list[iam.PolicyStatement]:
    """What ECS does before a task runs: pull its image, open its log, read its secrets."""
    return [
        # The call has no resource: it gives a token for what the next statement names.
        allow(["ecr:GetAuthorizationToken"], ["*"]),
        allow(
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            [repository],
        ),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group}:log-stream:*"]),
        allow(["secretsmanager:GetSecretValue"], secrets),
        allow(["kms:Decrypt"], [key]),
    ]


def host(cluster: str, cluster_name: str) -> list[iam.PolicyStatement]:
    """The ECS agent on our instances; tasks do not get at it (no metadata for containers)."""
    in_cluster: Conditions = {"ArnEquals": {"ecs:cluster": cluster}}
    instances = _arn("ecs", f"container-instance/{cluster_name}/*")
    return [
        allow(["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"], [cluster]),
        # Says where to connect to; it has no resource.
        allow(["ecs:DiscoverPollEndpoint"], ["*"]),
        allow(["ecs:Poll", "ecs:StartTelemetrySession"], [instances], in_cluster),
        allow(
            [
                "ecs:SubmitContainerStateChange",
                "ecs:SubmitTaskStateChange",
                "ecs:SubmitAttachmentStateChanges",
            ],
            [cluster],
        ),
        allow(["ecs:UpdateContainerInstancesState"], [instances], in_cluster),
    ]


def replication(
    source: str, source_key: str, target: str, target_key: str, prefixes: Sequence[str]
) -> list[iam.PolicyStatement]:
    """S3 copies to the replica region; key ARNs, because an alias matches nothing here."""
    return [
        allow(["s3:GetReplicationConfiguration", "s3:ListBucket"], [source]),
        allow(
            [
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
            ],
            _below(source, prefixes),
        ),
        allow(
            ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
            _below(target, prefixes),
        ),
        allow(["kms:Decrypt"], [source_key]),
        allow(["kms:Encrypt", "kms:GenerateDataKey"], [target_key]),
    ]


def flow_logs(log_group: str) -> list[iam.PolicyStatement]:
    """VPC flow logs into their one group."""
    return [
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            [f"{log_group}:*"],
        )
    ]


def database_monitoring(log_group: str) -> list[iam.PolicyStatement]:
    """RDS enhanced monitoring; the group's name is AWS's."""
    return [
        allow(["logs:CreateLogGroup", "logs:PutRetentionPolicy"], [log_group]),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            [f"{log_group}:log-stream:*"],
        ),
    ]


def analyst(
    bucket: str, keys: Sequence[str], results: str, workgroup: str, catalog: Sequence[str]
) -> list[iam.PolicyStatement]:
    """QuickSight, or an analyst's role: sealed rows by one workgroup. Never pixels or records."""
    return [
        allow(
            [
                "athena:StartQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
                "athena:StopQueryExecution",
                "athena:GetWorkGroup",
            ],
            [workgroup],
        ),
        allow(["glue:GetDatabase", "glue:GetTable", "glue:GetTables"], catalog),
        allow(["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [f"{contract.LAKE}/*"]}}),
        allow(["s3:GetObject"], _keys(bucket, contract.LAKE)),
        allow(["s3:GetBucketLocation"], [bucket, results]),
        allow(["s3:ListBucket"], [results]),
        allow(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [f"{results}/*"]),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], keys),
    ]


def backup(database: str, vault: str) -> list[iam.PolicyStatement]:
    """AWS Backup takes snapshots of one database."""
    snapshots = _arn("rds", "snapshot:awsbackup:*")
    return [
        allow(["rds:DescribeDBInstances"], [database]),
        allow(["rds:CreateDBSnapshot", "rds:ListTagsForResource"], [database, snapshots]),
        allow(
            ["rds:AddTagsToResource", "rds:DescribeDBSnapshots", "rds:DeleteDBSnapshot"],
            [snapshots],
        ),
        allow(["backup:DescribeBackupVault"], [vault]),
    ]


def _arn(of: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{of}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
