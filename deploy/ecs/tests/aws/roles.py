"""Service-linked roles that the services of the templates need, and who makes each."""

from typing import Final, Literal, NamedTuple

from tests.aws.documents import UNVERIFIED


class Linked(NamedTuple):
    """Service-linked role: `made` by the service at the first use, or by hand before it."""

    service: str
    made: Literal["service", "hand"]
    document: str


LINKED: Final = {
    # The guide says that ECS makes the role with the first cluster. CloudFormation may create a
    # capacity provider beside it, before the role is known everywhere.
    "AWS::ECS::Cluster": (Linked("ecs.amazonaws.com", "hand", "ecs-role-race"),),
    "AWS::AutoScaling::AutoScalingGroup": (
        Linked("autoscaling.amazonaws.com", "service", UNVERIFIED),
        # The role of Auto Scaling may make that of Spot.
        Linked("spot.amazonaws.com", "service", "autoscaling-role"),
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        Linked("ecs.application-autoscaling.amazonaws.com", "service", UNVERIFIED),
        Linked("kafka.application-autoscaling.amazonaws.com", "service", UNVERIFIED),
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        Linked("elasticloadbalancing.amazonaws.com", "service", UNVERIFIED),
    ),
    "AWS::RDS::DBInstance": (Linked("rds.amazonaws.com", "service", "rds-role"),),
    "AWS::MSK::Cluster": (Linked("kafka.amazonaws.com", "service", UNVERIFIED),),
    "AWS::ElastiCache::ReplicationGroup": (
        Linked("elasticache.amazonaws.com", "service", UNVERIFIED),
    ),
    "AWS::WAFv2::LoggingConfiguration": (Linked("wafv2.amazonaws.com", "service", UNVERIFIED),),
    "AWS::EC2::ClientVpnEndpoint": (Linked("clientvpn.amazonaws.com", "service", UNVERIFIED),),
}
"""roles by the type of resource whose creation needs them"""
