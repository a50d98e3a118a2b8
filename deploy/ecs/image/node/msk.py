"""Look-up of Amazon MSK's brokers at the start of a node; CloudFormation has no such attribute."""

import json
import os
import urllib.request

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from lake.logs import logger

log = logger(__name__)

_TIMEOUT_SECONDS = 5
_METADATA = "ECS_CONTAINER_METADATA_URI_V4"


def kafka_environment(cluster_arn: str) -> dict[str, str]:
    """Build the variables of the Kafka consumer, for a cluster with IAM authentication.

    Raises botocore's errors: a node without brokers is useless, and ECS starts another node.
    """
    region = cluster_arn.split(":")[3]
    answer = boto3.client("kafka", region_name=region).get_bootstrap_brokers(ClusterArn=cluster_arn)
    found = {
        "KAFKA_BOOTSTRAP_SERVERS": answer["BootstrapBrokerStringSaslIam"],
        "PIXLAKE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PIXLAKE_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
        "PIXLAKE_KAFKA_IAM_REGION": region,
    }
    rack = _zone_id(region)
    return found if rack is None else {**found, "PIXLAKE_KAFKA_RACK": rack}


def _zone_id(region: str) -> str | None:
    """Return the id of this task's zone, such as use1-az1, which is the rack of MSK's brokers.

    ECS tells the zone's name, which means another zone in each account. Without the id the consumer
    reads from the leaders, in any zone: this costs more and works.
    """
    metadata = os.environ.get(_METADATA)
    if metadata is None:
        return None
    try:
        # ECS's own address within the task.
        with urllib.request.urlopen(f"{metadata}/task", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # ECS sets the address
            zone = json.load(answer)["AvailabilityZone"]
        zones = boto3.client("ec2", region_name=region).describe_availability_zones(
            ZoneNames=[zone]
        )
        return str(zones["AvailabilityZones"][0]["ZoneId"])
    except (OSError, ValueError, KeyError, IndexError, BotoCoreError, ClientError) as error:
        log.warning("the zone of this node is unknown", error=str(error))
        return None
