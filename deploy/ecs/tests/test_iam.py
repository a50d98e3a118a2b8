"""Table of allowed and denied actions for reviewers, checked against the templates."""

import fnmatch
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import contract
from tests.assembly import Assembly, count, many
from tests.conftest import Switched

LAKE, REPLICA, RESULTS = "${data/Lake.Arn}", "${replica/Lake.Arn}", "${analytics/Results.Arn}"
KEY, TOPIC, DEAD = "${foundation/Key.Arn}", "${streaming/Images.TopicArn}", "DeadLetters"
KAFKA = "${streaming/Cluster.Arn}"
_ACCOUNT = "${AWS::AccountId}"
GROUP = f"arn:${{AWS::Partition}}:kafka:eu-west-1:{_ACCOUNT}:group/pixlake-STAGE/1-2/pixlake"
OTHER_GROUP = GROUP.replace("/pixlake-STAGE/1-2/pixlake", "/pixlake-STAGE/1-2/intruder")
DB_USER = (
    "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}"
    ":dbuser:${data/Database.DbiResourceId}/pixlake"
)
DB_MASTER = DB_USER.replace("/pixlake", "/pixlake_master")
SECRET = "${data/DatabaseUser}"

ALLOW, DENY = True, False
CANARY = "canary/CanaryTask"
WORKER, INGEST, HEAD = "cell-a/WorkerTask", "cell-a/IngestTask", "cell-a/HeadTask"
ANALYST, REPLICATION = "analytics/Analyst", "data/ReplicationRole"
WORKER_START, INGEST_START = "cell-a/WorkerExecution", "cell-a/IngestExecution"
HEAD_START = "cell-a/HeadExecution"
TOOLS, BACK = "cell-a/ToolsTask", "replica-watch/BackRole"
MATRIX = [
    # A worker accepts, processes and erases images.
    (WORKER, "s3:PutObject", f"{LAKE}/images/t/00/id/record.json", ALLOW),
    (WORKER, "s3:DeleteObject", f"{LAKE}/images/t/00/id/original-1.jpg", ALLOW),
    (WORKER, "s3:PutObject", f"{LAKE}/journal/home/x.arrow", ALLOW),
    (WORKER, "s3:GetObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", ALLOW),
    (WORKER, "s3:PutObject", f"{LAKE}/rejections/records/00/x.json", ALLOW),
    (WORKER, "s3:GetObject", f"{LAKE}/presets/shop/1.json", ALLOW),
    (WORKER, "s3:PutObject", f"{LAKE}/presets/shop/2.json", ALLOW),
    (WORKER, "s3:PutObject", f"{LAKE}/lake/usage/dt=1/hour=00/x.parquet", ALLOW),
    (WORKER, "s3:DeleteObject", f"{LAKE}/lake/usage/dt=1/hour=00/x.parquet", DENY),
    (WORKER, "s3:GetObject", f"{LAKE}/store.json", ALLOW),
    (WORKER, "s3:ListBucket", LAKE, ALLOW),
    (WORKER, "kms:GenerateDataKey", KEY, ALLOW),
    # A worker can't delete rows or presets, and can't read Kafka.
    (WORKER, "s3:DeleteObject", f"{LAKE}/journal/home/x.arrow", DENY),
    (WORKER, "s3:PutObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", DENY),
    (WORKER, "s3:DeleteObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", DENY),
    (WORKER, "s3:DeleteObject", f"{LAKE}/rejections/records/00/x.json", DENY),
    (WORKER, "s3:DeleteObject", f"{LAKE}/presets/shop/1.json", DENY),
    (WORKER, "s3:PutObject", f"{LAKE}/presets-of-others/1.json", DENY),
    (WORKER, "s3:DeleteObject", f"{LAKE}/store.json", DENY),
    (WORKER, "s3:PutObject", f"{LAKE}/audit/last.json", DENY),
    (WORKER, "s3:GetObject", f"{REPLICA}/images/t/00/id/record.json", DENY),
    (WORKER, "s3:PutBucketPolicy", LAKE, DENY),
    (WORKER, "s3:PutLifecycleConfiguration", LAKE, DENY),
    (WORKER, "s3:DeleteObjectVersion", f"{LAKE}/images/t/00/id/original-1.jpg", DENY),
    (WORKER, "kafka-cluster:ReadData", TOPIC, DENY),
    (WORKER, "kafka-cluster:Connect", KAFKA, DENY),
    # A worker connects to the database with a password and needs no token.
    (WORKER, "rds-db:connect", DB_USER, DENY),
    (WORKER, "rds-db:connect", DB_MASTER, DENY),
    (WORKER, "secretsmanager:GetSecretValue", SECRET, DENY),
    (WORKER, "sts:AssumeRole", "*", DENY),
    (WORKER, "kms:Encrypt", KEY, DENY),
    (WORKER, "kms:ScheduleKeyDeletion", KEY, DENY),
    # A canary looks up a row; what it writes goes through the API.
    (CANARY, "s3:GetObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", ALLOW),
    (CANARY, "s3:GetObject", f"{LAKE}/images/t/00/id/record.json", DENY),
    (CANARY, "s3:PutObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", DENY),
    (CANARY, "s3:DeleteObject", f"{LAKE}/images/t/00/id/original-1.jpg", DENY),
    (CANARY, "secretsmanager:GetSecretValue", SECRET, DENY),
    # An ingest node reads one topic, seals, sweeps and audits.
    (INGEST, "kafka-cluster:ReadData", TOPIC, ALLOW),
    (INGEST, "kafka-cluster:WriteData", "${streaming/DeadLetters.TopicArn}", ALLOW),
    (INGEST, "kafka-cluster:AlterGroup", GROUP, ALLOW),
    (INGEST, "kafka:GetBootstrapBrokers", KAFKA, ALLOW),
    (INGEST, "ec2:DescribeAvailabilityZones", "*", ALLOW),
    (INGEST, "s3:PutObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", ALLOW),
    (INGEST, "s3:DeleteObject", f"{LAKE}/journal/home/x.arrow", ALLOW),
    (INGEST, "s3:DeleteObject", f"{LAKE}/images/t/00/id/original-1.jpg", ALLOW),
    (INGEST, "s3:PutObject", f"{LAKE}/rejections/records/00/x.json", ALLOW),
    (INGEST, "s3:GetObject", f"{LAKE}/store.json", ALLOW),
    (INGEST, "s3:PutObject", f"{LAKE}/audit/last.json", ALLOW),
    (INGEST, "s3:DeleteObject", f"{LAKE}/audit/unfinished/t/id.json", ALLOW),
    # An ingest node can neither write to the topic nor connect to the accounts.
    (INGEST, "s3:DeleteObject", f"{LAKE}/store.json", DENY),
    (INGEST, "kafka-cluster:WriteData", TOPIC, DENY),
    (INGEST, "kafka-cluster:DeleteTopic", TOPIC, DENY),
    (INGEST, "kafka-cluster:AlterGroup", OTHER_GROUP, DENY),
    (INGEST, "rds-db:connect", DB_USER, DENY),
    (INGEST, "s3:PutObject", f"{LAKE}/presets/web/2.json", DENY),
    (INGEST, "secretsmanager:GetSecretValue", SECRET, DENY),
    # Operators look at Kafka and change a retention; they see no image, and no other secret.
    (TOOLS, "kafka-cluster:DescribeGroup", GROUP, ALLOW),
    (TOOLS, "kafka-cluster:AlterTopicDynamicConfiguration", TOPIC, ALLOW),
    (TOOLS, "ssmmessages:OpenDataChannel", "*", ALLOW),
    (TOOLS, "kafka-cluster:ReadData", TOPIC, DENY),
    (TOOLS, "kafka-cluster:WriteData", TOPIC, DENY),
    (TOOLS, "kafka-cluster:DeleteTopic", TOPIC, DENY),
    (TOOLS, "kafka-cluster:AlterGroup", GROUP, DENY),
    (TOOLS, "s3:GetObject", f"{LAKE}/images/t/00/id/record.json", DENY),
    (TOOLS, "s3:ListBucket", LAKE, DENY),
    (TOOLS, "secretsmanager:GetSecretValue", SECRET, DENY),
    # The head only schedules, and has no data.
    (HEAD, "s3:GetObject", f"{LAKE}/images/t/00/id/record.json", DENY),
    (HEAD, "s3:GetObject", f"{LAKE}/store.json", DENY),
    (HEAD, "s3:ListBucket", LAKE, DENY),
    (HEAD, "kafka-cluster:Connect", KAFKA, DENY),
    (HEAD, "kms:Decrypt", KEY, DENY),
    (HEAD, "secretsmanager:GetSecretValue", SECRET, DENY),
    # The role that starts a task reads the task's secrets, and no data.
    (WORKER_START, "secretsmanager:GetSecretValue", SECRET, ALLOW),
    (WORKER_START, "ecr:BatchGetImage", "${platform/Repository.Arn}", ALLOW),
    (WORKER_START, "ecr:PutImage", "${platform/Repository.Arn}", DENY),
    (WORKER_START, "s3:GetObject", f"{LAKE}/images/t/00/id/record.json", DENY),
    (WORKER_START, "secretsmanager:GetSecretValue", "${data/CacheToken}", DENY),
    (HEAD_START, "secretsmanager:GetSecretValue", "${data/LimitsToken}", DENY),
    (INGEST_START, "secretsmanager:GetSecretValue", "${data/LimitsToken}", DENY),
    (INGEST_START, "secretsmanager:GetSecretValue", "${data/RayToken}", ALLOW),
    (INGEST_START, "secretsmanager:GetSecretValue", SECRET, DENY),
    (HEAD_START, "secretsmanager:GetSecretValue", SECRET, DENY),
    # Analysts read rows, no pixels, and change nothing.
    (ANALYST, "s3:GetObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", ALLOW),
    (ANALYST, "s3:PutObject", f"{RESULTS}/results/1.csv", ALLOW),
    (ANALYST, "s3:GetObject", f"{LAKE}/images/t/00/id/original-1.jpg", DENY),
    (ANALYST, "s3:GetObject", f"{LAKE}/journal/home/x.arrow", DENY),
    (ANALYST, "s3:PutObject", f"{LAKE}/lake/images/dt=1/hour=1/x.parquet", DENY),
    # S3 replicates in one direction by one role, and back by another, while the standby leads.
    (BACK, "s3:ReplicateObject", f"{LAKE}/lake/x.parquet", ALLOW),
    (BACK, "s3:ReplicateObject", f"{REPLICA}/lake/x.parquet", DENY),
    (BACK, "s3:DeleteObject", f"{LAKE}/lake/x.parquet", DENY),
    (REPLICATION, "s3:ReplicateObject", f"{REPLICA}/lake/x.parquet", ALLOW),
    (REPLICATION, "s3:ReplicateObject", f"{REPLICA}/store.json", ALLOW),
    (REPLICATION, "s3:ReplicateObject", f"{LAKE}/lake/x.parquet", DENY),
    (REPLICATION, "s3:DeleteObject", f"{LAKE}/lake/x.parquet", DENY),
]


def _allows(assembly: Assembly, role: str, action: str, resource: str) -> bool:
    """Evaluate IAM's logic without conditions; with its conditions AWS may deny more."""
    stack, id = role.split("/")
    for statement in assembly.statements(assembly.one(stack, id)):
        if statement["Effect"] != "Allow":
            raise ValueError("this evaluation does not support a Deny in a role")
        resources = [assembly.text(stack, one) for one in many(statement["Resource"])]
        if action in many(statement["Action"]) and any(
            fnmatch.fnmatchcase(resource, _literal(one)) for one in resources
        ):
            return True
    return False


def _literal(pattern: str) -> str:
    """Escape `[`, because IAM's patterns have only * and ?."""
    return pattern.replace("[", "[[]")


@pytest.mark.parametrize(("role", "action", "resource", "wanted"), MATRIX)
def test_rights(assembly: Assembly, role: str, action: str, resource: str, *, wanted: bool) -> None:
    resource = resource.replace("STAGE", assembly.stage)
    assert _allows(assembly, role, action, resource) is wanted


# Secrets of each task. Only workers, the set-up and operators know the password of the accounts.
SECRETS = {
    "Head": {"RAY_AUTH_TOKEN", "RAY_REDIS_PASSWORD"},
    "Worker": {
        *("RAY_AUTH_TOKEN", "NODE_DATABASE_USER", "NODE_DATABASE_PASSWORD"),
        "NODE_CACHE_PASSWORD",
    },
    "Ingest": {"RAY_AUTH_TOKEN"},
    "Setup": {"SETUP_MASTER_USER", "SETUP_MASTER_PASSWORD", "SETUP_PASSWORD"},
    "Tools": {"PGUSER", "PGPASSWORD", "REDISCLI_AUTH"},
}


def test_each_task_gets_its_secrets_and_no_other(assembly: Assembly) -> None:
    found = {
        task.id: {
            one["Name"]
            for container in task.props["ContainerDefinitions"]
            for one in container.get("Secrets", ())
        }
        for task in assembly.resources("AWS::ECS::TaskDefinition", stack="cell-a")
    }
    cached = count(assembly, "AWS::ElastiCache::ReplicationGroup")
    of_valkey = set() if cached else {"RAY_REDIS_PASSWORD", "NODE_CACHE_PASSWORD", "REDISCLI_AUTH"}
    assert found == {kind: names - of_valkey for kind, names in SECRETS.items()}


# Verbs (get, put, delete) that a worker and an ingest node need below each folder of the lake.
VERBS = {
    contract.IMAGES: ("gpd", "gpd"),
    contract.JOURNAL: ("gp", "gpd"),
    contract.LAKE: ("g", "gpd"),
    contract.REJECTIONS: ("gp", "gpd"),
    contract.AUDIT: ("", "gpd"),
    contract.AUDIT_LOG: ("gp", "gp"),
    contract.PRESETS: ("gp", "g"),
    contract.PROBE: ("gpd", "gpd"),
}
_ACTIONS = {"g": "s3:GetObject", "p": "s3:PutObject", "d": "s3:DeleteObject"}


@pytest.mark.parametrize("folder", contract.PREFIXES)
def test_rights_on_every_folder_of_the_lake(assembly: Assembly, folder: str) -> None:
    """A folder that the lake's layout adds fails here until somebody decides who may use it."""
    key = f"{LAKE}/{folder}/x"
    found = tuple(
        "".join(verb for verb, action in _ACTIONS.items() if _allows(assembly, role, action, key))
        for role in (WORKER, INGEST)
    )
    assert found == VERBS[folder]


@pytest.mark.parametrize("key", ["store.json", "audit-log/*"])
@pytest.mark.parametrize("role", [WORKER, INGEST])
def test_settings_and_entries_of_the_audit_log_may_be_created_but_not_changed(
    assembly: Assembly, role: str, key: str
) -> None:
    stack, id = role.split("/")
    conditions = [
        statement.get("Condition")
        for statement in assembly.statements(assembly.one(stack, id))
        if "s3:PutObject" in many(statement["Action"])
        and f"{LAKE}/{key}" in [assembly.text(stack, o) for o in many(statement["Resource"])]
    ]
    assert conditions == [{"Null": {"s3:if-none-match": "false"}}]


def _actions(assembly: Assembly) -> Iterator[tuple[str, str]]:
    for role in assembly.resources("AWS::IAM::Role"):
        for statement in assembly.statements(role):
            for action in many(statement["Action"]):
                yield role.name, action


def test_nobody_may_change_rights_or_keys(assembly: Assembly) -> None:
    """No role can give itself or others more rights."""
    escalating = ("iam:", "sts:", "kms:Put", "kms:CreateGrant", "s3:PutBucket", "ecs:RunTask")
    found = [(role, action) for role, action in _actions(assembly) if action.startswith(escalating)]
    schedulers = {"canary/CanaryScheduler", "canary/AuditScheduler"}
    assert {role for role, _ in found} == schedulers
    assert {action for _, action in found} == {"ecs:RunTask", "iam:PassRole"}


def test_a_schedule_starts_its_task_and_no_other(assembly: Assembly) -> None:
    for id, stack, kind in (("Canary", "canary", "Canary"), ("Audit", "cell-a", "Ingest")):
        [run, give] = assembly.statements(assembly.one("canary", f"{id}Scheduler"))
        assert assembly.text("canary", run["Resource"]) == f"${{{stack}/{kind}}}"
        assert {assembly.text("canary", role) for role in give["Resource"]} == {
            f"${{{stack}/{kind}Task.Arn}}",
            f"${{{stack}/{kind}Execution.Arn}}",
        }
        schedule = assembly.one("canary", f"{id}Schedule").props
        override = json.loads(schedule["Target"]["Input"])["containerOverrides"][0]
        assert override == {"name": kind.lower(), "command": ["watch", id.lower()]}


def test_every_statement_stands_in_the_two_files_that_reviewers_read() -> None:
    """Statements of roles are in one file, statements of buckets, keys and topics in the other."""
    infra = Path(__file__).parents[1] / "infra"
    writers = {
        str(file.relative_to(infra))
        for file in infra.rglob("*.py")
        if "PolicyStatement(" in file.read_text() or ".grant" in file.read_text()
    }
    assert writers == {"grants.py", "resource_grants.py"}


def test_who_deletes_images_invalidates_and_only_where_something_is_cached(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    right = "cloudfront:CreateInvalidation"
    cached = switched("signed-renditions").assembly
    arn = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${cdn/Distribution}"
    holders = {
        role.name
        for role in cached.resources("AWS::IAM::Role")
        if any(right in many(statement["Action"]) for statement in cached.statements(role))
    }
    cells = ("cell-a", "cell-b")
    assert holders == {f"{cell}/{kind}Task" for cell in cells for kind in ("Worker", "Ingest")}
    for role in (WORKER, INGEST):
        assert _allows(cached, role, right, arn)
        assert not _allows(cached, role, right, arn.replace("cdn/Distribution", "cdn/Another"))
    assert not _allows(assemblies["small"], WORKER, right, arn)
    # A standby that leads erases from the same distribution, which is the primary's.
    standby = switched("standby").assembly
    own = arn.replace("${cdn/Distribution}", "EDFDVBD6EXAMPLE")
    assert _allows(standby, WORKER, right, own)
    for assembly, id in ((cached, "${cdn/Distribution}"), (standby, "EDFDVBD6EXAMPLE")):
        for kind in ("Worker", "Ingest"):
            container = assembly.one("cell-a", kind).props["ContainerDefinitions"][0]
            values = {one["Name"]: one["Value"] for one in container["Environment"]}
            assert assembly.text("cell-a", values["PIXLAKE_CLOUDFRONT_DISTRIBUTION"]) == id
