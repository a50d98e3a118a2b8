"""Where Amazon MSK's brokers are: CloudFormation cannot say, so the node asks when it starts."""

import boto3


def kafka_environment(cluster_arn: str) -> dict[str, str]:
    """Variables of the Kafka door, for a cluster that logs in by IAM.

    Raises botocore's errors: without brokers a node is of no use, and ECS starts another.
    """
    region = cluster_arn.split(":")[3]
    answer = boto3.client("kafka", region_name=region).get_bootstrap_brokers(ClusterArn=cluster_arn)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": answer["BootstrapBrokerStringSaslIam"],
        "PIXLAKE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PIXLAKE_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
        "PIXLAKE_KAFKA_IAM_REGION": region,
    }
