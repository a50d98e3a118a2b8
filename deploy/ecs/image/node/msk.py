"""Look-up of Amazon MSK's brokers at the start of a node; CloudFormation has no such attribute."""

import boto3


def kafka_environment(cluster_arn: str) -> dict[str, str]:
    """Build the variables of the Kafka consumer, for a cluster with IAM authentication.

    Raises botocore's errors: a node without brokers is useless, and ECS starts another node.
    """
    region = cluster_arn.split(":")[3]
    answer = boto3.client("kafka", region_name=region).get_bootstrap_brokers(ClusterArn=cluster_arn)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": answer["BootstrapBrokerStringSaslIam"],
        "PIXLAKE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PIXLAKE_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
        "PIXLAKE_KAFKA_IAM_REGION": region,
    }
