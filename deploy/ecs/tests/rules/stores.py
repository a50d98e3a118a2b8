"""Rules for Kafka, PostgreSQL, Valkey and the lake's tables."""

import json
from collections.abc import Iterator

from infra import contract
from tests.assembly import Assembly, Json
from tests.rules.rule import Rule

_DAY_MS = 86_400_000


def _topics(assembly: Assembly) -> Iterator[tuple[str, Json, Json]]:
    for topic in assembly.resources("AWS::MSK::Topic"):
        configs = json.loads(assembly.text(topic.stack, topic.props["Configs"]))
        yield topic.name, topic.props, configs


def _brokers(assembly: Assembly) -> int:
    return int(assembly.one("streaming", "Cluster").props["NumberOfBrokerNodes"])


def messages_have_copies(assembly: Assembly) -> Iterator[str]:
    """MSK accepts a topic with more copies than brokers, but never creates it."""
    for name, props, configs in _topics(assembly):
        copies, in_sync = int(props["ReplicationFactor"]), int(configs["min.insync.replicas"])
        if copies > _brokers(assembly):
            yield f"{name}: {copies} copies on {_brokers(assembly)} brokers"
        if not 2 <= in_sync < copies:
            yield f"{name}: {in_sync} of {copies} copies before a message is acknowledged"


def _five_copies(assembly: Assembly) -> None:
    assembly.one("streaming", "Cluster").props["NumberOfBrokerNodes"] = 3
    assembly.one("streaming", "Images").props["ReplicationFactor"] = 5


def messages_do_not_outlive_images(assembly: Assembly) -> Iterator[str]:
    for name, _, configs in _topics(assembly):
        if int(configs["retention.ms"]) > contract.RETENTION_DAYS * _DAY_MS:
            yield f"{name}: a replay would restore deleted images"


def messages_fit_the_disks(assembly: Assembly) -> Iterator[str]:
    """A broker with a full disk stops, and does not start again by itself."""
    if "streaming" not in assembly.templates:
        return
    cluster = assembly.first("AWS::MSK::Cluster").props
    nodes = cluster["BrokerNodeGroupInfo"]["StorageInfo"]["EBSStorageInfo"]["VolumeSize"]
    disks = nodes * cluster["NumberOfBrokerNodes"] * 1e9
    most = sum(
        int(configs.get("retention.bytes", 1e18))
        * topic["PartitionCount"]
        * topic["ReplicationFactor"]
        for _, topic, configs in _topics(assembly)
    )
    if most > 0.75 * disks:
        yield f"topics may keep {most:.3g} bytes on disks of {disks:.3g}"
    for name, _, configs in _topics(assembly):
        if int(configs.get("segment.ms", 7 * _DAY_MS)) > int(configs["retention.ms"]):
            yield f"{name}: an open segment outlives the retention"


def _no_fuse(assembly: Assembly) -> None:
    topic = assembly.one("streaming", "Images")
    configs = json.loads(assembly.text("streaming", topic.props["Configs"]))
    del configs["retention.bytes"]
    topic.props["Configs"] = json.dumps(configs)


def _long_retention(assembly: Assembly) -> None:
    topic = assembly.one("streaming", "Images")
    configs = json.loads(assembly.text("streaming", topic.props["Configs"]))
    configs["retention.ms"] = str(30 * _DAY_MS)
    topic.props["Configs"] = json.dumps(configs)


def largest_image_fits_into_a_message(assembly: Assembly) -> Iterator[str]:
    for name, _, configs in _topics(assembly):
        if int(configs["max.message.bytes"]) < contract.LARGEST_MESSAGE_BYTES:
            yield f"{name}: refuses an image that the service accepts"


def _small_messages(assembly: Assembly) -> None:
    topic = assembly.one("streaming", "DeadLetters")
    configs = json.loads(assembly.text("streaming", topic.props["Configs"]))
    topic.props["Configs"] = json.dumps(configs | {"max.message.bytes": "1048588"})


def kafka_knows_its_clients(assembly: Assembly) -> Iterator[str]:
    if "streaming" not in assembly.templates:
        return
    cluster = assembly.one("streaming", "Cluster").props
    who = cluster["ClientAuthentication"]
    if not who["Sasl"]["Iam"]["Enabled"] or who["Unauthenticated"]["Enabled"]:
        yield "brokers accept clients without authentication"
    transit = cluster["EncryptionInfo"]["EncryptionInTransit"]
    if transit != {"ClientBroker": "TLS", "InCluster": True}:
        yield "brokers accept connections without TLS"
    if _brokers(assembly) % len(cluster["BrokerNodeGroupInfo"]["ClientSubnets"]):
        yield "brokers do not spread evenly over the zones; MSK refuses that"


def _strangers(assembly: Assembly) -> None:
    cluster = assembly.one("streaming", "Cluster").props
    cluster["ClientAuthentication"]["Unauthenticated"]["Enabled"] = True


def brokers_are_asked_for(assembly: Assembly) -> Iterator[str]:
    """No attribute of a cluster names its brokers, and a fixed revision would never change."""
    if "streaming" not in assembly.templates:
        return
    arn = "${streaming/Cluster.Arn}"
    revision = assembly.one("streaming", "Cluster").props["ConfigurationInfo"]["Revision"]
    if revision != {"Fn::GetAtt": ["Configuration", "LatestRevision.Revision"]}:
        yield f"brokers stay at revision {revision} of their configuration"
    for task in assembly.resources("AWS::ECS::TaskDefinition"):
        if task.id != "Ingest":
            continue
        values = {
            one["Name"]: assembly.text(task.stack, one["Value"])
            for one in task.props["ContainerDefinitions"][0]["Environment"]
        }
        if values.get("NODE_KAFKA_CLUSTER_ARN") != arn or "KAFKA_BOOTSTRAP_SERVERS" in values:
            yield f"{task.name}: does not ask MSK for its brokers"


def _first_revision(assembly: Assembly) -> None:
    assembly.one("streaming", "Cluster").props["ConfigurationInfo"]["Revision"] = 1


def valkey_can_fail_over(assembly: Assembly) -> Iterator[str]:
    """AWS refuses one node, or users without TLS; CDK and cfn-lint accept both."""
    for group in assembly.resources("AWS::ElastiCache::ReplicationGroup"):
        props = group.props
        if props["AutomaticFailoverEnabled"] and props.get("ReplicasPerNodeGroup", 0) < 1:
            yield f"{group.name}: no replica to fail over to"
        if "UserGroupIds" in props and not props.get("TransitEncryptionEnabled"):
            yield f"{group.name}: users without TLS"
        if "UserGroupIds" not in props or not props["MultiAZEnabled"]:
            yield f"{group.name}: open, or in one zone"
        if props["NumNodeGroups"] != 1:
            yield f"{group.name}: Ray supports only one shard"


def _lonely_valkey(assembly: Assembly) -> None:
    assembly.one("data", "Gcs").props["ReplicasPerNodeGroup"] = 0


def accounts_survive(assembly: Assembly) -> Iterator[str]:
    props = assembly.one("data", "Database").props
    wanted = {
        "MultiAZ": True,
        "StorageEncrypted": True,
        "PubliclyAccessible": False,
        "DeletionProtection": True,
        "EnableIAMDatabaseAuthentication": True,
        "ManageMasterUserPassword": True,
        "DeleteAutomatedBackups": False,
    }
    for name, value in wanted.items():
        if props.get(name) is not value:
            yield f"the database's {name} is {props.get(name)}"
    if int(props["BackupRetentionPeriod"]) < 7:
        yield "point-in-time recovery reaches back less than a week"
    if assembly.one("data", "Database").raw.get("DeletionPolicy") != "Snapshot":
        yield "deleting the database leaves no snapshot"
    if assembly.one("data", "DatabaseParameters").props["Parameters"]["rds.force_ssl"] != "1":
        yield "the database accepts connections without TLS"


def _public_database(assembly: Assembly) -> None:
    assembly.one("data", "Database").props["PubliclyAccessible"] = True


def tables_are_what_the_service_writes(assembly: Assembly) -> Iterator[str]:
    for table in contract.TABLES:
        wanted = [
            {"Name": one["name"], "Type": one["glue"], "Comment": one["comment"]}
            for one in table["columns"]
        ]
        name = f"{table['name']}_files"
        found = [
            one.props["TableInput"]
            for one in assembly.resources("AWS::Glue::Table")
            if one.props["TableInput"]["Name"] == name
        ]
        if len(found) != 1 or found[0]["StorageDescriptor"]["Columns"] != wanted:
            yield f"{name}: other columns than the service writes"
            continue
        template = found[0]["Parameters"]["storage.location.template"]
        location = assembly.text("analytics", template)
        if not location.endswith(f"/{table['location']}/dt=${{dt}}/hour=${{hour}}/"):
            yield f"{name}: looks for its files in {location}"


def _forgotten_column(assembly: Assembly) -> None:
    table = assembly.one("analytics", "ImagesFiles").props["TableInput"]
    table["StorageDescriptor"]["Columns"].pop()


def queries_have_a_limit(assembly: Assembly) -> Iterator[str]:
    for group in assembly.resources("AWS::Athena::WorkGroup"):
        config = group.props["WorkGroupConfiguration"]
        if not config.get("BytesScannedCutoffPerQuery"):
            yield f"{group.name}: one query may scan everything"
        if config.get("EnforceWorkGroupConfiguration") is not True:
            yield f"{group.name}: a client may write results to another place"


def _no_scan_limit(assembly: Assembly) -> None:
    group = assembly.first("AWS::Athena::WorkGroup")
    del group.props["WorkGroupConfiguration"]["BytesScannedCutoffPerQuery"]


RULES = (
    Rule(messages_have_copies, _five_copies),
    Rule(messages_do_not_outlive_images, _long_retention),
    Rule(messages_fit_the_disks, _no_fuse),
    Rule(largest_image_fits_into_a_message, _small_messages),
    Rule(kafka_knows_its_clients, _strangers),
    Rule(brokers_are_asked_for, _first_revision),
    Rule(valkey_can_fail_over, _lonely_valkey, needs="AWS::ElastiCache::ReplicationGroup"),
    Rule(accounts_survive, _public_database),
    Rule(tables_are_what_the_service_writes, _forgotten_column),
    Rule(queries_have_a_limit, _no_scan_limit),
)
