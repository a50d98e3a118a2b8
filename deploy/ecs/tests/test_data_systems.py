"""One test for each system that stores or shows data: it exists, with the required settings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra import contract, replicated
from tests.assembly import Assembly, count, many
from tests.conftest import Switched
from tests.matrix import changed


def test_s3_is_replicated_to_the_other_region(assemblies: dict[str, Assembly]) -> None:
    lake = {"journal/", "lake/", "rejections/", "presets/", "audit-log/", "store.json"}
    for name in ("small", "large"):
        assert _replicated(assemblies[name]) == lake
        environment = assemblies[name].manifest["artifacts"][f"pixlake-{name}-replica"][
            "environment"
        ]
        assert environment.endswith("/eu-central-1")


def test_every_folder_that_the_code_can_write_is_replicated_or_left_out_by_name(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    """`contract.PREFIXES` are the folders of `lake/layout.py`; a new one fails here."""
    written = {*(f"{folder}/" for folder in contract.PREFIXES), contract.STORE}
    left_out = {f"{folder}/" for folder in replicated.LEFT_OUT}
    everything = _replicated(switched("timed-copies").assembly)
    assert (everything | left_out, everything & left_out) == (written, set())
    assert everything - _replicated(assemblies["small"]) == {f"{contract.IMAGES}/"}


def _replicated(assembly: Assembly) -> set[str]:
    rules = assembly.one("data", "Lake").props["ReplicationConfiguration"]["Rules"]
    return {rule["Filter"]["Prefix"] for rule in rules}


def test_msk_lies_in_isolated_subnets_with_tls_and_iam(assembly: Assembly) -> None:
    cluster = assembly.one("streaming", "Cluster").props
    subnets = cluster["BrokerNodeGroupInfo"]["ClientSubnets"]
    assert all("data" in assembly.text("streaming", one) for one in subnets)
    assert cluster["ClientAuthentication"]["Sasl"]["Iam"]["Enabled"] is True
    assert cluster["EncryptionInfo"]["EncryptionInTransit"]["ClientBroker"] == "TLS"
    topics = {one.props["TopicName"] for one in assembly.resources("AWS::MSK::Topic")}
    assert topics == {contract.TOPIC, contract.DEAD_LETTERS}


def test_producers_may_send_and_nothing_else(assembly: Assembly, switched: Switched) -> None:
    document = assembly.one("streaming", "Producer").props["PolicyDocument"]
    actions = {action for one in document["Statement"] for action in many(one["Action"])}
    assert actions == {
        "kafka:GetBootstrapBrokers",
        "kafka-cluster:Connect",
        "kafka-cluster:WriteDataIdempotently",
        "kafka-cluster:DescribeTopic",
        "kafka-cluster:WriteData",
    }
    written = document["Statement"][-1]["Resource"]
    assert assembly.text("streaming", written) == "${streaming/Images.TopicArn}"
    rule = switched("sizes").assembly.one("network", "Producer0").props
    assert (rule["FromPort"], rule["SourceSecurityGroupId"]) == (9098, "sg-0a1b2c3d4e5f60718")


def test_valkey_has_tls_a_token_and_a_second_zone(assemblies: dict[str, Assembly]) -> None:
    assembly = assemblies["large"]
    assert count(assemblies["small"], "AWS::ElastiCache::ReplicationGroup") == 0
    [group] = assembly.resources("AWS::ElastiCache::ReplicationGroup")
    assert group.props["Engine"] == "valkey"
    assert group.props["TransitEncryptionEnabled"] is True
    assert group.props["MultiAZEnabled"] is True
    assert "AuthToken" not in group.props


def test_ray_and_the_limits_have_users_of_their_own(assemblies: dict[str, Assembly]) -> None:
    assembly = assemblies["large"]
    [group] = assembly.resources("AWS::ElastiCache::ReplicationGroup")
    assert [assembly.text("data", one) for one in group.props["UserGroupIds"]] == [
        "${data/GcsUsers}"
    ]
    users = {user.id: user.props for user in assembly.resources("AWS::ElastiCache::User")}
    listed = assembly.one("data", "GcsUsers").props["UserIds"]
    assert [assembly.text("data", one) for one in listed] == [
        "${data/GcsRayUser}",
        "${data/GcsLimitsUser}",
    ]
    for id, token in (("GcsRayUser", "CacheToken"), ("GcsLimitsUser", "LimitsToken")):
        [password] = [assembly.text("data", one) for one in users[id]["Passwords"]]
        assert f"resolve:secretsmanager:${{data/{token}}}" in password
    # Ray logs in without a user's name.
    assert users["GcsRayUser"]["UserName"] == "default"
    rights = users["GcsLimitsUser"]["AccessString"].removeprefix("on ")
    assert rights.startswith("~pixlake:* -@all ")
    page = (Path(__file__).parents[3] / "docs" / "limits.md").read_text()
    assert f"user pixlake on >PASSWORD {rights}\n" in page


def test_only_workers_count_limits_in_valkey(assemblies: dict[str, Assembly]) -> None:
    for stage, kinds in (("large", {"Worker"}), ("small", set())):
        assembly = assemblies[stage]
        know = set()
        for kind in ("Head", "Worker", "Ingest"):
            container = assembly.one("cell-a", kind).props["ContainerDefinitions"][0]
            if "NODE_CACHE_PASSWORD" in {one["Name"] for one in container["Secrets"]}:
                know.add(kind)
                given = {one["Name"]: one["Value"] for one in container["Environment"]}
                assert (given["NODE_CACHE_PORT"], given["NODE_CACHE_USER"]) == ("6380", "pixlake")
                assert "NODE_CACHE_HOST" in given
        assert know == kinds


def test_valkey_keeps_the_state_of_ray(assemblies: dict[str, Assembly]) -> None:
    assembly = assemblies["large"]
    kept = assembly.one("data", "GcsParameters").props["Properties"]
    assert kept == {"maxmemory-policy": "noeviction"}
    for kind, knows in (("Head", True), ("Worker", False), ("Ingest", False)):
        container = assembly.one("cell-a", kind).props["ContainerDefinitions"][0]
        names = {one["Name"] for one in (*container["Environment"], *container["Secrets"])}
        wanted = {"RAY_REDIS_ADDRESS", "RAY_external_storage_namespace", "RAY_REDIS_PASSWORD"}
        assert names & wanted == (wanted if knows else set())


def test_postgres_is_multi_az_encrypted_and_recoverable(assembly: Assembly) -> None:
    props = assembly.one("data", "Database").props
    assert props["MultiAZ"] is True
    assert props["StorageEncrypted"] is True
    assert props["BackupRetentionPeriod"] == 14
    assert props["EnableIAMDatabaseAuthentication"] is True
    assert props["AutomaticBackupReplicationRegion"] == "eu-central-1"
    assert "MasterUserPassword" not in props


def test_glue_and_athena_see_all_tables_and_their_views(assembly: Assembly) -> None:
    tables = {
        one.props["TableInput"]["Name"]: one.props["TableInput"]
        for one in assembly.resources("AWS::Glue::Table")
    }
    names = ("images", "rejections", "usage")
    assert set(tables) == {*names, *(f"{name}_files" for name in names)}
    assert tables["images_files"]["Parameters"]["projection.enabled"] == "true"
    assert tables["images"]["TableType"] == "VIRTUAL_VIEW"
    assert count(assembly, "AWS::Athena::NamedQuery") == 4


def test_accounts_are_backed_up_daily(assembly: Assembly) -> None:
    plan = assembly.first("AWS::Backup::BackupPlan").props["BackupPlan"]
    assert plan["BackupPlanRule"][0]["Lifecycle"] == {"DeleteAfterDays": 35}
    chosen = assembly.first("AWS::Backup::BackupSelection").props["BackupSelection"]["Resources"]
    assert [assembly.text("protection", one) for one in many(chosen)] == [
        "${data/Database.DBInstanceArn}"
    ]


def test_deletions_of_images_are_on_record(assembly: Assembly) -> None:
    trail = assembly.first("AWS::CloudTrail::Trail").props
    assert trail["EnableLogFileValidation"] is True
    fields = {one["Field"]: one for one in trail["AdvancedEventSelectors"][0]["FieldSelectors"]}
    assert fields["eventName"]["Equals"] == ["DeleteObject", "DeleteObjects"]
    assert assembly.text("protection", fields["resources.ARN"]["StartsWith"][0]) == (
        "${data/Lake.Arn}/images/"
    )
    # The sweeper deletes each image once, by this role; all others stay on record.
    swept = [
        assembly.text("protection", one) for one in fields["userIdentity.arn"]["NotStartsWith"]
    ]
    cells = sorted(name for name in assembly.templates if name.startswith("cell-"))
    assert [one.split(":assumed-role/")[1] for one in swept] == [
        f"${{{cell}/IngestTask}}/" for cell in cells
    ]


def test_copies_are_timed_only_where_that_is_paid_for(
    assembly: Assembly, switched: Switched
) -> None:
    timed_copies = switched("timed-copies").assembly
    for found, timed in ((assembly, False), (timed_copies, True)):
        rules = found.one("data", "Lake").props["ReplicationConfiguration"]["Rules"]
        assert {"ReplicationTime" in rule["Destination"] for rule in rules} == {timed}
        assert {rule["Destination"]["Metrics"]["Status"] for rule in rules} == {"Enabled"}
    rules = timed_copies.one("data", "Lake").props["ReplicationConfiguration"]["Rules"]
    assert "images/" in {rule["Filter"]["Prefix"] for rule in rules}


def test_quicksight_reads_the_view_by_the_analysts_role(
    assembly: Assembly, switched: Switched
) -> None:
    on = "large" in assembly.stage
    assert count(assembly, "AWS::QuickSight::Dashboard") == int(on)
    analytics = switched("dashboards").assembly
    source = analytics.first("AWS::QuickSight::DataSource").props
    athena = source["DataSourceParameters"]["AthenaParameters"]
    assert analytics.text("analytics", athena["RoleArn"]) == "${analytics/Analyst.Arn}"
    assert analytics.text("analytics", athena["WorkGroup"]) == "${analytics/Workgroup}"
    rows = analytics.first("AWS::QuickSight::DataSet").props
    # Copies in QuickSight's own store would be kept after the retention of the rows.
    assert rows["ImportMode"] == "DIRECT_QUERY"
    table = rows["PhysicalTableMap"]["images"]["RelationalTable"]
    assert table["Name"] == "images"
    for kind in ("DataSource", "DataSet", "Analysis", "Dashboard"):
        assert count(analytics, f"AWS::QuickSight::{kind}") == 1
        [permission] = analytics.first(f"AWS::QuickSight::{kind}").props["Permissions"]
        assert permission["Principal"].endswith("group/default/analysts")
    allowed = {
        action
        for statement in analytics.statements(analytics.one("analytics", "Analyst"))
        for action in many(statement["Action"])
    }
    assert {
        "athena:GetQueryResultsStream",
        "athena:GetDataCatalog",
        "glue:GetPartitions",
    } <= allowed


def _ingest(assembly: Assembly) -> tuple[dict[str, str], set[str]]:
    """Return the variables and rights of the ingest nodes."""
    container = assembly.one("cell-a", "Ingest").props["ContainerDefinitions"][0]
    variables = {one["Name"]: one["Value"] for one in container["Environment"]}
    role = assembly.one("cell-a", "IngestTask")
    return variables, {
        f"{action} {assembly.text('cell-a', resource)}"
        for one in assembly.statements(role)
        for action in many(one["Action"])
        for resource in many(one["Resource"])
        if action.startswith("kafka")
    }


def test_a_kafka_of_yours_is_read_as_it_asks(switched: Switched) -> None:
    by_address, none = _ingest(switched("small-as-committed").assembly)
    assert by_address["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example.com:9094"
    assert by_address["PIXLAKE_KAFKA_SECURITY_PROTOCOL"] == "SSL"
    assert "NODE_KAFKA_CLUSTER_ARN" not in by_address
    assert none == set()
    by_arn, rights = _ingest(switched("your-own-msk").assembly)
    own = "arn:aws:kafka:eu-west-1::{}/own/1a2b-3"
    assert by_arn["NODE_KAFKA_CLUSTER_ARN"] == own.format("cluster")
    assert "KAFKA_BOOTSTRAP_SERVERS" not in by_arn
    assert f"kafka-cluster:ReadData {own.format('topic')}/images" in rights
    assert f"kafka-cluster:WriteData {own.format('topic')}/images.dead-letters" in rights
    assert f"kafka-cluster:AlterGroup {own.format('group')}/pixlake" in rights
    assert f"kafka-cluster:WriteData {own.format('topic')}/images" not in rights


def test_without_kafka_nothing_of_it_is_made(switched: Switched) -> None:
    assembly = switched("no-kafka").assembly
    assert "streaming" not in assembly.templates
    variables, rights = _ingest(assembly)
    assert (variables["NODE_KAFKA"], variables["PIXLAKE_KAFKA_CONSUMER"]) == ("false", "false")
    assert rights == set()
    assert not [one for one in assembly.resources("AWS::CloudWatch::Alarm") if "Kafka" in one.id]
    for group in assembly.resources("AWS::EC2::SecurityGroup"):
        for rule in group.props["SecurityGroupEgress"]:
            assert rule["FromPort"] not in (9094, 9098)


@pytest.mark.parametrize("name", ["small-as-committed", "your-own-msk"])
def test_nodes_reach_the_brokers_of_yours_only(switched: Switched, name: str) -> None:
    assembly = switched(name).assembly
    assert "streaming" not in assembly.templates
    compact = name == "small-as-committed"
    port = 9094 if compact else 9098
    ways = {
        (rule["CidrIp"], rule["FromPort"])
        for group in assembly.resources("AWS::EC2::SecurityGroup")
        if group.id.startswith("Node")
        for rule in group.props["SecurityGroupEgress"]
        if "CidrIp" in rule
    }
    # A compact environment names the subnets of its database, and not their group.
    data = {("10.40.50.0/24", 5433), ("10.40.51.0/24", 5433)} if compact else set()
    assert ways == {("10.60.0.0/16", port), ("0.0.0.0/0", 443), *data}
    alarms = {one.id for one in assembly.resources("AWS::CloudWatch::Alarm")}
    assert "KafkaLateA" in alarms
    assert not {one for one in alarms if one.startswith(("KafkaDisk", "KafkaPart", "KafkaStuck"))}


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": ["10.60.0.0/16"]},
        {"addresses": [], "bootstrap_servers": "kafka:9094"},
        {"addresses": ["10.60.0.1/16"], "bootstrap_servers": "kafka:9094"},
        {"addresses": ["10.60.0.0/16"], "cluster_arn": "kafka"},
        {
            "addresses": ["10.60.0.0/16"],
            "bootstrap_servers": "kafka:9094",
            "cluster_arn": "arn:aws:kafka:eu-west-1::cluster/own/1",
        },
    ],
)
def test_half_a_kafka_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"kafka\.existing"):
        changed("committed", {"kafka.existing": wrong})
