"""All IAM statements of roles and policies, grouped by role. Other files contain none.

Actions are written in full: with a wildcard, a new action of AWS would widen a role.
`tests/test_iam.py` contains the table of allowed and denied actions of each role.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra import contract

Conditions = Mapping[str, Mapping[str, Any]]

# Denies a PutObject without `If-None-Match`, which could overwrite an object.
_CREATE_ONLY: Conditions = {"Null": {"s3:if-none-match": "false"}}
_READ_WRITE_DELETE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


def allow(
    actions: Sequence[str], resources: Sequence[str], conditions: Conditions | None = None
) -> iam.PolicyStatement:
    """Build a statement of a role's policy."""
    return iam.PolicyStatement(
        actions=list(actions), resources=list(resources), conditions=conditions
    )


def policy(statements: Sequence[iam.PolicyStatement]) -> iam.PolicyDocument:
    """Build a policy document without merging, so that reviewers see the statements unchanged."""
    return iam.PolicyDocument(statements=list(statements), minimize=False)


def service(name: str, *, arn_like: str | None = None) -> iam.ServicePrincipal:
    """Build the principal of an AWS service, limited to this account and, if given, a resource."""
    conditions: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
    if arn_like:
        conditions["ArnLike"] = {"aws:SourceArn": arn_like}
    return iam.ServicePrincipal(name, conditions=conditions)


def trust(who: iam.IPrincipal) -> iam.PolicyStatement:
    """Build the statement that lets a principal assume a role."""
    return iam.PolicyStatement(actions=["sts:AssumeRole"], principals=[who])


def _keys(bucket: str, *prefixes: str) -> list[str]:
    return [f"{bucket}/{prefix}/*" for prefix in prefixes]


def _below(bucket: str, prefixes: Sequence[str]) -> list[str]:
    return [f"{bucket}/{p}*" if p.endswith("/") else f"{bucket}/{p}" for p in prefixes]


def _use_key(key: str) -> iam.PolicyStatement:
    return allow(["kms:Decrypt", "kms:GenerateDataKey"], [key])


def _store(bucket: str, key: str) -> list[iam.PolicyStatement]:
    """Statements for every process that opens the lake: start-up probe, clock, missing keys."""
    return [
        # Without ListBucket, S3 answers 403 and not 404 for a missing key. A condition on the
        # prefix would have the same effect, because a GetObject has no prefix.
        allow(["s3:ListBucket"], [bucket]),
        allow(_READ_WRITE_DELETE, _keys(bucket, contract.PROBE)),
        # The store's settings. The process that starts first creates them. No process of the
        # service changes them; operators do, with `pixlake store set` and a role of their own.
        allow(["s3:GetObject"], [f"{bucket}/{contract.STORE}"]),
        allow(
            ["s3:PutObject"],
            [f"{bucket}/{contract.STORE}"],
            _CREATE_ONLY,
        ),
        _use_key(key),
    ]


def _erasure(bucket: str) -> list[iam.PolicyStatement]:
    """Statements of the audit log: every erasure creates its entry, and nobody changes one."""
    entries = _keys(bucket, contract.AUDIT_LOG)
    return [
        allow(["s3:GetObject"], entries),
        allow(["s3:PutObject"], entries, _CREATE_ONLY),
    ]


def _invalidation(distribution: str | None) -> list[iam.PolicyStatement]:
    """Statement of nodes that delete images, for the CloudFront distribution that caches them."""
    return [allow(["cloudfront:CreateInvalidation"], [distribution])] if distribution else []


def head() -> list[iam.PolicyStatement]:
    """Statements of the head: none, because the head only schedules and has no data."""
    return []


def worker(bucket: str, key: str, distribution: str | None = None) -> list[iam.PolicyStatement]:
    """Statements of a worker: uploads, reads, erasures; no change of sealed files, no Kafka.

    `distribution`: ARN of the CloudFront distribution in which erased images are invalidated.
    """
    return [
        *_invalidation(distribution),
        *_store(bucket, key),
        allow(_READ_WRITE_DELETE, _keys(bucket, contract.IMAGES)),
        # Journal rows of uploads, and tombstones of erasures; only the sealer deletes them.
        allow(["s3:PutObject"], _keys(bucket, contract.JOURNAL)),
        # Rejections of Kafka messages: a create-only record, and its row.
        allow(["s3:GetObject", "s3:PutObject"], _keys(bucket, contract.REJECTIONS)),
        # Listings read sealed rows and waiting rows.
        allow(["s3:GetObject"], _keys(bucket, contract.JOURNAL, contract.LAKE, contract.PRESETS)),
        # PUT /v1/presets; the bucket's policy forbids to overwrite a version.
        allow(["s3:PutObject"], _keys(bucket, contract.PRESETS)),
        # The table of usage, a file a day: only the API has access to the accounts' counters.
        allow(["s3:PutObject"], _keys(bucket, contract.USAGE)),
        *_erasure(bucket),
    ]


def ingest(bucket: str, key: str, distribution: str | None = None) -> list[iam.PolicyStatement]:
    """Statements of an ingest node without Kafka: rejections, sealing, sweeping, audits.

    It has no access to the accounts database. `distribution`: as for a worker.
    """
    return [
        *_invalidation(distribution),
        *_store(bucket, key),
        # The sweeper deletes expired data below all prefixes.
        allow(
            _READ_WRITE_DELETE,
            _keys(bucket, contract.IMAGES, contract.JOURNAL, contract.LAKE, contract.REJECTIONS),
        ),
        # `pixlake audit` marks images without a row, and keeps its result for the sealer's metrics.
        allow(_READ_WRITE_DELETE, _keys(bucket, contract.AUDIT)),
        # The audit looks for the versions that records name.
        allow(["s3:GetObject"], _keys(bucket, contract.PRESETS)),
        # The sealer finishes interrupted erasures.
        *_erasure(bucket),
    ]


def consumer(cluster: str, topics: Sequence[str], group: str) -> list[iam.PolicyStatement]:
    """Statements of a consumer of MSK with IAM: one topic, its dead letters, one group."""
    images, dead_letters = topics
    return [
        allow(["kafka:GetBootstrapBrokers"], [cluster]),
        # The id of its zone, which is the rack of MSK's brokers; the action knows no resources.
        allow(["ec2:DescribeAvailabilityZones"], ["*"]),
        allow(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], [cluster]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], [images]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], [dead_letters]),
        allow(["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"], [group]),
    ]


def tools(cluster: str, topics: Sequence[str], group: str) -> list[iam.PolicyStatement]:
    """Statements of the operators' task on MSK: looks at topics and group, changes a retention.

    The names of the actions are those of the MSK Developer Guide, "Semantics of IAM authorization
    policy actions and resources".
    """
    images, _ = topics
    return [
        allow(["kafka:GetBootstrapBrokers"], [cluster]),
        allow(["kafka-cluster:Connect"], [cluster]),
        allow(
            ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration"],
            topics,
        ),
        allow(["kafka-cluster:AlterTopicDynamicConfiguration"], [images]),
        allow(["kafka-cluster:DescribeGroup"], [group]),
    ]


def producer(cluster: str, topic: str) -> list[iam.PolicyStatement]:
    """Statements of a producer, for a role of the producer: sends images, reads nothing."""
    return [
        allow(["kafka:GetBootstrapBrokers"], [cluster]),
        allow(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], [cluster]),
        allow(["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], [topic]),
    ]


def canary(bucket: str, key: str) -> list[iam.PolicyStatement]:
    """Statements of the canary: looks up a row as SQL does; all else goes through the API."""
    return [
        allow(["s3:ListBucket"], [bucket]),
        allow(["s3:GetObject"], _keys(bucket, contract.LAKE, contract.REJECTIONS)),
        allow(["s3:GetObject"], [f"{bucket}/{contract.STORE}"]),
        allow(["kms:Decrypt"], [key]),
    ]


def runs_task(definition: str, cluster: str, roles: Sequence[str]) -> list[iam.PolicyStatement]:
    """Statements of a schedule: starts one task, with the roles of the task."""
    return [
        allow(["ecs:RunTask"], [definition], {"ArnEquals": {"ecs:cluster": cluster}}),
        allow(
            ["iam:PassRole"],
            roles,
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def setup() -> list[iam.PolicyStatement]:
    """Statements of the one-off set-up task: none, because ECS passes it the database's secrets."""
    return []


def shell(key: str, log_group: str) -> list[iam.PolicyStatement]:
    """Statements for ECS Exec: the session with the cluster's key, and its log."""
    actions = [
        f"ssmmessages:{verb}{what}Channel"
        for verb in ("Create", "Open")
        for what in ("Control", "Data")
    ]
    return [
        # These actions have no resources.
        allow(actions, ["*"]),
        allow(["logs:DescribeLogGroups"], ["*"]),
        allow(
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [f"{log_group}:log-stream:*"],
        ),
        allow(["kms:Decrypt"], [key]),
    ]


def execution(
    repository: str, log_group: str, secrets: Sequence[str], keys: Sequence[str]
) -> list[iam.PolicyStatement]:
    """Statements of ECS before a task runs: pull the image, open the log, read the secrets."""
    return [
        # The action has no resource. Its token is valid for the actions of the next statement.
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
        allow(["kms:Decrypt"], keys),
    ]


def host(cluster: str, cluster_name: str) -> list[iam.PolicyStatement]:
    """Statements of the ECS agent on hosts; tasks can't use them (no metadata for containers)."""
    in_cluster: Conditions = {"ArnEquals": {"ecs:cluster": cluster}}
    instances = _arn("ecs", f"container-instance/{cluster_name}/*")
    return [
        allow(["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"], [cluster]),
        # Tells the agent where to connect; the action has no resource.
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
    """Statements of S3 replication; keys are given by ARN, because an alias matches nothing."""
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
    """Statements of VPC flow logs: write to their log group."""
    return [
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            [f"{log_group}:*"],
        )
    ]


def database_monitoring(log_group: str) -> list[iam.PolicyStatement]:
    """Statements of RDS enhanced monitoring; AWS names the log group."""
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
    """Statements of analysts and QuickSight: sealed rows by one workgroup; no pixels or records."""
    return [
        allow(
            [
                "athena:StartQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
                "athena:GetQueryResultsStream",
                "athena:StopQueryExecution",
                "athena:GetWorkGroup",
            ],
            [workgroup],
        ),
        allow(["athena:GetDataCatalog"], [_arn("athena", "datacatalog/AwsDataCatalog")]),
        allow(
            ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"], catalog
        ),
        allow(["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [f"{contract.LAKE}/*"]}}),
        allow(["s3:GetObject"], _keys(bucket, contract.LAKE)),
        allow(["s3:GetBucketLocation"], [bucket, results]),
        allow(["s3:ListBucket"], [results]),
        allow(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [f"{results}/*"]),
        allow(["kms:Decrypt", "kms:GenerateDataKey"], keys),
    ]


def backup(database: str, vault: str) -> list[iam.PolicyStatement]:
    """Statements of AWS Backup: snapshots of one database."""
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
