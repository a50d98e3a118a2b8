"""Resource types of the templates: the line of the bill with their price, or why they have none.

A type that is in neither table fails the test, until somebody has looked up whether AWS charges it.
`COUNTED` are those whose number is in the bill's `stands` (client/pixlake/cli/data/profiles.json).
"""

from typing import Final

LINES: Final = {
    "AWS::Athena::WorkGroup": "Athena, Glue, QuickSight",
    "AWS::AutoScaling::AutoScalingGroup": "ECS: Ray's nodes",
    "AWS::Backup::BackupVault": "Route 53, ECR, Backup",
    "AWS::CloudFront::Distribution": "CloudFront",
    "AWS::CloudFront::Function": "CloudFront",
    "AWS::CloudTrail::Trail": "CloudTrail",
    "AWS::CloudWatch::Alarm": "CloudWatch",
    "AWS::CloudWatch::CompositeAlarm": "CloudWatch",
    "AWS::CloudWatch::Dashboard": "CloudWatch",
    "AWS::DirectConnect::DirectConnectGateway": "VPN, Direct Connect",
    "AWS::DirectConnect::DirectConnectGatewayAssociation": "VPN, Direct Connect",
    "AWS::EC2::ClientVpnEndpoint": "VPN, Direct Connect",
    "AWS::EC2::ClientVpnTargetNetworkAssociation": "VPN, Direct Connect",
    "AWS::EC2::EIP": "NAT gateways",
    "AWS::EC2::FlowLog": "CloudWatch",
    "AWS::EC2::NatGateway": "NAT gateways",
    "AWS::EC2::VPCEndpoint": "VPC endpoints",
    "AWS::EC2::VPNGateway": "VPN, Direct Connect",
    "AWS::ECR::Repository": "Route 53, ECR, Backup",
    "AWS::ECS::Cluster": "CloudWatch: Container Insights",
    "AWS::ECS::Service": "ECS: Ray's nodes",
    "AWS::ElastiCache::ReplicationGroup": "ElastiCache",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "ALB",
    "AWS::KMS::Key": "KMS, Secrets Manager",
    "AWS::Logs::LogGroup": "CloudWatch",
    "AWS::MSK::Cluster": "MSK",
    "AWS::QuickSight::Dashboard": "Athena, Glue, QuickSight",
    "AWS::QuickSight::DataSet": "Athena, Glue, QuickSight",
    "AWS::RDS::DBInstance": "RDS",
    "AWS::Scheduler::Schedule": "Canary, daily audit",
    "AWS::Route53::HealthCheck": "Route 53, ECR, Backup",
    "AWS::S3::Bucket": "S3: storage",
    "AWS::SecretsManager::Secret": "KMS, Secrets Manager",
    "AWS::ServiceDiscovery::PrivateDnsNamespace": "Route 53, ECR, Backup",
    "AWS::Shield::Protection": "Shield Advanced",
    "AWS::WAFv2::WebACL": "WAF",
}

_PART = "a part or a setting of another resource, which has the price"
_RIGHTS = "IAM and security groups are free"
_FREE_TIER = (
    "free, or some cents a month at this use: the first budgets, notifications, certificates"
)

FREE: Final = {
    _PART: (
        "AWS::ApplicationAutoScaling::ScalableTarget AWS::ApplicationAutoScaling::ScalingPolicy "
        "AWS::Athena::NamedQuery AWS::Backup::BackupPlan AWS::Backup::BackupSelection "
        "AWS::CloudFront::CachePolicy "
        "AWS::CloudFront::KeyGroup AWS::CloudFront::OriginAccessControl AWS::CloudFront::PublicKey "
        "AWS::CloudFront::ResponseHeadersPolicy AWS::EC2::ClientVpnAuthorizationRule "
        "AWS::EC2::InternetGateway AWS::EC2::LaunchTemplate AWS::EC2::Route AWS::EC2::RouteTable "
        "AWS::EC2::Subnet AWS::EC2::SubnetRouteTableAssociation AWS::EC2::VPC "
        "AWS::EC2::VPCGatewayAttachment AWS::EC2::VPNGatewayRoutePropagation "
        "AWS::ECS::CapacityProvider AWS::ECS::ClusterCapacityProviderAssociations "
        "AWS::ECS::TaskDefinition AWS::ElastiCache::ParameterGroup AWS::ElastiCache::SubnetGroup "
        "AWS::ElasticLoadBalancingV2::Listener AWS::ElasticLoadBalancingV2::ListenerRule "
        "AWS::ElasticLoadBalancingV2::TargetGroup AWS::Glue::Database AWS::Glue::Table "
        "AWS::MSK::Configuration AWS::MSK::Topic AWS::QuickSight::Analysis "
        "AWS::QuickSight::DataSource AWS::RDS::DBParameterGroup AWS::RDS::DBSubnetGroup "
        "AWS::Route53::RecordSet AWS::S3::BucketPolicy AWS::ServiceDiscovery::Service "
        "AWS::WAFv2::LoggingConfiguration AWS::WAFv2::WebACLAssociation"
    ),
    _RIGHTS: (
        "AWS::EC2::SecurityGroup AWS::EC2::SecurityGroupEgress AWS::EC2::SecurityGroupIngress "
        "AWS::ElastiCache::User AWS::ElastiCache::UserGroup "
        "AWS::IAM::InstanceProfile AWS::IAM::ManagedPolicy AWS::IAM::Policy AWS::IAM::Role"
    ),
    _FREE_TIER: (
        "AWS::Budgets::Budget AWS::CertificateManager::Certificate AWS::SNS::Subscription "
        "AWS::SNS::Topic AWS::SNS::TopicPolicy"
    ),
}

COUNTED: Final = (
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::ECS::Service",
    "AWS::KMS::Key",
    "AWS::Route53::HealthCheck",
    "AWS::SecretsManager::Secret",
    "AWS::WAFv2::WebACL",
)
# Alarms are many and cost 0.10 $ each; their number may differ from the bill's by this.
LOOSE: Final = {"AWS::CloudWatch::Alarm": 15}
